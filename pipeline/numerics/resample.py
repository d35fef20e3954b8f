"""Resampling to 30 Hz: one polyphase filter bank for every rate and method, in exact integer arithmetic.

A tick lies between samples. The fraction of its position selects one of P sets of taps (Crochiere and Rabiner 1983,
chapter 3), and the dot product of these taps with the surrounding samples is the value. The methods differ only in
their taps: a windowed sinc, two taps that add to one, or one tap. Any real ratio works, with linear phase: nothing is
delayed.

Taps are 14-bit integers and samples are int16, so sums are exact in 32 bits: the result is the same on every machine
and in every order of summation, which float arithmetic would only give with slow code. Every set of taps adds to
exactly one, so gravity passes unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import SAMPLE_RATE_HZ
from pipeline.numerics.dot import LANES, dots
from pipeline.numerics.jit import njit

Method = Literal["bandlimited", "linear", "nearest"]

TAP_BITS = 14
UNITY = 1 << TAP_BITS
"""The integer of a tap of one."""

PASS_HZ, STOP_HZ = 12.0, 18.0
"""The lowpass passes frequencies below the first (within 0.1 dB) and stops those above the second (40 dB). Frequencies
between them alias to above 12 Hz only."""
STOP_DB = 43.0
"""Attenuation of the design; leaves room for rounding of taps and phases."""
NO_LOWPASS_BELOW_HZ = 33.0
"""Slower recordings are interpolated up to their own Nyquist frequency, without the lowpass."""
INTERPOLATION_TAPS, INTERPOLATION_DB = 32, 50.0
TIME_RESOLUTION_HZ = 100_000
"""Minimum number of phases per second: a tick is off by at most 5 microseconds (-66 dB at 15 Hz)."""
PHASES = (64, 8_192)
"""Minimum and maximum number of sets of taps; the maximum suffices down to 12.5 Hz; slower signals change slowly."""

BLOCK_TICKS = 2_048
"""Ticks whose positions are computed at a time, so that they stay in the cache. Apart from the dot products, this loop
is vectorised."""


@dataclass(frozen=True)
class Bank:
    """P sets of L taps for samples at one rate.

    taps_PL: int16, in 1 / UNITY; set p belongs to positions p / P beyond sample `base`, tap k to sample
        base - L / 2 + 1 + k.
    reach: a tick nearer than this to the end of its segment (in samples) has lost part of its taps.
    """

    taps_PL: NDArray[np.int16]
    reach: int


def design(rate_hz: float, method: Method) -> Bank:
    """Design the filter bank from `rate_hz` (the true rate) to 30 Hz, with Kaiser's window (1974)."""
    phases = min(max(PHASES[0], 1 << max(0, math.ceil(math.log2(TIME_RESOLUTION_HZ / rate_hz)))), PHASES[1])
    fraction_P1 = np.arange(phases)[:, None] / phases
    if method == "bandlimited":
        if rate_hz < NO_LOWPASS_BELOW_HZ:
            count, attenuation, cutoff = INTERPOLATION_TAPS, INTERPOLATION_DB, 0.5
        else:
            width = (STOP_HZ - PASS_HZ) / rate_hz
            least = (STOP_DB - 7.95) / (2.285 * 2 * math.pi * width)
            count = LANES * math.ceil((least + 1) / LANES)
            attenuation = (count - 1) * (2.285 * 2 * math.pi * width) + 7.95
            cutoff = (PASS_HZ + STOP_HZ) / 2 / rate_hz
        away_PL = np.arange(count) - (count // 2 - 1) - fraction_P1
        window_PL = np.i0(_kaiser_beta(attenuation) * np.sqrt(np.maximum(0, 1 - (2 * away_PL / count) ** 2)))
        return Bank(_integers(np.sinc(2 * cutoff * away_PL) * window_PL), count // 2)
    taps_PL = np.zeros((phases, LANES))
    later_P = fraction_P1[:, 0] if method == "linear" else np.floor(fraction_P1[:, 0] + 0.5)
    taps_PL[:, LANES // 2 - 1] = 1 - later_P
    taps_PL[:, LANES // 2] = later_P
    return Bank(_integers(taps_PL), 0)


def _kaiser_beta(attenuation_db: float) -> float:
    """Kaiser's empirical formula for the shape of his window.

    The same as scipy.signal.kaiser_beta, whose import would cost every worker 0.6 s of CPU time.
    """
    if attenuation_db > 50:
        return 0.1102 * (attenuation_db - 8.7)
    return 0.5842 * (attenuation_db - 21) ** 0.4 + 0.07886 * (attenuation_db - 21)


def _integers(taps_PL: NDArray[np.float64]) -> NDArray[np.int16]:
    """Round taps to integers that add to UNITY in every set; the largest tap takes the rounding error."""
    scaled_PL = taps_PL * (UNITY / taps_PL.sum(axis=1, keepdims=True))
    rounded_PL = np.rint(scaled_PL).astype(np.int64)
    sets_P = np.arange(len(rounded_PL))
    rounded_PL[sets_P, rounded_PL.argmax(axis=1)] += UNITY - rounded_PL.sum(axis=1)
    return rounded_PL.astype(np.int16)


@dataclass(frozen=True)
class Course:
    """The positions of ticks among samples, in R linear pieces, ordered by tick and not overlapping.

    Tick n of piece r (first_tick <= n < stop_tick) lies at position + (n - first_tick) * step, in samples.
    Samples lo <= i < hi are the piece's contiguous segment; beyond it the first and last samples are repeated.
    """

    first_tick_R: NDArray[np.int64]
    stop_tick_R: NDArray[np.int64]
    position_R: NDArray[np.float64]
    step_R: NDArray[np.float64]
    lo_R: NDArray[np.int64]
    hi_R: NDArray[np.int64]


def resample(x_CN: NDArray[np.int16], course: Course, bank: Bank, first_tick: int, out_CT: NDArray[np.int32]) -> None:
    """Write the ticks from `first_tick` on into `out_CT`, in counts times UNITY; other ticks are unchanged.

    Exact: |x| < 2**15 and taps whose magnitudes add to less than 4 cannot overflow int32.
    """
    last = first_tick + out_CT.shape[1]
    begin = int(np.searchsorted(course.stop_tick_R, first_tick, side="right"))
    end = int(np.searchsorted(course.first_tick_R, last, side="left"))
    pieces = slice(begin, end)
    phases, count = bank.taps_PL.shape
    _filter(count)(
        *x_CN,
        bank.taps_PL.reshape(-1),
        phases.bit_length() - 1,
        course.first_tick_R[pieces],
        course.stop_tick_R[pieces],
        course.position_R[pieces],
        course.step_R[pieces],
        course.lo_R[pieces],
        course.hi_R[pieces],
        first_tick,
        *out_CT,
    )


@cache
def _filter(count: int) -> Callable[..., None]:
    """Return the compiled loop over ticks; `count` is a constant in it, so that the dot products need no loop."""

    @njit(cache=True, nogil=True)
    def filter_(
        x_N: NDArray[np.int16],
        y_N: NDArray[np.int16],
        z_N: NDArray[np.int16],
        taps: NDArray[np.int16],
        phase_bits: int,
        first_R: NDArray[np.int64],
        stop_R: NDArray[np.int64],
        position_R: NDArray[np.float64],
        step_R: NDArray[np.float64],
        lo_R: NDArray[np.int64],
        hi_R: NDArray[np.int64],
        first_tick: int,
        x_T: NDArray[np.int32],
        y_T: NDArray[np.int32],
        z_T: NDArray[np.int32],
    ) -> None:
        nearest_T = np.empty(BLOCK_TICKS, dtype=np.int64)
        for r in range(first_R.size):
            end = min(stop_R[r], first_tick + x_T.size)
            for begin in range(max(first_R[r], first_tick), end, BLOCK_TICKS):
                ticks = min(BLOCK_TICKS, end - begin)
                _nearest(position_R[r], step_R[r], begin - first_R[r], 1 << phase_bits, nearest_T[:ticks])
                inside, outside = _inside(nearest_T[:ticks], phase_bits, count, lo_R[r], hi_R[r])
                at = begin - first_tick
                for n in range(np.uint64(inside), np.uint64(outside)):
                    start = (nearest_T[n] >> phase_bits) - count // 2 + 1
                    tap = (nearest_T[n] & ((1 << phase_bits) - 1)) * count
                    t = np.uint64(at) + n
                    x_T[t], y_T[t], z_T[t] = dots(x_N, y_N, z_N, start, taps, tap, count)
                for first, last in ((0, inside), (outside, ticks)):
                    for n in range(first, last):
                        start = (nearest_T[n] >> phase_bits) - count // 2 + 1
                        tap = (nearest_T[n] & ((1 << phase_bits) - 1)) * count
                        edge = start, lo_R[r], hi_R[r], taps[tap : tap + count]
                        x_T[at + n], y_T[at + n], z_T[at + n] = _edge(x_N, *edge), _edge(y_N, *edge), _edge(z_N, *edge)

    compiled: Callable[..., None] = filter_
    return compiled


@njit(cache=True, nogil=True)
def _nearest(position: float, step: float, first: int, phases: int, out_T: NDArray[np.int64]) -> None:
    """The positions of ticks `first`, `first` + 1, ... of a piece, in units of a phase, rounded."""
    for t in range(out_T.size):
        out_T[t] = np.int64(np.floor((position + (first + t) * step) * phases + 0.5))


@njit(cache=True, nogil=True)
def _inside(nearest_T: NDArray[np.int64], phase_bits: int, count: int, lo: int, hi: int) -> tuple[int, int]:
    """The first and the last (exclusive) of some ticks whose samples are all in their segment."""
    first, last = 0, nearest_T.size
    while first < last and (nearest_T[first] >> phase_bits) - count // 2 + 1 < lo:
        first += 1
    while last > first and (nearest_T[last - 1] >> phase_bits) + count // 2 + 1 > hi:
        last -= 1
    return first, last


@njit(cache=True, nogil=True)
def _edge(x_N: NDArray[np.int16], start: int, lo: int, hi: int, taps: NDArray[np.int16]) -> int:
    """One dot product near the end of a segment, which repeats its first and last samples."""
    total = 0
    for k in range(taps.size):
        total += taps[k] * np.int64(x_N[min(max(start + k, lo), hi - 1)])
    return total


def resample_windows(
    x_BCN: NDArray[Any], rate_hz: float, ticks: int, method: Method = "bandlimited"
) -> NDArray[np.float32]:
    """Resample windows of N samples at `rate_hz` to (batch, channel, tick) float32 at 30 Hz, in the same unit.

    Tick 0 is the first sample. Beyond the window its first and last samples are repeated.
    """
    bank = design(rate_hz, method)
    phases, count = bank.taps_PL.shape
    samples = x_BCN.shape[2]
    nearest_T = np.floor(np.arange(ticks) * (rate_hz / SAMPLE_RATE_HZ) * phases + 0.5).astype(np.int64)
    base_T = nearest_T // phases
    sample_TL = (base_T - count // 2 + 1)[:, None] + np.arange(count)
    weight_TN = np.zeros((ticks, samples))
    np.add.at(
        weight_TN,
        (np.arange(ticks)[:, None], np.clip(sample_TL, 0, samples - 1)),
        bank.taps_PL[nearest_T - base_T * phases] / UNITY,
    )
    resampled: NDArray[np.float32] = x_BCN.astype(np.float32, copy=False) @ weight_TN.T.astype(np.float32)
    return resampled
