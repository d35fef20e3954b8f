"""Rows of an honest table before they are written: when each was taken, and what its stamp says.

Each kind of trouble is a function that changes `Taken`, and states what a reader cannot know because of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ingest.settings import ClockChoice
from tests.ingest.devices.fuzz_law import Span
from tests.ingest.devices.fuzz_movement import Movement

Float = NDArray[np.float64]
Rng = np.random.Generator
RATES = (10.0, 12.5, 20.0, 25.0, 30.0, 31.25, 32.0, 40.0, 50.0, 51.2, 64.0, 75.0, 80.0, 85.7, 100.0, 128.0, 200.0)
ROWS = 14_000
MAX_FILL, MAX_FILL_S, TAPS = 3, 0.06, 6
"""As docs/devices.md states: so many lost samples in a row, of so many seconds, are interpolated through 6 rows."""


@dataclass(frozen=True)
class Bound:
    """What no reader can know of a kind of rows, as shares of a length: of a shift in time, and of a single row."""

    shift: float
    row: float
    reason: str


BOUNDS = {
    "late stamps": Bound(0.3, 0.2, "of the scatter: a line through 2 s or 100 rows leaves so much of it"),
    "uneven sampling": Bound(
        0.3, 1.2, "of the scatter: uneven rows look like uneven stamps, and are moved to even times"
    ),
    "rates within 7%": Bound(0.1, 0.1, "of a period: a change too small to be seen is followed by knots of 16 rows"),
    "rates within 0.75%": Bound(
        0.125, 0, "of the change over 100 s: one oscillator may wander so much, and knots are 50 to 100 s apart"
    ),
    "rates within 7% in bunches": Bound(0.5, 0.5, "of a period: there, knots are 2 s apart"),
    "whole seconds": Bound(1, 0, "of a period: the first row of a second may be taken at any time of its first period"),
    "bunches": Bound(1, 0, "of a period: where stamps are rounded, as for full seconds"),
    "lost in bunches": Bound(2, 2, "of a period: which of up to 1.6 rows of a bunch are lost cannot be known"),
}
"""The law in full is 1 mg and half a tick. These kinds of tables cannot keep it, for the reason given."""


@dataclass
class Taken:
    """Rows: when they were taken, what the stamps say, and how far apart they are, all in seconds.

    late_s: the shift in time that a reader cannot know; scatter_s: that of single rows (BOUNDS). is_astray_N: rows
    after a gap, whose bunch began before it (none if empty). edges: moments where a segment may end. lossy: whether
    much of the time may be lost. choice: --clock.
    """

    true_N: Float
    stamp_N: Float
    period_N: Float
    late_s: float = 0.0
    scatter_s: float = 0.0
    is_astray_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    edges: list[float] = field(default_factory=list)
    lossy: bool = False
    close_rates: bool = False
    kinds: list[str] = field(default_factory=list)
    choice: ClockChoice | None = None
    refusal: str = ""

    @property
    def slowest_hz(self) -> float:
        return float(1 / self.period_N.max())

    def doubt(self, kind: str, length_s: float) -> None:
        """Add what a kind leaves unknown."""
        self.late_s += BOUNDS[kind].shift * length_s
        self.scatter_s += BOUNDS[kind].row * length_s

    def keep(self, kept_N: NDArray[np.bool_]) -> None:
        """Lose the other rows."""
        self.true_N, self.stamp_N, self.period_N = self.true_N[kept_N], self.stamp_N[kept_N], self.period_N[kept_N]

    def ahead_N(self) -> Float:
        """Return how far the clock is ahead of the movement at each row."""
        return np.round(self.stamp_N - self.true_N, 3) if "clock" in self.kinds else np.zeros(self.true_N.size)

    def lost_N(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return how many rows are lost after each but the last, and whether these are a gap."""
        lost_N = np.rint(np.diff(self.true_N) / self.period_N[:-1]).astype(int) - 1
        return lost_N, lost_N > np.minimum(MAX_FILL, np.floor(MAX_FILL_S / self.period_N[:-1] + 1e-9))

    def spans(self) -> list[Span]:
        """Spans in which a reader has no reason to see a gap."""
        ahead_N = self.ahead_N()
        ends = np.flatnonzero(self.lost_N()[1] | (np.diff(ahead_N) != 0))
        bounds = np.concatenate([[0], ends + 1, [self.true_N.size]])
        spans = [
            Span(float(self.true_N[a] + ahead_N[a]), float(self.true_N[b - 1] + ahead_N[a]), float(ahead_N[a]))
            for a, b in pairwise(bounds)
        ]
        if self.choice in ("keep-first", "keep-last"):
            kept = spans[0 if self.choice == "keep-first" else -1].ahead
            spans = [span for span in spans if span.ahead == kept]
        return spans

    def rough(self, movement: Movement) -> tuple[Float, Float]:
        """Return when samples are wrong (seconds) and by how much (g): lost ones by the polynomial, and rows astray."""
        astray = np.flatnonzero(self.is_astray_N)
        place_R = self.stamp_N[astray]
        place_R = place_R + (astray - np.searchsorted(self.stamp_N, place_R)) * self.period_N[astray]
        wrong_CR = movement.at(self.true_N[astray]) - movement.at(place_R)
        seconds, errors = [place_R], [np.abs(wrong_CR).max(axis=0)]
        step_N = np.diff(self.true_N)
        lost_N, is_gap_N = self.lost_N()
        rows = np.flatnonzero((lost_N > 0) & ~is_gap_N)
        segment_N = np.append(0, np.cumsum(is_gap_N | (np.diff(self.period_N) != 0)))
        begin_R = np.searchsorted(segment_N, segment_N[rows])
        end_R = np.searchsorted(segment_N, segment_N[rows], side="right")
        first = np.clip(rows + 1 - TAPS // 2, begin_R, np.maximum(end_R - TAPS, begin_R))
        node_RT = first[:, None] + np.arange(TAPS)
        inside_RT = node_RT < end_R[:, None]
        node_RT = self.true_N[np.minimum(node_RT, self.true_N.size - 1)]
        value_CRT = movement.at(node_RT.ravel()).reshape(3, *node_RT.shape)
        for part in range(1, MAX_FILL + 1):
            has = lost_N[rows] >= part
            time_R = self.true_N[rows[has]] + part * step_N[rows[has]] / (lost_N[rows[has]] + 1)
            weight_RT = np.ones((has.sum(), TAPS))
            for a in range(TAPS):
                for b in range(TAPS):
                    if a != b:
                        far_R = np.where(inside_RT[has, b], node_RT[has, a] - node_RT[has, b], 1)
                        far_R = np.where(far_R == 0, 1, far_R)
                        weight_RT[:, a] *= np.where(inside_RT[has, b], (time_R - node_RT[has, b]) / far_R, 1)
            weight_RT *= inside_RT[has]
            error_CR = (weight_RT * value_CRT[:, has]).sum(axis=2) - movement.at(time_R)
            seconds.append(time_R + self.ahead_N()[rows[has]])
            errors.append(np.abs(error_CR).max(axis=0))
        return np.concatenate(seconds), np.concatenate(errors)


def even(rng: Rng, rates: int = 1) -> Taken:
    """Return rows at one rate, or at several that follow each other for seconds to minutes."""
    true, period, time, edges = [], [], 0.0, []
    left = ROWS
    rate = 0.0
    for part in range(rates):
        others = [other for other in RATES if other != rate]
        rate = float(rng.choice(others)) if rng.random() < 0.8 else float(np.round(rng.uniform(10, 200), 3))
        least_s = 20.0 if rates == 1 else 5.0
        length_s = min(np.exp(rng.uniform(np.log(least_s), np.log(240))), left / (rates - part) / rate)
        rows = max(40, round(max(length_s, 90.0 / rates) * rate))
        left = max(left - rows, 1000)
        true.append(time + np.arange(rows) / rate)
        period.append(np.full(rows, 1 / rate))
        time += rows / rate
        edges.append(time)
        if rng.random() < 0.3 and rates > 1:  # the device takes its time to change
            time += float(rng.uniform(0, 6)) / rate
    true_N, period_N = np.concatenate(true), np.concatenate(period)
    made = Taken(true_N, true_N.copy(), period_N, edges=edges[:-1])
    made.kinds.append("rates" if rates > 1 else "even")
    change_N = np.abs(np.diff(np.log(period_N)))
    made.close_rates = bool(((change_N > 0) & (change_N < 0.07)).any())
    if made.close_rates:
        made.doubt("rates within 7%", float(period_N.max()))
    if wander := float(change_N.max(where=change_N < 0.0076, initial=0)):
        made.doubt("rates within 0.75%", wander * 100)
    return made


def lost(made: Taken, rng: Rng) -> Taken:
    """Lose single rows, bursts, or a share of all."""
    rows = made.true_N.size
    kept_N = np.ones(rows, dtype=bool)
    kind = str(rng.choice(["one", "few", "share", "bursts"]))
    if kind == "one":
        kept_N[rng.integers(50, rows - 50)] = False
    elif kind == "few":
        kept_N[rng.integers(50, rows - 50, size=int(rng.integers(2, 8)))] = False
    elif kind == "share":
        kept_N = rng.random(rows) >= 10 ** rng.uniform(-3, np.log10(0.3))
    else:
        for begin in rng.integers(50, rows - 50, size=int(rng.integers(1, 12))):
            kept_N[begin : begin + int(rng.integers(1, 200))] = False
    kept_N[:40] = kept_N[-40:] = True
    made.keep(kept_N)
    made.lossy = kind in ("share", "bursts")
    made.kinds.append(f"lost {kind}")
    return made


def late_stamps(made: Taken, rng: Rng) -> Taken:
    """Rows are taken evenly, but stamped when they arrive."""
    jitter_s = float(rng.uniform(0.02, 0.3)) * made.period_N
    made.stamp_N = np.maximum.accumulate(made.stamp_N + jitter_s * rng.uniform(-1, 1, made.stamp_N.size))
    made.doubt("late stamps", float(jitter_s.max()))
    made.kinds.append("late stamps")
    return made


def uneven_sampling(made: Taken, rng: Rng) -> Taken:
    """Rows are taken unevenly, and their stamps are right: phones do that."""
    scatter_s = float(rng.uniform(0.02, 0.2)) * made.period_N
    made.true_N = made.true_N + scatter_s * rng.uniform(-1, 1, made.true_N.size)
    made.stamp_N = made.true_N.copy()
    made.doubt("uneven sampling", float(scatter_s.max()))
    made.kinds.append("uneven sampling")
    return made


def whole_seconds(made: Taken, rng: Rng) -> Taken:
    """Stamps have no fractions; a reader cannot know where in its second the first row was taken."""
    made.stamp_N = np.floor(made.stamp_N + 1e-9)
    made.doubt("whole seconds", float(made.period_N.max()))
    made.kinds.append("whole seconds")
    return made


def bunches(made: Taken, rng: Rng) -> Taken:
    """Rows are sent in packets, which have the stamp of their first row, also if a gap follows that row."""
    rows = made.true_N.size
    most = int(rng.integers(2, 12))
    sizes = np.full(rows, most) if rng.random() < 0.5 else rng.integers(1, most + 1, rows)
    first = np.append(0, np.cumsum(sizes))
    first = first[first < rows]
    begins_N = np.zeros(rows, dtype=int)
    begins_N[first] = first
    begins_N = np.maximum.accumulate(begins_N)
    made.stamp_N = made.stamp_N[begins_N]
    gap_N = np.append(0, np.cumsum(made.lost_N()[1]))
    made.is_astray_N = gap_N != gap_N[begins_N]
    made.doubt("bunches", float(made.period_N.max()))
    made.kinds.append("bunches")
    return made


def pauses(made: Taken, rng: Rng) -> Taken:
    """The device was switched off for seconds to 3 days."""
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(60, made.true_N.size - 60))
        length_s = float(np.exp(rng.uniform(np.log(1.0), np.log(3 * 86_400))))
        if rng.random() < 0.5:
            length_s = np.round(length_s)
        made.true_N[at:] += length_s
        made.stamp_N[at:] += length_s
        made.edges = [edge + length_s if edge > made.true_N[at - 1] else edge for edge in made.edges]
    made.kinds.append("pauses")
    return made


