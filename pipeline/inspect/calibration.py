"""The calibrations that recordings determined themselves, by device, for recordings that cannot (docs/signal.md).

Devices are known by the keyed ids of their serial numbers: the file names no device and belongs to the store's key.
"""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from pipeline.store.figures import read_figures
from pipeline.store.store import Store

KIND = "persondays-calibration"
VERSION = 1
AXES = "xyz"
GAIN = [f"gain_{axis}" for axis in AXES]
OFFSET = [f"offset_{axis}_g" for axis in AXES]
DRIFT = [f"drift_{axis}_g_per_celsius" for axis in AXES]
OTHERS = ["reference_celsius", "still_windows", "error_after_mg"]


def coefficients(store: Store) -> dict[str, Any]:
    """Gain, offset and drift of every device that has a recording with its own calibration, JSON-ready.

    A device with several such recordings gets the one with the most still windows; of equal ones, the first id.
    """
    read = store.recordings.read(["recording", "status", "serial", "figures"])
    rows = read.filter(pc.and_(pc.equal(read["status"], "done"), pc.is_valid(read["serial"]))).sort_by("recording")
    figures = read_figures(rows["figures"], ["calibration", *GAIN, *OFFSET, *DRIFT, *OTHERS])
    own = pc.equal(figures["calibration"], "own")
    best: dict[str, dict[str, Any]] = {}
    for serial, values in zip(rows["serial"].filter(own).to_pylist(), figures.filter(own).to_pylist(), strict=True):
        if serial not in best or values["still_windows"] > best[serial]["still_windows"]:
            best[serial] = values
    return {
        "format": KIND,
        "version": VERSION,
        "key_check": store.attributes.key_check,
        "devices": {serial: _coefficients(best[serial]) for serial in sorted(best)},
    }


def _coefficients(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "gain": [figures[name] for name in GAIN],
        "offset_g": [figures[name] for name in OFFSET],
        "drift_g_per_celsius": [figures[name] for name in DRIFT],
        "reference_celsius": figures["reference_celsius"],
        "still_windows": int(figures["still_windows"]),
        "error_after_mg": figures["error_after_mg"],
    }
