"""Values of a table as counts: a scale that loses nothing visible, the unit by what gravity reads, the rail if any.

Tables hold decimals; everything after the devices works on int16. Values are rounded to 1/4000 g, by 0.125 mg at most,
while none is beyond 8.19 g, and to 1/2000 g, by 0.375 mg in all (what was rounded before is rounded again), up to
16.38 g, which no wrist-worn device exceeds: what lies beyond is told as impossible. Tables in steps of a milligram,
as ActiGraph's are, lose nothing. The unit is not known at first, so the same steps are taken in m/s2 too: 0.414 mg at
most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

Unit = Literal["g", "m/s2"]
GRAVITY: dict[Unit, float] = {"g": 1.0, "m/s2": 9.80665}
"""What a unit's one g reads."""

STEPS_PER_G = (4000, 2000)
MOST_COUNT = 32_766
MISSING = -32_768
"""The count of a row without a value, until it is taken out."""
NO_RAIL = 32_768

WINDOW_S, STILL = 10, 0.013
"""Windows at rest: the deviation on every axis is below this part of what gravity reads."""
REST_WINDOWS = 3
NEAR_AT_REST, NEAR = 1.2, 1.4
"""How far gravity may be off, as a factor: at rest by sensors that are not calibrated, else by movement too."""

RANGES_G = (2, 4, 6, 8, 16)
RAIL_NEAR = 0.03
RAIL_SAMPLES = 10


@dataclass
class Counts:
    """Takes in values and keeps them as int16, as finely as the largest of them allows."""

    unit: Unit | None = None
    """None while it is not known."""
    _chunks: list[NDArray[np.int16]] = field(default_factory=list)
    _step: int = 0

    @property
    def _ladder(self) -> tuple[float, ...]:
        units: tuple[Unit, ...] = ("g", "m/s2") if self.unit is None else (self.unit,)
        return tuple(step / GRAVITY[unit] for unit in units for step in STEPS_PER_G)

    @property
    def per_unit(self) -> float:
        """Counts of one unit."""
        return self._ladder[self._step]

    def add(self, x_CN: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Take in values; gives which rows have one: NaN and what is infinite is missing on all axes."""
        has_value_N: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(x_CN))
        x_CN = np.where(has_value_N, x_CN, 0)
        largest = float(np.abs(x_CN).max(initial=0))
        while largest * self.per_unit > MOST_COUNT and self._step + 1 < len(self._ladder):
            self._coarser()
        counts_CN = np.clip(np.rint(x_CN * self.per_unit), -MOST_COUNT - 1, MOST_COUNT + 1).astype(np.int16)
        counts_CN[:, ~has_value_N] = MISSING
        self._chunks.append(counts_CN)
        return has_value_N

    def _coarser(self) -> None:
        before = self.per_unit
        self._step += 1
        for chunk in self._chunks:
            coarse = np.rint(chunk * (self.per_unit / before)).astype(np.int16)
            chunk[:] = np.where(chunk == MISSING, MISSING, coarse)

    def whole(self) -> NDArray[np.int16]:
        """All counts (3, N), in rows that stand alone; takes them out of here, so that memory holds them once."""
        counts_CN = np.empty((3, sum(chunk.shape[1] for chunk in self._chunks)), dtype=np.int16)
        at = counts_CN.shape[1]
        while self._chunks:
            chunk = self._chunks.pop()
            counts_CN[:, at - chunk.shape[1] : at] = chunk
            at -= chunk.shape[1]
        return counts_CN


def find_unit(counts_CN: NDArray[np.int16], per_unit: float, rate_hz: float, told: Unit | None) -> Unit:
    """The unit in which gravity reads one g; raises UserError with a question where that is in doubt.

    Asked are windows at rest; of a table that has hardly any, all samples. What the user tells is believed unless
    windows at rest say otherwise.
    """
    rest_W, length_N = _at_rest(counts_CN, max(2, round(WINDOW_S * rate_hz)))
    is_at_rest = rest_W.size >= REST_WINDOWS
    reads = float(np.median(rest_W if is_at_rest else length_N)) / per_unit if length_N.size else 0.0
    near = NEAR_AT_REST if is_at_rest else NEAR
    found = next((unit for unit, one in GRAVITY.items() if one / near < reads < one * near), None)
    most = MOST_COUNT / per_unit
    shown = f"over {most:.0f}" if reads > most else f"{reads:.3g}"
    if told is None:
        return found or _doubt(shown, is_at_rest)
    if is_at_rest and found != told:
        raise UserError(
            f"--unit says {told}, but at rest the table reads {shown} where gravity is {GRAVITY[told]:.3g}. Give "
            "the unit that it is in; if it is in neither g nor m/s2, or gravity was taken out, it cannot be used."
        )
    return told


def _doubt(reads: str, is_at_rest: bool) -> Unit:
    when = "at rest" if is_at_rest else "on average (it is hardly ever at rest)"
    raise UserError(
        f"is the table in g or in m/s2? Gravity is 1 in g and 9.81 in m/s2; {when} the table reads {reads}. Say "
        "--unit g or --unit m/s2 if that can be; else its values are scaled otherwise (in mg, or as counts: divide "
        "them first), gravity was taken out, or the columns are not those of an accelerometer (--columns)."
    )


def _at_rest(counts_CN: NDArray[np.int16], window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths of the means of windows at rest, and of some single samples; missing and zero rows are passed over."""
    rest: list[NDArray[np.float64]] = []
    lengths: list[NDArray[np.float64]] = []
    at_once = 512 * window
    for begin in range(0, counts_CN.shape[1], at_once):
        x_CN = counts_CN[:, begin : begin + at_once].astype(np.float64)
        good_N = (x_CN != MISSING).all(axis=0) & (x_CN != 0).any(axis=0)
        whole = x_CN.shape[1] // window * window
        x_CWn = x_CN[:, :whole].reshape(3, -1, window)[:, good_N[:whole].reshape(-1, window).all(axis=1)]
        length_W = np.sqrt((x_CWn.mean(axis=2) ** 2).sum(axis=0))
        rest.append(length_W[(x_CWn.std(axis=2) < STILL * length_W).all(axis=0)])
        lengths.append(np.sqrt((x_CN[:, good_N][:, :: max(1, window // 10)] ** 2).sum(axis=0)))
    return np.concatenate([*rest, np.empty(0)]), np.concatenate([*lengths, np.empty(0)])


def find_rail(counts_CN: NDArray[np.int16], per_g: float) -> int:
    """The count at which the sensor ends, guessed from the values; NO_RAIL where they do not show it.

    Shown it is by the largest value being a range of accelerometers, give or take 3%, and being reached ten times, some
    of them in a row on one axis: movement alone has a highest peak, and it is one sample.
    """
    most = int(max(-int(counts_CN.min(initial=0)), int(counts_CN.max(initial=0))))
    is_range = any(abs(most / per_g / g - 1) < RAIL_NEAR for g in RANGES_G)
    if not is_range or most > MOST_COUNT:
        return NO_RAIL
    on_CN = [(axis_N >= most - 1) | (axis_N <= 1 - most) for axis_N in counts_CN]
    in_a_row = any((on_N[1:] & on_N[:-1]).any() for on_N in on_CN)
    return most - 1 if in_a_row and sum(int(on_N.sum()) for on_N in on_CN) >= RAIL_SAMPLES else NO_RAIL
