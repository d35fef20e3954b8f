"""A labelled set on disk: X.npy, Y.npy, pid.npy as the reference code keeps them, and info.json beside them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import SAMPLE_RATE_HZ
from pipeline.storage.result_folder import result_folder, write_json

KIND = "persondays-labelled"
VERSION = 1
FILES = {"X.npy", "Y.npy", "pid.npy", "info.json"}


def write_labelled(
    out: Path, x_NTC: NDArray[np.float32], y_N: list[str], pid_N: list[str], source: str, facts: dict[str, Any]
) -> None:
    """Write windows in g at 30 Hz (windows, ticks, 3), their labels and their people to the folder `out`.

    `facts` goes into info.json. Raises UserError when there is no window or `out` holds something else.
    """
    if not len(x_NTC) == len(y_N) == len(pid_N):
        raise ValueError(f"{len(x_NTC)} windows, {len(y_N)} labels, {len(pid_N)} people")
    if not y_N:
        raise UserError(f"no window could be cut from {source}: nothing was written. Try shorter windows (--seconds).")
    info = {
        "format": KIND,
        "version": VERSION,
        "source": source,
        "rate_hz": SAMPLE_RATE_HZ,
        "seconds": x_NTC.shape[1] / SAMPLE_RATE_HZ,
        "unit": "g",
        "shape": list(x_NTC.shape),
        "people": len(set(pid_N)),
        "labels": dict(sorted(Counter(y_N).items())),
        **facts,
    }
    with result_folder(out, "info.json", KIND, FILES) as folder:
        np.save(folder / "X.npy", np.ascontiguousarray(x_NTC, dtype=np.float32))
        np.save(folder / "Y.npy", np.array(y_N))
        np.save(folder / "pid.npy", np.array(pid_N))
        write_json(folder / "info.json", info)
