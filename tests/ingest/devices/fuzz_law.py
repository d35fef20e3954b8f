"""The law of honest recordings: what is stored equals an independent reading of the file, or the reason is true.

An honest recording is odd but right: its generator knows the movement at every instant, and what the file's stamps are.
Where the store says that it measured, each stored second has to be the movement itself, to 1 mg, the resolution of the
file and the ripple of the filters, within a shift in time of at most half a tick. Nearly all of the honest time has to
be measured. A question or a refusal is right only where the generator expects its words.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.registry import decode, probe
from ingest.process import process
from ingest.settings import ClockChoice, SignalSettings, TableSettings
from pipeline.errors import UserError
from pipeline.grid import COUNTS_PER_G, SAMPLE_RATE_HZ
from pipeline.store.states import BAD, CLIPPED, MEASURED
from tests.ingest.devices.fuzz_movement import RIPPLE, Movement

Float = NDArray[np.float64]
HALF_A_TICK_S = 0.5 / SAMPLE_RATE_HZ
ONE_MG = 0.001
SLOW_HZ, GAIN_SLOW, GAIN = 33.0, 2.6, 1.9
"""Measured from the taps of the filters: the sum of their magnitudes, for rows slower than 33 Hz and for others. What
is added to every sample, such as rounding, may add up to so many times as much."""
FITS = 4
"""Steps of Gauss and Newton that find a shift in time: of a whole period at 10 Hz, two are too few."""
MEASURED_SHARE = 0.99
NEAR_S = 2
"""Seconds beside one on the rail, which the filter mixes with it."""
EDGE_S = 3
"""Seconds at each end of a segment that may be bad: 16 samples at 10 Hz, and the seconds that they touch."""


class Broken(AssertionError):
    """The law was broken."""


@dataclass(frozen=True)
class Span:
    """Seconds of the file's clock, since its start, in which there are rows; it is `ahead` s of the movement."""

    begin: float
    end: float
    ahead: float = 0.0


@dataclass(frozen=True)
class Honest:
    """A recording and what is true of it.

    start: what the stored clock shows at second 0. step_g: resolution of the values. late_s: largest shift in time.
    more_g: what the kinds add to 1 mg. rough: seconds and errors of what the stated interpolation gives. edges: moments
    at which a segment may end. refusal: words of the expected reason (a regular expression); empty if it is accepted.
    """

    kinds: tuple[str, ...]
    name: str
    data: bytes
    movement: Movement
    start: np.datetime64
    spans: list[Span]
    slowest_hz: float
    clock: ClockChoice | None = None
    table: TableSettings = field(default_factory=TableSettings)
    step_g: float = 0.0
    late_s: float = HALF_A_TICK_S
    more_g: float = 0.0
    rough: tuple[Float, Float] = field(default_factory=lambda: (np.empty(0), np.empty(0)))
    edges: tuple[float, ...] = ()
    rail_g: float = np.inf
    lossy: bool = False
    refusal: str = ""

    @property
    def gain(self) -> float:
        """How much more than its samples a tick may be off."""
        return GAIN_SLOW if self.slowest_hz < SLOW_HZ else GAIN

    @property
    def bound_g(self) -> float:
        """The largest difference from the movement."""
        return ONE_MG + self.gain * self.step_g / 2 + RIPPLE * self.movement.swing_g + self.more_g


@dataclass(frozen=True)
class Outcome:
    """What came of a case: seconds compared, honest seconds, and the largest share of the bounds that was used."""

    accepted: bool
    compared_s: int = 0
    honest_s: int = 0
    worst: float = 0.0
    worst_shift: float = 0.0


def check(made: Honest) -> Outcome:
    """Check the law on one recording; raises Broken."""
    signal = SignalSettings(any_location=True, clock=made.clock)
    try:
        probe(io.BytesIO(made.data), made.name, len(made.data), made.table)
        processed = process(decode(made.data, made.name, made.table, signal), signal)
    except UserError as error:
        if made.refusal and re.search(made.refusal, str(error)):
            return Outcome(False)
        wanted = f"refused with {made.refusal!r}" if made.refusal else "accepted"
        raise Broken(f"expected to be {wanted}, found: {error}") from error
    if made.refusal:
        raise Broken(f"expected to be refused with {made.refusal!r}; it was accepted")
    return _compare(made, processed)


def _compare(made: Honest, processed: Any) -> Outcome:
    second_S, state_S, x_CST = _stored(made, processed)
    clipped_S = second_S[(state_S & CLIPPED) != 0]
    near_S = np.isin(second_S, np.round(np.concatenate([clipped_S + away for away in range(-NEAR_S, NEAR_S + 1)]), 6))
    good_S = ((state_S & (MEASURED | BAD)) == MEASURED) & ~near_S
    off_S, bound_S, shift_S = _differences(made, second_S[good_S], x_CST[:, good_S])
    over_S = off_S / bound_S
    worst = int(over_S.argmax()) if over_S.size else 0
    if over_S.size and over_S[worst] > 1:
        raise Broken(
            f"{(over_S > 1).sum()} of {over_S.size} measured seconds are off; the worst, second "
            f"{second_S[good_S][worst]:.0f}, by {1000 * off_S[worst]:.2f} mg where {1000 * bound_S[worst]:.2f} are "
            f"allowed, at a shift of {1000 * shift_S[worst]:.1f} ms"
        )
    if np.isfinite(made.rail_g):
        _check_rail(made, second_S, state_S)
    honest_S = _honest_seconds(made)
    measured_S = np.isin(honest_S, second_S[(state_S & MEASURED) != 0])
    usable = int(np.isin(honest_S, second_S[good_S | near_S]).sum())
    ends = len(made.edges) + 2 * len(made.spans)
    least = MEASURED_SHARE * honest_S.size - 2 * len(made.edges) - 1
    if not made.lossy and measured_S.sum() < least:
        missing = honest_S[~measured_S]
        raise Broken(f"{measured_S.sum()} of {honest_S.size} honest seconds are measured; not {missing[:20].tolist()}")
    if not made.lossy and usable < measured_S.sum() - 2 * EDGE_S * (ends + 1):
        raise Broken(f"only {usable} of {measured_S.sum()} measured seconds are not bad")
    return Outcome(
        True,
        int(good_S.sum()),
        honest_S.size,
        float(over_S.max(initial=0)),
        float(np.abs(shift_S).max(initial=0)),
    )


