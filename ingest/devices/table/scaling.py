"""Convert the values of a table to int16 counts; find their unit by gravity, and the sensor's rail.

Tables hold decimals, but later steps work on int16. Values are rounded to 1/4000 g (an error of at most 0.125 mg) while
all are within 8.19 g, else to 1/2000 g (0.375 mg in all, because rounded values are rounded again) up to 16.38 g. No
wrist-worn device exceeds that: values beyond count as impossible. Tables in steps of 1 mg, as ActiGraph's are, lose
nothing. While the unit is unknown the same steps are also tried in m/s2: an error of at most 0.414 mg.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.units import GRAVITY, Unit

UNASKED = ("g", "m/s2")
"""Units that gravity alone shows; in mg it reads as in cm/s2 (981) and in counts of some sensors."""
OTHER_SCALES = {
    "mm/s2": 1000 * GRAVITY["m/s2"],
    **{f"counts of {count} per g": float(count) for count in (64, 128, 256, 341, 512, 2048, 4096, 8192, 16384)},
}
NEAR_OTHER, NO_GRAVITY = 1.1, 0.3

STEPS_PER_G = (4000, 2000)
MAX_COUNT = 32_766
MISSING = -32_768
"""The count of a row without a value, until the row is removed."""
NO_RAIL = 32_768

WINDOW_S, STILL = 10, 0.013
"""A window is at rest when the standard deviation of every axis is below this share of gravity."""
REST_WINDOWS = 3
NEAR_AT_REST, NEAR = 1.2, 1.4
"""Factor by which gravity may be off: at rest because sensors are not calibrated, else also because of movement."""

FAR = 5
"""Gravity that is off by this factor on average contradicts the unit that the user states."""

EVERY = 16
"""Every so many rows show the length of the vectors."""

RANGES_G = (2, 4, 6, 8, 16)
RAIL_NEAR = 0.03
RAIL_SAMPLES = 10


@dataclass
class ScaledCounts:
    """Collects values as int16, in steps as fine as the largest value allows."""

    unit: Unit | None = None
    """None while unknown."""
    _chunks: list[NDArray[np.int16]] = field(default_factory=list)
    _lengths: list[float] = field(default_factory=list)
    _step: int = 0

    @property
    def _scales(self) -> tuple[float, ...]:
        units: tuple[Unit, ...] = ("g", "m/s2") if self.unit is None else (self.unit,)
        return tuple(step / GRAVITY[unit] for unit in units for step in STEPS_PER_G)

    @property
    def per_unit(self) -> float:
        """Counts per unit."""
        return self._scales[self._step]

    @property
    def length(self) -> float:
        """The usual length of the vectors, also where values are too large for their scale: gravity and movement."""
        return float(np.median(self._lengths)) if self._lengths else 0.0

    def add(self, x_CN: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Add values; returns which rows have one. A row with NaN or infinity on any axis is missing."""
        has_value_N: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(x_CN))
        some_CN = x_CN[:, ::EVERY][:, has_value_N[::EVERY]].astype(np.float64)
        if some_CN.size:
            self._lengths.append(float(np.median(np.sqrt((some_CN**2).sum(axis=0)))))
        x_CN = np.where(has_value_N, x_CN, 0)
        largest = float(np.abs(x_CN).max(initial=0))
        while largest * self.per_unit > MAX_COUNT and self._step + 1 < len(self._scales):
            self._coarsen()
        counts_CN = np.clip(np.rint(x_CN * self.per_unit), -MAX_COUNT - 1, MAX_COUNT + 1).astype(np.int16)
        counts_CN[:, ~has_value_N] = MISSING
        self._chunks.append(counts_CN)
        return has_value_N

    def _coarsen(self) -> None:
        before = self.per_unit
        self._step += 1
        for chunk in self._chunks:
            coarse = np.rint(chunk * (self.per_unit / before)).astype(np.int16)
            chunk[:] = np.where(chunk == MISSING, MISSING, coarse)

    def take_all(self) -> NDArray[np.int16]:
        """Return all counts (3, N), C-contiguous, and forget them here, so that memory holds them once."""
        counts_CN = np.empty((3, sum(chunk.shape[1] for chunk in self._chunks)), dtype=np.int16)
        at = counts_CN.shape[1]
        while self._chunks:
            chunk = self._chunks.pop()
            counts_CN[:, at - chunk.shape[1] : at] = chunk
            at -= chunk.shape[1]
        return counts_CN


def find_unit(
    counts_CN: NDArray[np.int16], per_unit: float, rate_hz: float, given: Unit | None, length: float = 0.0
) -> Unit:
    """Return the unit in which gravity reads one g; raises UserError with a question where that is unclear.

    Gravity is read in windows at rest, or in all samples of a table that has hardly any. A unit given by the user is
    accepted unless windows at rest contradict it. length: of the vectors, for values beyond the scale.
    """
    reads, is_at_rest = read_gravity(counts_CN, per_unit, rate_hz)
    when = "at rest" if is_at_rest else "on average (it is hardly ever at rest)"
    if length > MAX_COUNT / per_unit:
        reads, is_at_rest, when = length, False, "on average"
    found = _unit_of(reads, is_at_rest)
    if given is None:
        if found in UNASKED:
            return found
        raise UserError(_question(reads, when))
    is_off = reads > 0 and not 1 / FAR < reads / GRAVITY[given] < FAR
    if (is_at_rest and found != given) or is_off:
        raise UserError(
            f"--unit states {given}, but {when} the table reads {_shown(reads)} where gravity is {GRAVITY[given]:.4g}. "
            "State its true unit; if that is neither g, m/s2 nor mg, or gravity was removed, the table cannot be used."
        )
    return given


