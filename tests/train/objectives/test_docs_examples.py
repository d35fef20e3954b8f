"""The examples of docs/adding-an-objective.md and docs/adding-an-encoder.md run, and fit together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from train.random import WindowRandom

DOCS = Path(__file__).parents[3] / "docs"


def example(page: str) -> dict[str, Any]:
    """Run the one block of Python of a page and return what it defines."""
    (code,) = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_the_objective_learns_with_the_encoder() -> None:
    encoder = example("adding-an-encoder.md")["Toy"]("toy10", 0.5)
    objective = example("adding-an-objective.md")["Moments"]()
    assert (encoder.preset, encoder.width, encoder.ticks, encoder.features) == ("toy10", 0.5, 300, 8)
    torch.manual_seed(0)
    heads = torch.nn.ModuleDict(objective.heads(encoder.features))
    optimizer = torch.optim.Adam([*encoder.parameters(), *heads.parameters()], 0.03)
    windows = torch.randn(32, 3, 300) + torch.randn(32, 3, 1)
    zeros = torch.zeros(32, dtype=torch.int64)
    random = WindowRandom.of(0, zeros, zeros, zeros, torch.arange(32))
    losses = []
    for _ in range(60):
        x, targets = objective.views(windows, random)
        features = encoder(x)
        assert features.shape == (32, 8, 1)
        loss, figures = objective.loss({name: head(features[:, :, 0]) for name, head in heads.items()}, targets)
        assert figures["count"] == 32
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