def clock_ahead(made: Taken, rng: Rng) -> Taken:
    """The clock was set forward, which reads as a pause."""
    at = int(rng.integers(100, made.true_N.size - 100))
    by_s = float(np.round(np.exp(rng.uniform(np.log(2.0), np.log(86_400)))))
    made.stamp_N[at:] += by_s
    made.edges.append(float(made.true_N[at]))
    made.kinds.append("clock")
    return made


def clock_back(made: Taken, rng: Rng) -> Taken:
    """The clock was set back by over a tenth of the time, so that the hours contradict each other."""
    at = int(np.searchsorted(made.true_N, rng.uniform(0.35, 0.65) * made.true_N[-1]))
    by_s = float(np.round(rng.uniform(0.35, 1) * made.true_N[at]))
    made.stamp_N[at:] -= by_s
    made.choice = (None, "keep-first", "keep-last", "split")[int(rng.integers(4))]
    made.refusal = "" if made.choice else r"clock runs backwards|state --clock if the clock was set"
    made.kinds.append("clock")
    return made


def nudged(made: Taken, rng: Rng) -> Taken:
    """The clock was corrected by parts of a second or some seconds, as phones do."""
    for at in np.sort(rng.integers(100, made.true_N.size - 100, size=int(rng.integers(1, 3)))):
        by_s = float(
            np.round(
                np.exp(rng.uniform(np.log(0.2), np.log(max(0.3, 0.02 * made.true_N.size * made.period_N.min())))), 2
            )
        ) * float(rng.choice([-1, 1]))
        made.stamp_N[at:] += by_s
        made.edges.append(float(made.true_N[at]))
    made.lossy = True
    made.kinds += ["clock", "nudged"]
    return made


