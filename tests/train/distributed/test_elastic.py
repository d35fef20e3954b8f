"""Resuming with another number of processes: every step gets the same windows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.days import write_store
from tests.train.runs import alone, run
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.loop.meter import Meter, digest
from train.loop.step import StepResult

EIGHT: dict[str, Any] = {"data__lanes": 8, "run__batch": 32, "run__validate_every": 320, "run__save_every": 320}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with enough days for eight lanes."""
    return write_store(str(tmp_path_factory.mktemp("made") / "wide"), people=6, days=2).folder.url


def digest_of(folder: Path) -> str:
    """Digest of all windows that a run has seen, and their steps."""
    state = ck.open_checkpoint(str(folder)).state
    assert state.facts.stream.lanes == 8
    return state.windows_digest


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, [1]), (4, [1, 2, 8])])
def test_other_numbers_of_processes_resume_with_the_same_windows(
    wide: str, tmp_path: Path, first: int, then: list[int]
) -> None:
    assert alone(wide, tmp_path / "alone", run__windows=640, **EIGHT) == 0
    stopped = run(wide, tmp_path / "stopped", first, run__windows=320, **EIGHT)
    assert stopped.returncode == 0, stopped.stderr
    for processes in then:
        shutil.copytree(tmp_path / "stopped", tmp_path / str(processes))
        done = run(wide, tmp_path / str(processes), processes, run__windows=640, run__accumulate=2, **EIGHT)
        assert done.returncode == 0, done.stderr
        assert "resuming after 320 windows" in done.stderr
        assert digest_of(tmp_path / str(processes)) == digest_of(tmp_path / "alone")


def seen(*places: torch.Tensor) -> int:
    """Digest of steps with windows of these places."""
    meter, one = Meter(torch.device("cpu")), torch.ones((), dtype=torch.float64)
    for number, place_B4 in enumerate(places, 1):
        meter.add(StepResult(number, {"loss_sum": one, "count": one}, one, place_B4, 0.0))
    (reading,) = meter.read(Processes(1))
    return reading.digest


def test_a_digest_depends_on_the_step_of_each_window() -> None:
    first, second = (torch.randint(0, 1 << 40, (8, 4), generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    assert seen(first, second) == seen(first.flip(0), second)
    assert seen(first, second) != seen(second, first)


def test_a_digest_does_not_depend_on_the_order_of_windows() -> None:
    place_B4 = torch.randint(0, 1 << 40, (100, 4), generator=torch.Generator().manual_seed(0))
    whole = int(digest(place_B4))
    assert int(digest(place_B4[torch.randperm(100)])) == whole
    halves = int(digest(place_B4[:37])) + int(digest(place_B4[37:]))
    assert (halves - whole) % (1 << 64) == 0
    other = place_B4.clone()
    other[50, 3] += 1
    assert int(digest(other)) != whole
    swapped = place_B4.clone()
    swapped[[3, 4], 2] = swapped[[4, 3], 2]
    assert int(digest(swapped)) != whole
