"""The running mean of weights: its formula, no effect on training, and the round trip through a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from train.checkpoint import format as ck
from train.checkpoint.state import State
from train.optim.averaging import Average, averaged_model, averages, without_average


def a_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(32, 2))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, average: Average, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        model(torch.randn(5, 3, 10, generator=torch.Generator().manual_seed(step))).square().mean().backward()
        optimizer.step()
        average.update(seen=5 * (step + 1), batch=5)


def test_the_mean_is_plain_at_first_and_exponential_later() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = Average(model, windows=40)
    values = torch.randn(30, generator=torch.Generator().manual_seed(1)).tolist()
    expected = 0.0
    for number, value in enumerate(values, 1):
        nn.init.constant_(model.weight, value)
        average.update(seen=10 * number, batch=10)
        expected = sum(values[:number]) / number if number <= 4 else 0.75 * expected + 0.25 * value
        assert average.mean["weight"].item() == pytest.approx(expected, rel=1e-5)
        assert model.weight.item() == pytest.approx(value), "the weights themselves do not change"


def test_the_mean_is_applied_inside_the_block_and_includes_buffers() -> None:
    model = a_model()
    average = Average(model, 100)
    train(model, torch.optim.Adam(model.parameters(), 0.1), average, range(6))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with average.applied():
        for name, value in average.mean.items():
            assert torch.equal(model.state_dict()[name], value)
            assert not torch.equal(value, before[name]), name
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {"1.running_mean", "1.running_var", "3.bias"} < set(average.mean)
    assert "1.num_batches_tracked" not in average.mean


def test_the_mean_continues_to_the_bit_from_a_checkpoint(tmp_path: Path) -> None:
    model = a_model()
    optimizer, average = torch.optim.Adam(model.parameters(), 0.1), Average(model, 20)
    train(model, optimizer, average, range(3))
    kept = average.add_to(ck.optimizer_by_name(model, optimizer))
    ck.save(Folder(str(tmp_path)), ck.Checkpoint(ck.to_host(model.state_dict()), State(3), kept))
    train(model, optimizer, average, range(3, 9))

    back, other = ck.open_checkpoint(str(tmp_path)), a_model(5)
    fresh, resumed = torch.optim.Adam(other.parameters(), 0.1), Average(other, 20)
    ck.load_model(other, back.model)
    ck.load_optimizer(other, fresh, without_average(back.optimizer))
    resumed.load(back.optimizer)
    train(other, fresh, resumed, range(3, 9))
    for name, value in average.mean.items():
        assert torch.equal(value, resumed.mean[name]), name
    assert set(averages(back.optimizer)) == set(average.mean)
    assert torch.equal(averaged_model(back, "here")["3.weight"], back.optimizer["3.weight"]["average"])


def test_a_checkpoint_without_a_mean_is_reported() -> None:
    model = a_model()
    state = ck.Checkpoint(model.state_dict(), State(1), {})
    with pytest.raises(UserError, match="Leave out --averaged"):
        averaged_model(state, "here")
    with pytest.raises(UserError, match="found 0"):
        Average(model, 10).load({})
