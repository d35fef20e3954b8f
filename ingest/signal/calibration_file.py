"""Read calibrations by device from a file that `persondays inspect STORE --calibration FILE` wrote."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ingest.signal.calibrate import Calibration, PerAxis, plausible
from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.inspect.calibration import KIND, VERSION


def read_calibrations(path: Path, key: Key) -> dict[str, Calibration]:
    """Coefficients by the keyed id of a device's serial number.

    Raises UserError for a file that cannot be read, contains something else or implausible coefficients, or belongs to
    another key, under which no device would be found.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read --calibration {path}: {error}.") from None
    if not isinstance(found, dict) or (found.get("format"), found.get("version")) != (KIND, VERSION):
        raise UserError(
            f"--calibration {path}: expected a file that `persondays inspect STORE --calibration FILE` wrote "
            f"({KIND}, version {VERSION}), found another."
        )
    if found.get("key_check") != key.check:
        raise UserError(
            f"--calibration {path}: it was written from a store with another key, under which devices have other ids. "
            "Write it from a store with this key."
        )
    try:
        return {serial: _calibration(values) for serial, values in found["devices"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(
            f"--calibration {path}: expected plausible gain, offset_g and drift_g_per_celsius (three numbers each) and "
            "reference_celsius for every device, found something else. Write the file again."
        ) from None


def _calibration(values: dict[str, Any]) -> Calibration:
    gain, offset, drift = (_axes(values[name]) for name in ("gain", "offset_g", "drift_g_per_celsius"))
    made = Calibration("given", gain, offset, drift, float(values["reference_celsius"]))
    if not plausible(made) or not all(map(math.isfinite, (*drift, made.reference_celsius))):
        raise ValueError
    return made


def _axes(values: Any) -> PerAxis:
    x, y, z = (float(value) for value in values)
    return x, y, z
