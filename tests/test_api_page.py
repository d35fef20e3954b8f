"""docs/api.md: every block of Python runs, one after the other, as a reader would type them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.simulated import simulate_store

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text()


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate_store(tmp_path, people=4)
    (tmp_path / "recordings" / "P0001.cwa").rename(tmp_path / "recording.cwa")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for block in blocks:
        exec(compile(block, "docs/api.md", "exec"), found)
    assert found["days"].num_rows == 4
    assert found["day"].slot == 0
    assert found["data"]["eligible"].mean() > 0.9
    assert found["features"].shape == (8, found["backbone"].features)
    assert torch.isfinite(found["features"]).all()
    assert found["loss"] < found["batch"].x.square().mean()
    assert found["resumed"].step == found["stream"].step + 1 == 2 * found["stream"].epoch_steps + 1
    assert torch.equal(found["batch"].place, next(found["stream"]).place)
    found["stream"].close()
