"""Shortcuts: how much the transforms of pure noise, which contains no activity, reveal about each task's label.

Accuracy on noise has to stay at chance for reversal. It does not for warp and permutation, so every accuracy in logs
and reports has controls beside it. The first tests use single statistics of a window, the last one a small network:
`pytest -m slow -s tests/train/transforms/test_shortcuts.py` prints its accuracies (docs/objectives.md).
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.stats import norm, rankdata
from torch import nn

from tests.train.plain import randoms
from train.networks.model import Model
from train.objectives.multitask import Multitask, MultitaskSettings
from train.random import Purpose, WindowRandom

NOISE_G = 0.004
BATCH, STEPS, HELD_OUT = 256, 300, 16
TASKS = ("reversal", "permutation", "warp")
STORED_NOISE_G = 0.002
"""About the noise of a sensor with 4 mg at 100 Hz, resampled to 30 Hz."""
STATISTICS = {
    "first tick": lambda x: x[..., 0].square().mean(1),
    "last tick": lambda x: x[..., -1].square().mean(1),
    "first minus last tick": lambda x: x[..., 0].square().mean(1) - x[..., -1].square().mean(1),
    "ends minus middle": lambda x: x[..., [0, -1]].square().mean((1, 2)) - x[..., 1:-1].square().mean((1, 2)),
    "steps at the ends": lambda x: (x[..., [1, -1]] - x[..., [0, -2]]).square().mean((1, 2)),
    "first to last tick": lambda x: (x[..., 0] - x[..., -1]).square().mean(1),
    "variance": lambda x: x.square().mean((1, 2)),
}


@cache
def views_of_noise(jitter_g: float) -> tuple[torch.Tensor, torch.Tensor]:
    x = STORED_NOISE_G * torch.randn(12_000, 3, 300, generator=torch.Generator().manual_seed(1))
    return Multitask(MultitaskSettings(jitter_g=jitter_g)).views(x, randoms(12_000))


def separation(statistic: str, jitter_g: float) -> dict[str, tuple[float, float]]:
    """By task: the probability that a window with the label has a larger value than one without (chance: 0.5).

    And four standard deviations of it at chance (Mann and Whitney 1947).
    """
    seen, labels = views_of_noise(jitter_g)
    rank = rankdata(STATISTICS[statistic](seen))
    found = {}
    for task, label in zip(TASKS, labels.bool().numpy().T, strict=True):
        with_, without = int(label.sum()), int((~label).sum())
        more = (rank[label].sum() - with_ * (with_ + 1) / 2) / (with_ * without)
        found[task] = float(more), 4 * float(np.sqrt((len(rank) + 1) / (12 * with_ * without)))
    return found


@pytest.mark.parametrize("statistic", [statistic for statistic in STATISTICS if statistic != "variance"])
def test_edges_reveal_no_label_with_jitter(statistic: str) -> None:
    for task, (more, chance) in separation(statistic, 0.008).items():
        assert abs(more - 0.5) < chance, task


@pytest.mark.parametrize("jitter_g", [0.0, 0.008, 0.016])
def test_variance_of_noise_reveals_neither_reversal_nor_permutation(jitter_g: float) -> None:
    found = separation("variance", jitter_g)
    for task in ("reversal", "permutation"):
        assert abs(found[task][0] - 0.5) < found[task][1], task


@pytest.mark.parametrize(
    ("jitter_g", "at_least", "at_most"), [(0.0, 0.0, 0.001), (0.008, 0.3, 0.45), (0.016, 0.4, 0.5)]
)
def test_variance_of_noise_reveals_a_warp_less_with_more_jitter(
    jitter_g: float, at_least: float, at_most: float
) -> None:
    """Interpolation removes a third of the noise's variance, and jitter adds its own; the expected value follows."""
    kept, added = STORED_NOISE_G**2, jitter_g**2
    apart = (kept / 3) / (kept + added) / np.sqrt(2 / 900)  # difference of means in standard deviations
    more, chance = separation("variance", jitter_g)["warp"]
    assert at_least <= more < at_most
    assert abs(more - norm.cdf(-apart / np.sqrt(2))) < chance + 0.02


def network() -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 16, 1), (16, 16, 2), (16, 32, 2)):
        layers += [nn.Conv1d(before, after, 5, stride), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1))


def accuracies(jitter_g: float) -> dict[str, float]:
    """Return each task's accuracy on 4,096 noise windows outside the training data."""
    objective = Multitask(MultitaskSettings(jitter_g=jitter_g))
    model = Model(cast(Any, network()), objective.heads(32))
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        start, none = torch.arange(BATCH), torch.zeros(BATCH, dtype=torch.int64)
        random = WindowRandom.of(0, none, none, none + step, start)
        x = NOISE_G * random.normal(Purpose.CONTROL, 900).view(BATCH, 3, 300)
        return objective.views(x, random)

    for step in range(STEPS):
        x, targets = batch(step)
        loss, _ = objective.loss(model(x / NOISE_G), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    correct = dict.fromkeys((task.name for task in objective.tasks), 0.0)
    with torch.no_grad():
        for step in range(STEPS, STEPS + HELD_OUT):
            x, targets = batch(step)
            figures = objective.loss(model(x / NOISE_G), targets)[1]
            for name in correct:
                correct[name] += figures[f"{name}/correct"].item() / (BATCH * HELD_OUT)
    return correct


@pytest.mark.slow
def test_noise_reveals_warp_but_not_reversal() -> None:
    clean, jittered = accuracies(0.0), accuracies(0.008)
    print(f"\nnoise of {1000 * NOISE_G:.0f} mg: {clean}\nwith jitter of 8 mg: {jittered}")
    chance = 2.58 * 0.5 / (BATCH * HELD_OUT) ** 0.5
    for found in (clean, jittered):
        assert abs(found["reversal"] - 0.5) < 1.5 * chance
    assert clean["warp"] > 0.9
    assert jittered["warp"] < clean["warp"] - 0.05