def read_gravity(counts_CN: NDArray[np.int16], per_unit: float, rate_hz: float) -> tuple[float, bool]:
    """Return what a table reads for gravity (0 where nothing shows it), and whether in windows at rest."""
    rest_W, length_N = _at_rest(counts_CN, max(2, round(WINDOW_S * rate_hz)))
    is_at_rest = rest_W.size >= REST_WINDOWS
    return float(np.median(rest_W if is_at_rest else length_N)) / per_unit if length_N.size else 0.0, is_at_rest


def _unit_of(reads: float, is_at_rest: bool) -> Unit | None:
    near = NEAR_AT_REST if is_at_rest else NEAR
    return next((unit for unit, one in GRAVITY.items() if one / near < reads < one * near), None)


def shown_unit(counts_CN: NDArray[np.int16], per_unit: float, rate_hz: float) -> Unit | None:
    """Return the unit that a part of a recording shows; None where it shows none."""
    reads, is_at_rest = read_gravity(counts_CN, per_unit, rate_hz)
    return "mg" if reads > FAR * GRAVITY["m/s2"] else _unit_of(reads, is_at_rest)


def _shown(reads: float) -> str:
    return f"{reads:.3g}" if reads < 1000 else f"{reads:.0f}"


def _question(reads: float, when: str) -> str:
    """Return the question for a table in which gravity does not show the unit."""
    says = f"is the table in g or in m/s2? Gravity is 1 in g and 9.81 in m/s2; {when} the table reads {_shown(reads)}."
    scales = [name for name, one in OTHER_SCALES.items() if one / NEAR_OTHER < reads < one * NEAR_OTHER]
    if GRAVITY["mg"] / NEAR < reads < GRAVITY["mg"] * NEAR:
        return f"{says} In mg gravity is 1000: state --unit mg if it is in mg, and not in cm/s2 or counts of a sensor."
    if scales:
        return f"{says} These may be {' or '.join(scales)}: divide them so that gravity reads 1, and write a new table."
    if reads < NO_GRAVITY:
        return (
            f"{says} Gravity was removed (linear acceleration), or the columns are not those of an accelerometer "
            "(--columns). State --unit g, m/s2 or mg if neither holds."
        )
    return (
        f"{says} State --unit g, m/s2 or mg if one of them is right. Else its values have another scale (as counts: "
        "divide them first), gravity was removed, or the columns are not those of an accelerometer (--columns)."
    )


def _at_rest(counts_CN: NDArray[np.int16], window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the vector lengths of means of windows at rest, and of some samples, without missing and zero rows."""
    rest: list[NDArray[np.float64]] = []
    lengths: list[NDArray[np.float64]] = []
    at_once = 512 * window
    for begin in range(0, counts_CN.shape[1], at_once):
        x_CN = counts_CN[:, begin : begin + at_once].astype(np.float64)
        good_N = (x_CN != MISSING).all(axis=0) & (x_CN != 0).any(axis=0)
        complete = x_CN.shape[1] // window * window
        x_CWn = x_CN[:, :complete].reshape(3, -1, window)[:, good_N[:complete].reshape(-1, window).all(axis=1)]
        length_W = np.sqrt((x_CWn.mean(axis=2) ** 2).sum(axis=0))
        rest.append(length_W[(x_CWn.std(axis=2) < STILL * length_W).all(axis=0)])
        lengths.append(np.sqrt((x_CN[:, good_N][:, :: max(1, window // 10)] ** 2).sum(axis=0)))
    return np.concatenate([*rest, np.empty(0)]), np.concatenate([*lengths, np.empty(0)])


def find_rail(counts_CN: NDArray[np.int16], per_g: float) -> int:
    """Find the count at which the sensor saturates; NO_RAIL where the values do not show it.

    They show it when the largest value is within 3% of a usual range of accelerometers and is reached ten times, also
    in consecutive samples of one axis: the highest peak of movement is a single sample.
    """
    most = int(max(-int(counts_CN.min(initial=0)), int(counts_CN.max(initial=0))))
    is_range = any(abs(most / per_g / g - 1) < RAIL_NEAR for g in RANGES_G)
    if not is_range or most > MAX_COUNT:
        return NO_RAIL
    on_CN = [(axis_N >= most - 1) | (axis_N <= 1 - most) for axis_N in counts_CN]
    in_a_row = any((on_N[1:] & on_N[:-1]).any() for on_N in on_CN)
    return most - 1 if in_a_row and sum(int(on_N.sum()) for on_N in on_CN) >= RAIL_SAMPLES else NO_RAIL
