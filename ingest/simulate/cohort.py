"""A folder of simulated recordings, written by several processes; an interrupted run is resumed.

`simulation.json` is written first and states the arguments; `_truth.parquet` is written last and marks the folder as
complete. If people wear several devices, `_clocks.parquet` says how wrong the clock of each is. Every file is written
atomically.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess, parent_process
from pathlib import Path
from typing import Any

from ingest.simulate.population import PLACES, Kind, Place, device_clock, location_of
from ingest.simulate.recording import (
    SUFFIX,
    TRUE_TIME,
    SimulatedRecording,
    name_of,
    plan,
    simulate_recording,
    truth,
)
from pipeline.errors import UserError
from pipeline.progress import Progress

ARGUMENTS = "simulation.json"
TRUTH, CLOCKS = "_truth.parquet", "_clocks.parquet"
"""They begin with an underscore, so that ingest does not read them as recordings."""


SIMULATOR = "0.2.0"
"""Raise it when the same arguments give other recordings: a folder is only completed by the simulator that began it."""


@dataclass(frozen=True)
class SimulatedCohort:
    """The arguments of a folder of simulated recordings."""

    participants: int
    days: float
    seed: int
    device: Kind = "axivity"
    devices: int = 1
    """That each participant wears, at the first of `PLACES`. A single one shows true time."""
    version: str = SIMULATOR

    def __post_init__(self) -> None:
        if self.participants < 1 or not 0 < self.days <= 60 or self.seed < 0:
            raise UserError(
                "expected at least 1 participant, days above 0 and up to 60, and a seed of 0 or more; found "
                f"--participants {self.participants} --days {self.days:g} --seed {self.seed}."
            )
        if self.device not in SUFFIX:
            raise UserError(f"expected --device to be one of {', '.join(SUFFIX)}; found {self.device}.")

        if not 1 <= self.devices <= len(PLACES):
            raise UserError(f"expected --devices from 1 to {len(PLACES)} ({', '.join(PLACES)}); found {self.devices}.")

    @property
    def files(self) -> list[tuple[int, Place]]:
        """Return the participant and place of each recording."""
        people, places = range(1, self.participants + 1), PLACES[: self.devices]
        return [(number, place) for number in people for place in places]

    def arguments(self, number: int, place: Place) -> dict[str, Any]:
        """Return the arguments of a recording, for `plan` and `simulate_recording`."""
        shown = TRUE_TIME if self.devices == 1 else device_clock(self.seed, number, place, self.device)
        return {"days": self.days, "kind": self.device, "place": place, "shown": shown}

    def recordings(self) -> Iterator[SimulatedRecording]:
        """Return the truth about each recording, without samples."""
        return (plan(self.seed, number, **self.arguments(number, place)) for number, place in self.files)

    def file_of(self, participant: int, place: Place = "wrist") -> str:
        """Return P0001.cwa for 1, or P0001_wrist.cwa if there are several devices."""
        where = f"_{place.replace(' ', '-')}" if self.devices > 1 else ""
        return name_of(participant) + where + SUFFIX[self.device]


def make(cohort: SimulatedCohort, folder: Path, workers: int) -> int:
    """Write the cohort's missing recordings and their truth into `folder`; returns how many were missing.

    Raises UserError when the folder holds anything else.
    """
    _claim(cohort, folder)
    missing = [file for file in cohort.files if not (folder / cohort.file_of(*file)).exists()]
    if missing:
        _run(cohort, folder, missing, min(workers, len(missing)))
    if missing or not (folder / TRUTH).exists():
        if cohort.devices > 1:
            _write_clocks(cohort, folder / CLOCKS)
        _write_truth(cohort, folder / TRUTH)
    return len(missing)


def _claim(cohort: SimulatedCohort, folder: Path) -> None:
    """Check that the folder is new or has the same arguments, and remove partial files of a killed run."""
    arguments = folder / ARGUMENTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"expected a folder to write into, found a file: {folder}. Name another one.") from None
    except OSError as error:
        raise UserError(f"cannot create the folder {folder}: {error.strerror}. Name one that can be written.") from None
    if arguments.exists():
        found = json.loads(arguments.read_text())
        found.setdefault("devices", 1)  # a folder of an earlier release has none
        if found != asdict(cohort):
            raise UserError(
                f"{folder} was simulated with {_words(found)}; expected {_words(asdict(cohort))}. Name another folder, "
                "or delete that one."
            )
        _remove_partial(folder)
        return
    if any(path.name != f".{ARGUMENTS}.partial" for path in folder.iterdir()):
        raise UserError(
            f"expected a new or empty folder, or one of `persondays simulate`; {folder} holds other files. "
            "Name another folder."
        )
    _write_atomically(arguments, json.dumps(asdict(cohort), indent=2).encode() + b"\n")


def _remove_partial(folder: Path) -> None:
    for left in folder.glob(".*.partial"):
        left.unlink()


def _words(arguments: dict[str, Any]) -> str:
    return " ".join(f"{name} {value:g}" if name == "days" else f"{name} {value}" for name, value in arguments.items())


def _write_atomically(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def _run(cohort: SimulatedCohort, folder: Path, files: list[tuple[int, Place]], workers: int) -> None:
    """Simulate in processes that each take the next recording; the first error stops all of them."""
    context = multiprocessing.get_context("spawn")
    next_position, seconds = context.Value("q", 0), context.Value("d", 0.0)
    errors, error_pipe = context.Pipe(duplex=False)
    arguments = (cohort, folder, files, next_position, seconds, error_pipe)
    processes: list[BaseProcess] = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(workers)]
    hours = len(files) * cohort.days * 24
    with Progress("simulate", hours, "hours of recording") as progress, _ended(processes, folder):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited: Ctrl-C reaches only this process
        for process in processes:
            process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        running = list(processes)
        while running:
            wait([errors, *(process.sentinel for process in running)], timeout=0.25)
            running = [process for process in running if process.is_alive()]
            if errors.poll():
                raise errors.recv()
            for process in processes:
                if process.exitcode:
                    raise UserError(
                        f"a worker process ended with status {process.exitcode}, perhaps for lack of memory. Complete "
                        "files are kept: run the same command again with fewer --workers."
                    )
            progress.update(seconds.value / 3_600, f"{workers} at a time")


@contextmanager
def _ended(processes: list[BaseProcess], folder: Path) -> Iterator[None]:
    """Leave no process and no partial file behind, whatever happens inside."""
    try:
        yield
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()
        _remove_partial(folder)


def _work(
    cohort: SimulatedCohort,
    folder: Path,
    files: list[tuple[int, Place]],
    next_position: Any,
    seconds: Any,
    error_pipe: Connection,
) -> None:
    parent = parent_process()

    def on_progress(recorded_s: float) -> None:
        with seconds.get_lock():
            seconds.value += recorded_s
        if parent is not None and not parent.is_alive():
            raise SystemExit

    try:
        while True:
            with next_position.get_lock():
                position = next_position.value
                next_position.value += 1
            if position >= len(files):
                return
            number, place = files[position]
            path, arguments = folder / cohort.file_of(number, place), cohort.arguments(number, place)
            simulate_recording(path, cohort.seed, number, on_progress=on_progress, **arguments)
    except Exception as error:
        error.add_note(traceback.format_exc())
        error_pipe.send(error)


def _write_truth(cohort: SimulatedCohort, path: Path) -> None:
    """Write a row for each bout: participant, start and end, activity, cadence, wrist.

    Times are those of the device's clock. If people wear several devices, times are true, and the bouts have no gaps.
    """
    import numpy as np
    import pyarrow as pa

    parts = []
    for recording in cohort.recordings():
        if recording.place != "wrist":
            continue
        bouts = truth(recording) if cohort.devices == 1 else recording.bouts
        start, end = (
            recording.start + np.round(np.array(seconds) * 1e6).astype("timedelta64[us]")
            for seconds in ([bout.start_s for bout in bouts], [bout.end_s for bout in bouts])
        )
        parts.append(
            pa.table(
                {
                    "participant": pa.array([recording.participant] * len(bouts), pa.string()),
                    "start": pa.array(start, pa.timestamp("us")),
                    "end": pa.array(end, pa.timestamp("us")),
                    "activity": pa.array([str(bout.activity) for bout in bouts], pa.string()),
                    "cadence_hz": pa.array([bout.cadence or None for bout in bouts], pa.float32()),
                    "wrist": pa.array([recording.person.wrist] * len(bouts), pa.string()),
                }
            )
        )
    _write_table(cohort, pa.concat_tables(parts), path)


def _write_clocks(cohort: SimulatedCohort, path: Path) -> None:
    """Write a row for each recording: participant, file, location, and how wrong the device's clock is.

    A device shows true time plus `offset_s`, and `drift_ppm` millionths more of the time since the recording's start.
    """
    import pyarrow as pa

    rows = [
        {
            "participant": recording.participant,
            "file": cohort.file_of(number, place),
            "location": location_of(recording.person, place),
            "start": recording.start.astype(object),
            "offset_s": recording.shown.offset_s,
            "drift_ppm": recording.shown.drift_ppm,
        }
        for (number, place), recording in zip(cohort.files, cohort.recordings(), strict=True)
    ]
    _write_table(cohort, pa.Table.from_pylist(rows), path)


def _write_table(cohort: SimulatedCohort, table: Any, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"simulation": json.dumps(asdict(cohort))}), sink)
    _write_atomically(path, sink.getvalue().to_pybytes())