def _stored(made: Honest, processed: Any) -> tuple[Float, NDArray[np.uint8], Float]:
    """Return all seconds of the store since the start, their states, and g (3, seconds, 30)."""
    second, state, x = [], [], []
    for date, day, _ in processed.days():
        begins_s = (date.astype("datetime64[us]") - made.start).astype(np.int64) * 1e-6
        any_S = day.state_S != 0
        second.append(begins_s + np.flatnonzero(any_S))
        state.append(day.state_S[any_S])
        x.append(day.signal_CT.reshape(3, -1, SAMPLE_RATE_HZ)[:, any_S] / COUNTS_PER_G)
    return np.round(np.concatenate(second), 6), np.concatenate(state), np.concatenate(x, axis=1)


def _differences(made: Honest, second_S: Float, x_CST: Float) -> tuple[Float, Float, Float]:
    """Return the largest difference of each second from the movement, its bound, and the shift in time used.

    Of several spans that hold the second (a clock that was set back), the one that fits best counts.
    """
    best_S, shift_S = np.full(second_S.size, np.inf), np.zeros(second_S.size)
    for ahead in {span.ahead for span in made.spans}:
        within_S = np.zeros(second_S.size, dtype=bool)
        for span in made.spans:
            if span.ahead == ahead:
                within_S |= (second_S > span.begin - 1) & (second_S < span.end)
        off_S, by_S = _distance(made, second_S[within_S] - ahead, x_CST[:, within_S])
        better_S = off_S < best_S[within_S]
        place = np.flatnonzero(within_S)[better_S]
        best_S[place], shift_S[place] = off_S[better_S], by_S[better_S]
    bound_S = np.full(second_S.size, made.bound_g)
    time_X, error_X = made.rough
    if time_X.size:
        first = np.floor(time_X[None] - second_S[:, None])
        near = (first >= -1) & (first <= 1) if second_S.size * time_X.size < 2e7 else None
        if near is None:
            order = np.argsort(time_X)
            time_X, error_X = time_X[order], error_X[order]
            a, b = np.searchsorted(time_X, second_S - 1), np.searchsorted(time_X, second_S + 2)
            bound_S += np.array([made.gain * error_X[i:j].max(initial=0) for i, j in zip(a, b, strict=True)])
        else:
            bound_S += made.gain * np.where(near, error_X, 0).max(axis=1, initial=0)
    return best_S, bound_S, shift_S


def _distance(made: Honest, second_S: Float, x_CST: Float) -> tuple[Float, Float]:
    """Return the largest difference of each second at its best shift, which may change evenly within it."""
    into_T = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ - 0.5
    time_ST = second_S[:, None] + 0.5 + into_T
    shift_ST = np.zeros_like(time_ST)
    basis_2T = np.stack([np.ones(SAMPLE_RATE_HZ), 2 * into_T])
    prior = (0.0003 / made.late_s) ** 2
    for _ in range(FITS):
        at = (time_ST + shift_ST).ravel()
        slope_CST = made.movement.slope(at).reshape(3, *time_ST.shape)
        rest_CST = x_CST - made.movement.at(at).reshape(3, *time_ST.shape)
        normal_S22 = np.einsum("cst,it,jt->sij", slope_CST**2, basis_2T, basis_2T) + prior * np.eye(2)
        right_S2 = np.einsum("cst,it->si", slope_CST * rest_CST, basis_2T)
        step_S2 = np.linalg.solve(normal_S22, right_S2[..., None])[..., 0]
        shift_ST = shift_ST + step_S2 @ basis_2T
        largest_S = np.abs(shift_ST).max(axis=1)
        shift_ST *= np.minimum(1, made.late_s / np.maximum(largest_S, 1e-12))[:, None]
    off_CST = np.abs(x_CST - made.movement.at((time_ST + shift_ST).ravel()).reshape(3, *time_ST.shape))
    return off_CST.max(axis=(0, 2), initial=0), np.abs(shift_ST).max(axis=1, initial=0)


def _honest_seconds(made: Honest) -> Float:
    """Return the complete seconds of the store's clock in which there are rows throughout."""
    begin_s = (made.start - made.start.astype("datetime64[s]")).astype(np.int64) * 1e-6
    second = [np.arange(np.ceil(span.begin + begin_s), np.floor(span.end + begin_s)) - begin_s for span in made.spans]
    return np.unique(np.round(np.concatenate(second), 6))


def _check_rail(made: Honest, second_S: Float, state_S: NDArray[np.uint8]) -> None:
    """Check that seconds well on the rail are marked, where the clock was never set."""
    if any(span.ahead for span in made.spans):
        return
    at = (second_S[:, None] + np.arange(0, 1, 0.01)).ravel()
    over_S = (np.abs(made.movement.at(at)).max(axis=0).reshape(-1, 100) > 1.02 * made.rail_g).sum(axis=1) > 15
    unmarked_S = over_S & ((state_S & (MEASURED | CLIPPED | BAD)) == MEASURED)
    if unmarked_S.any():
        raise Broken(f"{unmarked_S.sum()} seconds on the rail are not marked: {second_S[unmarked_S][:5].tolist()}")
