"""A folder of recordings: made by several processes, whole file by whole file, and gone on with where it stopped.

`simulation.json` is written first and says what the folder is being filled with; `_truth.parquet` is
written last and says that it is complete.
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

from ingest.simulate.population import Kind
from ingest.simulate.recording import SUFFIX, Recording, name_of, plan, simulate_recording, truth
from pipeline.errors import UserError
from pipeline.progress import Progress

ARGUMENTS = "simulation.json"
TRUTH = "_truth.parquet"
"""Begins with an underscore, so that ingest does not take it for a recording."""


SIMULATOR = "0.1.0"
"""Raise it when the same arguments give other recordings: a folder is only completed by the simulator that began it."""


@dataclass(frozen=True)
class Cohort:
    """What a folder is filled with."""

    participants: int
    days: float
    seed: int
    device: Kind = "axivity"
    version: str = SIMULATOR

    def __post_init__(self) -> None:
        if self.participants < 1 or not 0 < self.days <= 60 or self.seed < 0:
            raise UserError(
                "expected at least 1 participant, days above 0 and up to 60, and a seed of 0 or more; found "
                f"--participants {self.participants} --days {self.days:g} --seed {self.seed}."
            )
        if self.device not in SUFFIX:
            raise UserError(f"expected --device to be one of {', '.join(SUFFIX)}; found {self.device}.")

    def recordings(self) -> Iterator[Recording]:
        """What is true about each recording; makes no samples."""
        return (plan(self.seed, number, days=self.days, kind=self.device) for number in range(1, self.participants + 1))

    def file_of(self, participant: int) -> str:
        """P0001.cwa for 1."""
        return name_of(participant) + SUFFIX[self.device]


def make(cohort: Cohort, folder: Path, workers: int) -> int:
    """Fill `folder` with the cohort's recordings and their truth; gives how many recordings were made now.

    Raises UserError when the folder holds anything else.
    """
    _claim(cohort, folder)
    missing = [n for n in range(1, cohort.participants + 1) if not (folder / cohort.file_of(n)).exists()]
    if missing:
        _run(cohort, folder, missing, min(workers, len(missing)))
    if missing or not (folder / TRUTH).exists():
        _write_truth(cohort, folder / TRUTH)
    return len(missing)


def _claim(cohort: Cohort, folder: Path) -> None:
    """See that the folder is new, or was begun with the same arguments; remove what a killed run left."""
    arguments = folder / ARGUMENTS
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"expected a folder to write into, found a file: {folder}.") from None
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}. Name one that can be written.") from None
    if arguments.exists():
        found = json.loads(arguments.read_text())
        if found != asdict(cohort):
            raise UserError(
                f"{folder} was simulated with {_words(found)}; asked for now: {_words(asdict(cohort))}. "
                "Name another folder, or delete that one."
            )
        _remove_partial(folder)
        return
    if any(path.name != f".{ARGUMENTS}.partial" for path in folder.iterdir()):
        raise UserError(
            f"expected a new or empty folder, or one that `persondays simulate` began: {folder} holds other files. "
            "Name another folder."
        )
    _write_whole(arguments, json.dumps(asdict(cohort), indent=2).encode() + b"\n")


def _remove_partial(folder: Path) -> None:
    for left in folder.glob(".*.partial"):
        left.unlink()


def _words(arguments: dict[str, Any]) -> str:
    return " ".join(f"{name} {value:g}" if name == "days" else f"{name} {value}" for name, value in arguments.items())


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def _run(cohort: Cohort, folder: Path, participants: list[int], workers: int) -> None:
    """Make recordings in processes that each take the next participant; the first fault ends all of them."""
    context = multiprocessing.get_context("spawn")
    taken, seconds = context.Value("q", 0), context.Value("d", 0.0)
    faults, answer = context.Pipe(duplex=False)
    arguments = (cohort, folder, participants, taken, seconds, answer)
    processes: list[BaseProcess] = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(workers)]
    hours = len(participants) * cohort.days * 24
    with Progress("simulate", hours, "hours of recording") as progress, _ended(processes, folder):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # processes inherit it: only the parent hears Ctrl-C
        for process in processes:
            process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        running = list(processes)
        while running:
            wait([faults, *(process.sentinel for process in running)], timeout=0.25)
            running = [process for process in running if process.is_alive()]
            if faults.poll():
                raise faults.recv()
            for process in processes:
                if process.exitcode:
                    raise UserError(
                        f"a simulating process ended with status {process.exitcode}; was memory short? Files that are "
                        "whole stay: run the same command again, with fewer --workers."
                    )
            progress.update(seconds.value / 3_600, f"{workers} at a time")


@contextmanager
def _ended(processes: list[BaseProcess], folder: Path) -> Iterator[None]:
    """Whatever happens inside, no process is left behind, and no part of a file."""
    try:
        yield
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()
        _remove_partial(folder)


def _work(cohort: Cohort, folder: Path, participants: list[int], taken: Any, seconds: Any, answer: Connection) -> None:
    parent = parent_process()

    def made(recorded_s: float) -> None:
        with seconds.get_lock():
            seconds.value += recorded_s
        if parent is not None and not parent.is_alive():
            raise SystemExit

    try:
        while True:
            with taken.get_lock():
                position, taken.value = taken.value, taken.value + 1
            if position >= len(participants):
                return
            number = participants[position]
            path = folder / cohort.file_of(number)
            simulate_recording(path, cohort.seed, number, days=cohort.days, kind=cohort.device, on_progress=made)
    except Exception as error:
        error.add_note(traceback.format_exc())
        answer.send(error)


def _write_truth(cohort: Cohort, path: Path) -> None:
    """One row a bout: participant, start, end (microseconds, the device's clock), activity, cadence, wrist."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for recording in cohort.recordings():
        bouts = truth(recording)
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
    table = pa.concat_tables(parts).replace_schema_metadata({"simulation": json.dumps(asdict(cohort))})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    _write_whole(path, sink.getvalue().to_pybytes())
