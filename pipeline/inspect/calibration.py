"""The calibrations that recordings found for themselves, by device: for recordings that cannot (docs/signal.md).

Devices go by the keyed ids of their serial numbers, so the file tells nobody's and belongs to the store's key.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow.compute as pc

from pipeline.store.store import Store

KIND = "persondays-calibration"
VERSION = 1


def coefficients(store: Store) -> dict[str, Any]:
    """Gain, offset and drift of every device that has a recording with its own calibration, JSON-ready.

    Of several recordings of a device that with the most windows at rest counts, of equal ones that of the first id.
    """
    read = store.recordings.read(["recording", "status", "serial", "figures"])
    rows = read.filter(pc.and_(pc.equal(read["status"], "done"), pc.is_valid(read["serial"]))).sort_by("recording")
    best: dict[str, dict[str, Any]] = {}
    for row in rows.to_pylist():
        figures = json.loads(row["figures"])
        if figures["calibration"] != "own":
            continue
        before = best.get(row["serial"])
        if before is None or figures["still_windows"] > before["still_windows"]:
            best[row["serial"]] = figures
    return {
        "format": KIND,
        "version": VERSION,
        "key_check": store.attributes.key_check,
        "devices": {serial: _of(best[serial]) for serial in sorted(best)},
    }


def _of(figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "gain": [figures[f"gain_{axis}"] for axis in "xyz"],
        "offset_g": [figures[f"offset_{axis}_g"] for axis in "xyz"],
        "drift_g_per_celsius": [figures[f"drift_{axis}_g_per_celsius"] for axis in "xyz"],
        "reference_celsius": figures["reference_celsius"],
        "still_windows": figures["still_windows"],
        "error_after_mg": figures["error_after_mg"],
    }
