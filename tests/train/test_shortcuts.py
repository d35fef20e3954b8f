"""What a small network scores on pure noise, where there is no activity to know: the shortcuts of each pretext task.

Reversal must stay at chance: a fair task leaves nothing behind. Warp and permutation do not, which is why the controls
stand beside every accuracy. `pytest -m slow -s tests/train/test_shortcuts.py` prints the figures of docs/objectives.md.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from train.model import Model
from train.objectives.multitask import Multitask, MultitaskSettings
from train.random import Purpose, WindowRandom

NOISE_G = 0.004
BATCH, STEPS, HELD_OUT = 256, 300, 16


def network() -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 16, 1), (16, 16, 2), (16, 32, 2)):
        layers += [nn.Conv1d(before, after, 5, stride), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1))


def accuracies(jitter_g: float) -> dict[str, float]:
    """Each task's accuracy on 4,096 noise windows that were not trained on."""
    objective = Multitask(MultitaskSettings(jitter_g=jitter_g))
    model = Model(network(), objective.heads(32))
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
def test_noise_betrays_warp_and_never_reversal() -> None:
    clean, jittered = accuracies(0.0), accuracies(0.008)
    print(f"\nnoise of {1000 * NOISE_G:.0f} mg: {clean}\nwith jitter of 8 mg: {jittered}")
    chance = 2.58 * 0.5 / (BATCH * HELD_OUT) ** 0.5
    for found in (clean, jittered):
        assert abs(found["reversal"] - 0.5) < 1.5 * chance
    assert clean["warp"] > 0.9
    assert jittered["warp"] < clean["warp"] - 0.05
