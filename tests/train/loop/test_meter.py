"""The meter: a late one, as on a GPU, reads the same figures one stretch later; and batches whose place is known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.train.data import made_stream
from pipeline.errors import UserError
from tests.train.runs import alone, same_checkpoint
from train.distributed.processes import Processes
from train.loop import trainer
from train.loop.meter import Meter
from train.loop.step import StepResult
from train.tracking.log import read_lines
from train.windows.feed import Feed
from train.windows.settings import DataSettings

OF_THE_MOMENT = {"time", "windows_per_s", "data_wait", "memory_gb", "distinct_seconds", "checkpoints"}
"""What a line says of the time at which it is read."""


def late_meter(device: torch.device) -> Meter:
    """A meter that reads as on a GPU."""
    meter = Meter(device)
    meter.late = True
    return meter


def result(number: int) -> StepResult:
    value = torch.tensor(float(number), dtype=torch.float64)
    place_BP = torch.full((2, 4), number)
    return StepResult(number, {"loss_sum": value, "count": torch.ones_like(value)}, value.float(), place_BP, 0.5)


def test_a_late_meter_reads_one_stretch_later_until_it_has_to_read_all() -> None:
    meter, processes = late_meter(torch.device("cpu")), Processes(1)
    for number in (1, 2):
        meter.add(result(number))
    assert meter.read(processes, now=False) == []
    meter.add(result(3))
    (first,) = meter.read(processes, now=False)
    assert (first.last, first.steps, first.figures["loss_sum"], first.norm, first.waited_s) == (2, 2, 3.0, 2.0, 1.0)
    meter.add(result(4))
    second, third = meter.read(processes, now=True)
    assert [reading.last for reading in (second, third)] == [3, 4]
    assert min(reading.seconds for reading in (first, second, third)) > 0


def test_a_step_s_figures_do_not_change_after_the_end_of_its_stretch() -> None:
    meter, processes, step = late_meter(torch.device("cpu")), Processes(1), result(1)
    meter.add(step)
    meter.read(processes, now=False)
    step.figures["loss_sum"].fill_(-1.0)
    meter.add(result(2))
    assert [reading.figures["loss_sum"] for reading in meter.read(processes, now=False)] == [1.0]


def lines(folder: Path) -> list[tuple[Any, ...]]:
    """The numbers of a log, by step."""
    read = read_lines(folder / "logs" / "log.jsonl")
    kept = [{key: value for key, value in line.items() if key not in OF_THE_MOMENT} for line in read]
    return sorted((line["step"], line["kind"], str(line)) for line in kept if line["kind"] in ("train", "validation"))


def test_a_run_with_a_late_meter_has_the_same_log_and_checkpoints(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"run__windows": 880, "run__save_every": 400, "run__validate_every": 400}
    assert alone(store, tmp_path / "at once", **settings) == 0
    monkeypatch.setattr(trainer, "Meter", late_meter)
    assert alone(store, tmp_path / "late", **settings) == 0
    assert lines(tmp_path / "late") == lines(tmp_path / "at once")
    assert [step for step, kind, _ in lines(tmp_path / "late") if kind == "train"] == [10, 20, 25, 30, 40, 50, 55]
    for step in (25, 50, 55):
        same_checkpoint(tmp_path / "at once", tmp_path / "late", step)


def test_a_late_meter_ends_a_run_that_is_not_finite(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "Meter", late_meter)
    long: dict[str, Any] = {"run__windows": 1600, "run__save_every": 1600, "run__validate_every": 1600}
    with pytest.raises(UserError, match=r"the loss is nan at step \d+ "):
        alone(store, tmp_path, optimizer__rate_per_512=1e30, optimizer__warmup_windows=0, **long)
    (line,) = (line for line in read_lines(tmp_path / "logs" / "log.jsonl") if line["kind"] == "broken")
    assert (line["broken_step"] <= 10, line["step"]) == (True, 20)


def test_a_batch_is_handed_out_before_the_next_is_fetched_and_its_place_stays_on_the_host() -> None:
    batch, opened = 256, partial(made_stream, DataSettings(lanes=2), 256, 1)
    with opened() as stream, opened() as other:
        feed = Feed(stream, torch.device("meta"))
        for number in (1, 2):
            windows, place_BP = next(feed)
            assert stream.position == number * batch // 2, "windows of each of two lanes"
            assert windows.signal_BDCT.device.type == windows.place_BP.device.type == "meta"
            assert torch.equal(place_BP, next(other).place_BP)
