"""The line on which the offsets of all stretches lie: an offset and a drift, robust against stretches that are wrong.

First the line with the most stretches within a tenth of a second, among the lines through any two of them (Fischler and
Bolles 1981, doi:10.1145/358669.358692). Then least squares with Tukey's weights on those near it. The drift has a
prior, because a few stretches of one hour do not determine it: quartz clocks differ by tens of parts per million.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

MAX_DRIFT = 200e-6
PRIOR_DRIFT = 30e-6
"""Standard deviation of the drift before anything is seen."""
WITHIN_TICKS = 3.0
MAX_TRIALS = 4_000
MIN_ERROR_TICKS = 0.3
"""Standard deviation of a stretch's offset at least."""
ROUNDS = 10
APART_TICKS, RIVAL_TICKS = 7, 60
"""A parallel line this far away, which is less than a step and a few of them, is a rival."""


@dataclass(frozen=True)
class Line:
    """Offset in ticks at a tick, drift (a ratio), and how certain both are."""

    tick: float
    offset: float
    drift: float
    offset_sd: float
    drift_sd: float

    def at(self, tick: Float | float) -> Float | float:
        """The offset at a tick."""
        return self.offset + self.drift * (tick - self.tick)

    def ticks_within(self, sd: float) -> float:
        """How far from `tick` the offset is certain to a standard deviation; 0 if nowhere."""
        return float(np.sqrt(max(sd**2 - self.offset_sd**2, 0.0)) / self.drift_sd)


def consensus(tick_N: Float, offset_N: Float, weight_N: Float) -> Line:
    """The line near which the offsets have the largest sum of weights."""
    random = np.random.default_rng(0)
    first, second = np.triu_indices(tick_N.size, 1)
    if first.size > MAX_TRIALS:
        chosen = random.choice(first.size, MAX_TRIALS, replace=False, p=None)
        first, second = first[chosen], second[chosen]
    apart = tick_N[second] - tick_N[first]
    slope = np.divide(offset_N[second] - offset_N[first], apart, out=np.zeros_like(apart), where=apart != 0)
    slope = np.concatenate((np.zeros(tick_N.size), np.where(np.abs(slope) <= MAX_DRIFT, slope, 0.0)))
    through = np.concatenate((np.arange(tick_N.size), first))
    best, best_score = 0, -1.0
    for index, (start, drift) in enumerate(zip(through.tolist(), slope.tolist(), strict=True)):
        away_N = np.abs(offset_N - offset_N[start] - drift * (tick_N - tick_N[start]))
        score = float(weight_N[away_N <= WITHIN_TICKS].sum())
        if score > best_score:
            best, best_score = index, score
    start = int(through[best])
    return Line(float(tick_N[start]), float(offset_N[start]), float(slope[best]), np.inf, np.inf)


def clearness(line: Line, tick_N: Float, offset_N: Float, weight_N: Float) -> float:
    """The weight of the offsets near a line by that near its heaviest rival, as when steps are mistaken for others."""
    away_N = offset_N - line.at(tick_N)
    rivals = away_N[(np.abs(away_N) > APART_TICKS) & (np.abs(away_N) <= RIVAL_TICKS)]
    heaviest = max((weight_N[np.abs(away_N - rival) <= WITHIN_TICKS].sum() for rival in rivals.tolist()), default=0.0)
    near = weight_N[np.abs(away_N) <= WITHIN_TICKS].sum()
    return float(near / heaviest) if heaviest > 0 else np.inf


def fit(tick_N: Float, offset_N: Float, weight_N: Float) -> Line:
    """The weighted line through offsets of which most are right (at least two)."""
    middle = float(np.average(tick_N, weights=weight_N))
    x_N, robust_N = tick_N - middle, np.ones_like(weight_N)
    for _ in range(ROUNDS):
        w_N = weight_N * robust_N / weight_N.mean()
        offset, drift, error = _least_squares(x_N, offset_N, w_N)
        away_N = (offset_N - offset - drift * x_N) / (4.685 * error)
        robust_N = np.where(np.abs(away_N) < 1, (1 - away_N**2) ** 2, 1e-6)
    total, spread = float(w_N.sum()), float((w_N * (x_N - np.average(x_N, weights=w_N)) ** 2).sum())
    drift_sd = 1 / np.sqrt(spread / error**2 + 1 / PRIOR_DRIFT**2)
    return Line(middle, offset, drift, error / np.sqrt(total), float(drift_sd))


def _least_squares(x_N: Float, y_N: Float, w_N: Float) -> tuple[float, float, float]:
    """Offset, drift and the standard deviation of a residual (by the median, so that outliers do not matter)."""
    error = MIN_ERROR_TICKS
    for _ in range(2):
        centre, level = np.average(x_N, weights=w_N), np.average(y_N, weights=w_N)
        inverse = (error / PRIOR_DRIFT) ** 2
        drift = (w_N * (x_N - centre) * (y_N - level)).sum() / ((w_N * (x_N - centre) ** 2).sum() + inverse)
        offset = level - drift * centre
        error = max(MIN_ERROR_TICKS, 1.4826 * float(np.median(np.abs(y_N - offset - drift * x_N))))
    return float(offset), float(drift), error
