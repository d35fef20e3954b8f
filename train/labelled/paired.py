"""A paired folder: labelled trials that several modalities recorded together, one array for each modality.

`X_<modality>.npy` is float32 (trials, steps, ...), with the same number of steps in every modality. `Y.npy` has the
activity of each trial, `pid.npy` the participant, `trial.npy` the number of the repetition; `info.json` the units and
rates, and is written last.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.storage.result_folder import result_folder, write_json

KIND = "persondays-paired"
VERSION = 1
COMMON = ("Y", "pid", "trial")


@dataclass(frozen=True)
class PairedTrials:
    """Trials by modality, float32 (trials, steps, ...), with activity, participant and repetition of each."""

    x: dict[str, NDArray[np.float32]]
    y_N: NDArray[np.str_]
    pid_N: NDArray[np.str_]
    trial_N: NDArray[np.int64]

    def __str__(self) -> str:
        people, activities = len(set(self.pid_N.tolist())), len(set(self.y_N.tolist()))
        return f"{len(self.y_N):,} trials of {people} people and {activities} activities, in {' and '.join(self.x)}"


def write_paired(out: Path, trials: PairedTrials, source: str, facts: dict[str, Any]) -> None:
    """Write a paired folder to `out`, atomically; `source` and `facts` go into info.json.

    Raises UserError when `out` holds something other than an earlier paired folder of these modalities.
    """
    info = {
        "format": KIND,
        "version": VERSION,
        "source": source,
        "shapes": {name: list(array.shape) for name, array in trials.x.items()},
        "people": len(set(trials.pid_N.tolist())),
        "labels": dict(sorted(Counter(trials.y_N.tolist()).items())),
        **facts,
    }
    arrays = {f"X_{name}": array for name, array in trials.x.items()} | dict(
        zip(COMMON, (trials.y_N, trials.pid_N, trials.trial_N), strict=True)
    )
    with result_folder(out, "info.json", KIND, {"info.json", *(f"{name}.npy" for name in arrays)}) as folder:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        write_json(folder / "info.json", info)


def read_paired(folder: Path) -> PairedTrials:
    """Return the trials of a folder that `write_paired` wrote, with their modalities by name; raises UserError."""
    try:
        info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
        x = {name: np.load(folder / f"X_{name}.npy") for name in info["shapes"]}
        y_N, pid_N, trial_N = (np.load(folder / f"{name}.npy") for name in COMMON)
        shapes = {name: list(array.shape) for name, array in x.items()}
        complete = info["format"] == KIND and shapes == info["shapes"]
        complete &= {len(array) for array in (*x.values(), y_N, pid_N, trial_N)} == {sum(info["labels"].values())}
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError):
        complete = False
    if not complete:
        raise UserError(
            f"{folder}: expected a paired folder made by `persondays labelled utd-mhad`, complete and unchanged. "
            "Make it again."
        )
    return PairedTrials(x, y_N.astype(str), pid_N.astype(str), trial_N)
