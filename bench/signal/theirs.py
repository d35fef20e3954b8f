"""Process one recording with actipy: -m bench.signal.theirs FILE FOLDER, run by bench.signal in the peers' environment.

It writes .npy files. At the device's own rate: `second` (n,), since 1970, `raw` and `calibrated` (n, 3) in g, `celsius`
and `nonwear` (n,). At 30 Hz by the nearest sample: `second_30`, `nearest` and, after actipy's lowpass of 20 Hz,
`lowpass_nearest`.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import actipy
import numpy as np


def xyz(frame: Any) -> np.ndarray:
    return frame[["x", "y", "z"]].to_numpy(np.float32)


def seconds(frame: Any) -> np.ndarray:
    return frame.index.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6


def main(recording: str, out: Path) -> None:
    warnings.simplefilter("ignore")

    def read(**options: Any) -> Any:
        plain = {"lowpass_hz": None, "calibrate_gravity": False, "detect_nonwear": False, "resample_hz": None}
        return actipy.read_device(recording, verbose=False, **plain | options)[0]

    raw = read()
    np.save(out / "second.npy", seconds(raw))
    np.save(out / "raw.npy", xyz(raw))
    np.save(out / "celsius.npy", raw["temperature"].to_numpy(np.float32))
    np.save(out / "calibrated.npy", xyz(read(calibrate_gravity=True)))
    np.save(out / "nonwear.npy", np.isnan(xyz(read(calibrate_gravity=True, detect_nonwear=True))).any(axis=1))
    nearest = read(calibrate_gravity=True, resample_hz=30)
    np.save(out / "second_30.npy", seconds(nearest))
    np.save(out / "nearest.npy", xyz(nearest))
    np.save(out / "lowpass_nearest.npy", xyz(read(calibrate_gravity=True, resample_hz=30, lowpass_hz=20)))


main(sys.argv[1], Path(sys.argv[2]))
