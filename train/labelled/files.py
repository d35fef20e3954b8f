"""A labelled set: windows with labels and participants, and its folder of X.npy, Y.npy, pid.npy and info.json.

The three arrays are those that the reference code reads.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import AXES, SAMPLE_RATE_HZ
from pipeline.storage.result_folder import result_folder, write_json

KIND = "persondays-labelled"
VERSION = 1
MISSING = frozenset({"", "nan", "NaN", "None", "<NA>", "NaT"})
"""What a missing label is as text: empty, or a missing value of numpy or pandas."""
COLUMNS = ("device", "location", "month", "dataset")
"""Further columns that a set may have, one file for each; `persondays evaluate --domain` leaves their values out."""
FILES = {"X.npy", "Y.npy", "pid.npy", "info.json", *(f"{name}.npy" for name in COLUMNS)}


@dataclass(frozen=True)
class LabelledWindows:
    """Windows in g at 30 Hz, float32 (windows, ticks, 3), with the activity and the participant of each.

    `columns` are further values of each window, by a name in COLUMNS.
    """

    x_NTC: NDArray[np.float32]
    y_N: list[str]
    pid_N: list[str]
    columns: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, pieces: Iterable[tuple[str, str, NDArray[np.float32]]], seconds: int) -> LabelledWindows:
        """Join pieces of (participant, activity, windows) of `seconds` each, in their order."""
        x = [np.empty((0, seconds * SAMPLE_RATE_HZ, AXES), np.float32)]
        y_N: list[str] = []
        pid_N: list[str] = []
        for participant, activity, windows_NTC in pieces:
            x.append(windows_NTC)
            y_N += [activity] * len(windows_NTC)
            pid_N += [participant] * len(windows_NTC)
        return cls(np.concatenate(x), y_N, pid_N)

    def __str__(self) -> str:
        return f"{len(self.y_N):,} windows of {len(set(self.pid_N))} people and {len(set(self.y_N))} activities"


def write_labelled(out: Path, windows: LabelledWindows, source: str, facts: dict[str, Any]) -> None:
    """Write a labelled set to the folder `out`, atomically; `source` and `facts` go into info.json.

    Raises UserError when there is no window, or when `out` holds something other than an earlier labelled set.
    """
    if not windows.y_N:
        raise UserError(f"no window could be cut from {source}: nothing was written. Try shorter windows (--seconds).")
    info = {
        "format": KIND,
        "version": VERSION,
        "source": source,
        "rate_hz": SAMPLE_RATE_HZ,
        "seconds": windows.x_NTC.shape[1] / SAMPLE_RATE_HZ,
        "unit": "g",
        "shape": list(windows.x_NTC.shape),
        "people": len(set(windows.pid_N)),
        "labels": dict(sorted(Counter(windows.y_N).items())),
        **facts,
    }
    with result_folder(out, "info.json", KIND, FILES) as folder:
        np.save(folder / "X.npy", windows.x_NTC)
        np.save(folder / "Y.npy", np.array(windows.y_N))
        np.save(folder / "pid.npy", np.array(windows.pid_N))
        for name, values in windows.columns.items():
            np.save(folder / f"{name}.npy", np.array(values))
        write_json(folder / "info.json", info)


def read_windows(folder: Path) -> LabelledWindows:
    """Return the windows, activities and participants of a set that `write_labelled` wrote; raises UserError if not."""
    try:
        info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
        arrays = [np.load(folder / f"{name}.npy") for name in ("X", "Y", "pid")]
        is_ours = info["format"] == KIND and info["rate_hz"] == SAMPLE_RATE_HZ
    except (OSError, ValueError, TypeError, KeyError):
        is_ours, arrays = False, []
    if not is_ours or len({len(array) for array in arrays}) != 1:
        raise UserError(f"{folder}: expected a labelled set made by `persondays labelled`, complete and unchanged.")
    return LabelledWindows(arrays[0], arrays[1].astype(str).tolist(), arrays[2].astype(str).tolist())
