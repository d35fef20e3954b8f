"""Read one .cwa file with actipy and with cwa-reader-rs, compare their samples, and save them.

bench.simulator runs it in the peers' environment. Arguments: the file, and a folder for samples.npy (float32
(n, 3), g), times.npy (int64 microseconds) and peers.json.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import actipy
import cwa_reader_rs
import numpy as np


def main(recording: Path, out: Path) -> None:
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    java, _ = actipy.read_device(
        str(recording), lowpass_hz=None, calibrate_gravity=False, detect_nonwear=False, resample_hz=None, verbose=False
    )
    between = time.perf_counter()
    rust = cwa_reader_rs.read_cwa_file(str(recording))
    ended = time.perf_counter()
    x_java, x_rust = java[["x", "y", "z"]].to_numpy(np.float32), rust[["acc_x", "acc_y", "acc_z"]].to_numpy(np.float32)
    common = min(len(x_java), len(x_rust))
    differs = np.flatnonzero((x_java[:common] != x_rust[:common]).any(axis=1))
    times = rust.index.to_numpy().astype("datetime64[us]").astype(np.int64)
    found = {
        "actipy samples": len(x_java),
        "cwa-reader-rs samples": len(x_rust),
        "equal samples from the start": int(differs[0]) if differs.size else common,
        "actipy span h": (java.index[-1] - java.index[0]).total_seconds() / 3600,
        "cwa-reader-rs span h": (times[-1] - times[0]) / 3.6e9,
        "actipy seconds": between - began,
        "cwa-reader-rs seconds": ended - between,
    }
    np.save(out / "samples.npy", x_rust)
    np.save(out / "times.npy", times)
    (out / "peers.json").write_text(json.dumps(found))


main(Path(sys.argv[1]), Path(sys.argv[2]))
