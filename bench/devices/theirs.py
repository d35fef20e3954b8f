"""Read one ActiGraph or GENEActiv recording with actipy, a .gt3x also with pygt3x, and save their samples.

bench.devices runs it in the peers' environment. Arguments: the file, and a folder for NAME.npy (float64 (n, 4):
seconds since 1970, g) and peers.json (seconds each took).
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import actipy
import numpy as np


def with_actipy(recording: Path) -> np.ndarray:
    """Times and samples."""
    options = {"lowpass_hz": None, "calibrate_gravity": False, "detect_nonwear": False, "resample_hz": None}
    frame, _ = actipy.read_device(str(recording), verbose=False, **options)
    second_N = frame.index.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    return np.column_stack([second_N, frame[["x", "y", "z"]].to_numpy(np.float64)])


def with_pygt3x(recording: Path) -> np.ndarray:
    """Times and samples, without those that it inserts for idle sleep."""
    from pygt3x.reader import FileReader

    with FileReader(str(recording)) as reader:
        frame = reader.to_pandas()
    frame = frame[~frame["IdleSleepMode"].astype(bool)]
    return np.column_stack([frame.index.to_numpy(np.float64), frame[["X", "Y", "Z"]].to_numpy(np.float64)])


def main(recording: Path, out: Path) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    seconds = {}
    readers = {"actipy": with_actipy} | ({"pygt3x": with_pygt3x} if recording.suffix == ".gt3x" else {})
    for name, read in readers.items():
        began = time.perf_counter()
        found = read(recording)
        seconds[name] = time.perf_counter() - began
        np.save(out / f"{name}.npy", found)
    (out / "peers.json").write_text(json.dumps(seconds))


main(Path(sys.argv[1]), Path(sys.argv[2]))