TROUBLES: tuple[Callable[[Taken, Rng], Taken], ...] = (
    lost,
    late_stamps,
    uneven_sampling,
    whole_seconds,
    bunches,
    pauses,
    clock_ahead,
    clock_back,
    nudged,
)


def draw(rng: Rng) -> Taken:
    """Draw rows with none to three kinds of trouble."""
    made = even(rng, 1 if rng.random() < 0.6 else int(rng.integers(2, 6)))
    if rng.random() < 0.15:
        return made
    first = TROUBLES[int(rng.integers(len(TROUBLES)))]
    chosen = [first, *(other for other in (lost, pauses) if other is not first and rng.random() < 0.2)]
    if first is clock_back:  # a pause might hide it
        chosen = [trouble for trouble in chosen if trouble is not pauses]
    order = sorted(chosen, key=lambda trouble: (trouble not in (lost, uneven_sampling, pauses), trouble is not lost))
    for trouble in order:
        made = trouble(made, rng)
    if {"bunches", "whole seconds"} & {*made.kinds} and any(kind.startswith("lost") for kind in made.kinds):
        made.doubt("lost in bunches", float(made.period_N.max()))
    if {"bunches", "whole seconds"} & {*made.kinds} and made.close_rates:
        made.doubt("rates within 7% in bunches", float(made.period_N.max()))
    return made
