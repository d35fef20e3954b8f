"""Units of acceleration."""

from __future__ import annotations

from typing import Literal

STANDARD_GRAVITY = 9.80665
"""m/s2 in one g."""

Unit = Literal["g", "m/s2", "mg"]
GRAVITY: dict[Unit, float] = {"g": 1.0, "m/s2": STANDARD_GRAVITY, "mg": 1000.0}
"""Gravity in each unit."""
