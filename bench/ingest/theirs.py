"""The peers' kinds of work for bench.ingest, one per process: -m bench.ingest.theirs NAME WORK FILE CORE.

bench.ingest runs it in the peers' environment. At 30 Hz, actipy does the same steps as ours: its lowpass (20 Hz),
calibration, non-wear, and resampling by the nearest sample, the only method it has. cwa-reader-rs interpolates
piecewise by cubics, without filter, calibration or non-wear.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .turns import Call, serve


def actipy_read(path: str) -> Any:
    import actipy

    nothing = {"lowpass_hz": None, "calibrate_gravity": False, "detect_nonwear": False, "resample_hz": None}
    return actipy.read_device(path, verbose=False, **nothing)[0]


def actipy_30_hz(path: str) -> Any:
    import actipy

    return actipy.read_device(path, verbose=False, resample_hz=30)[0]


def rust_read(path: str) -> Any:
    import cwa_reader_rs

    return cwa_reader_rs.read_cwa_file(path)


def rust_30_hz(path: str) -> Any:
    import cwa_reader_rs

    return cwa_reader_rs.read_cwa_file(path, resample_hz=30)


def pygt3x_read(path: str) -> Any:
    from pygt3x.reader import FileReader

    with FileReader(path) as reader:
        return reader.to_pandas()


WORKS = {
    ("actipy", "read"): actipy_read,
    ("actipy", "30 Hz, in memory"): actipy_30_hz,
    ("cwa-reader-rs", "read"): rust_read,
    ("cwa-reader-rs", "30 Hz, in memory"): rust_30_hz,
    ("pygt3x", "read"): pygt3x_read,
}


@contextmanager
def ready(name: str, work: str, path: str) -> Iterator[Call]:
    """The call; its data frame is freed before the next."""
    yield lambda: {"samples": len(WORKS[name, work](path))}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    serve(partial(ready, *sys.argv[1:4]), int(sys.argv[4]))
