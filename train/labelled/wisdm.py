"""WISDM 2019 smartwatch accelerometer (Weiss et al. 2019, doi:10.1109/ACCESS.2019.2940729) as labelled windows.

A text file for each person: `subject,letter,nanoseconds,x,y,z;` in m/s². Time stamps count from the watch's boot, so
only their differences mean anything. The watch is nominally at 20 Hz, with intervals at 25 and 100 Hz and pauses of up
to 0.4 s: every window is cut from a run of samples of one rate and one activity.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import SAMPLE_RATE_HZ
from pipeline.units import STANDARD_GRAVITY
from train.labelled.cut import cut
from train.labelled.files import LabelledWindows

NAME = re.compile(r"data_(\w+)_accel_watch\.txt(\.gz)?")
ABOUT: dict[str, Any] = {"unit_of_source": "m/s2", "rates_hz": [20, 25, 100], "rail_g": 2.04, "licence": "CC BY 4.0"}
"""What the set says about itself, and its rail as measured."""
SAME_RATE = 1.15
"""Consecutive intervals between samples whose ratio is below this belong to one run."""


@dataclass(frozen=True)
class WatchSamples:
    """A person's file: times in seconds (samples,), activity letters (samples,), acceleration in g (3, samples)."""

    person: str
    time_N: NDArray[np.float64]
    letter_N: NDArray[np.str_]
    x_CN: NDArray[np.float64]
    dropped_lines: int


def find_files(source: Path) -> list[Path]:
    """Return the watch accelerometer files below a folder, plain or gzipped, by subject; raises UserError if none."""
    files = sorted((path for path in source.rglob("data_*") if NAME.fullmatch(path.name)), key=lambda path: path.name)
    if not files:
        raise UserError(
            f"{source}: expected the WISDM watch accelerometer files (data_1600_accel_watch.txt, also .gz) and "
            "activity_key.txt below this folder, found none. Unpack the data set and give its folder."
        )
    return files


def read_activities(folder: Path) -> dict[str, str]:
    """Read activity names by letter from activity_key.txt (`walking = A`), in the folder or up to three above it."""
    for place in (folder, *folder.parents[:3]):
        if (place / "activity_key.txt").is_file():
            pairs = re.findall(
                r"^(\w[^=\n]*?)\s*=\s*([A-Z])\s*$", (place / "activity_key.txt").read_text(), re.MULTILINE
            )
            return {letter: name for name, letter in pairs}
    raise UserError(
        f"{folder}: expected activity_key.txt (`walking = A`) in the folder of the files or above it, found none. Put "
        "it there."
    )


def read_samples(path: Path) -> WatchSamples:
    """Read a person's samples in file order; lines without six fields are dropped and counted. Raises UserError."""
    import pyarrow as pa
    from pyarrow import csv

    dropped = 0

    def drop(_row: csv.InvalidRow) -> str:
        nonlocal dropped
        dropped += 1
        return "skip"

    types = {"subject": pa.string(), "letter": pa.string(), "time": pa.int64()} | dict.fromkeys("xyz", pa.float64())
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).replace(b";", b"")
        table = csv.read_csv(
            io.BytesIO(text),
            csv.ReadOptions(column_names=list(types), use_threads=False),
            csv.ParseOptions(invalid_row_handler=drop),
            csv.ConvertOptions(column_types=types),
        )
    except (OSError, EOFError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path}: expected lines of subject,letter,nanoseconds,x,y,z; found something else ({error}). "
            "Download the file again."
        ) from None
    return WatchSamples(
        person=NAME.fullmatch(path.name).group(1),  # type: ignore[union-attr]
        time_N=table["time"].to_numpy() * 1e-9,
        letter_N=table["letter"].to_numpy().astype(str),
        x_CN=np.stack([table[axis].to_numpy() for axis in "xyz"]) / STANDARD_GRAVITY,
        dropped_lines=dropped,
    )


def runs(samples: WatchSamples) -> Iterator[tuple[int, int]]:
    """Yield runs of samples of one activity and one rate, forwards in time, as first and one past the last.

    Where the rate changes, the sample at the change belongs to both runs.
    """
    interval = np.diff(samples.time_N)
    usable = (interval > 0) & (samples.letter_N[1:] == samples.letter_N[:-1])
    log_interval = np.log(np.where(interval > 0, interval, 1.0))
    rate_changes = np.abs(np.diff(log_interval)) > np.log(SAME_RATE)
    edges = np.flatnonzero(~usable[1:] | ~usable[:-1] | rate_changes) + 1
    for first, last in pairwise([0, *edges.tolist(), len(interval)]):  # intervals first .. last - 1 are of one rate
        if last > first and usable[first]:
            yield first, last + 1


def windows_of(samples: WatchSamples, first: int, stop: int, ticks: int) -> NDArray[np.float32]:
    """Cut consecutive windows (windows, ticks, 3) in g at 30 Hz from a run, the filter's reach away from its ends."""
    return cut(samples.time_N[first:stop], samples.x_CN[:, first:stop], ticks)


def label_wisdm(
    files: list[Path], seconds: int, progress: Callable[[int], None] = lambda done: None
) -> tuple[LabelledWindows, dict[str, Any]]:
    """Cut windows of `seconds` without overlap from all files; also returns facts for info.json. Raises UserError."""
    names = read_activities(files[0].parent)
    facts = {**ABOUT, "files": len(files), "dropped_lines": 0, "samples_of_unknown_activity": 0}

    def pieces() -> Iterator[tuple[str, str, NDArray[np.float32]]]:
        for done, path in enumerate(files, 1):
            samples = read_samples(path)
            facts["dropped_lines"] += samples.dropped_lines
            facts["samples_of_unknown_activity"] += int((~np.isin(samples.letter_N, list(names))).sum())
            for first, stop in runs(samples):
                activity = names.get(str(samples.letter_N[first]))
                if activity is not None:
                    yield samples.person, activity, windows_of(samples, first, stop, seconds * SAMPLE_RATE_HZ)
            progress(done)

    return LabelledWindows.of(pieces(), seconds), facts
