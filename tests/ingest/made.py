"""Recordings made in memory from a true clock, for the signal steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording

START = np.datetime64("2024-03-04T10:00:00", "us")


def recording(
    seconds: float = 600,
    rate_hz: float = 98.7,
    *,
    start: np.datetime64 = START,
    signal: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
    missing: tuple[tuple[float, float], ...] = (),
    jitter_s: Callable[[int], NDArray[np.float64]] | None = None,
    clock: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda sample_s: sample_s,
    nominal_rate_hz: float = 100.0,
    block: int = 120,
    per_g: int = 256,
    celsius: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda t: np.full(t.shape, 25.0),
) -> tuple[Recording, NDArray[np.float64]]:
    """A recording and the true second (since `start`) of each of its samples.

    signal: g (3, N) at seconds N. missing: spans of seconds whose blocks are not there. jitter_s: error of K stamps.
    clock: when, by the device's clock, a sample was taken that an ideal clock took at a second.
    """
    second_N = clock(np.arange(int(seconds * rate_hz)) / rate_hz)
    number_N = np.arange(len(second_N)) // block
    gone = np.zeros(number_N[-1] + 1, dtype=bool)
    for begin, end in missing:
        gone[number_N[(second_N >= begin) & (second_N < end)]] = True
    keep_N = ~gone[number_N]
    second_N, sequence_N = second_N[keep_N], number_N[keep_N]
    sequence_K, first_K, count_K = np.unique(sequence_N, return_index=True, return_counts=True)
    offset_K = 125 + 5 * (sequence_K % 4)
    stamp_s = clock((sequence_K * block + offset_K) / rate_hz)
    if jitter_s is not None:
        stamp_s = stamp_s + jitter_s(len(stamp_s))
    if signal is None:
        counts_CN = np.zeros((3, len(second_N)), dtype=np.int16)
        counts_CN[2] = per_g
    else:
        counts_CN = np.clip(np.rint(signal(second_N) * per_g), -2048, 2047).astype(np.int16)
    made = Recording(
        device="AX3",
        serial="1",
        location=None,
        nominal_rate_hz=nominal_rate_hz,
        counts_CN=counts_CN,
        g_per_count_C=np.full(3, 1 / per_g),
        offset_g_C=np.zeros(3),
        rail_counts=2044,
        limit_counts=2048,
        first_K=first_K.astype(np.int64),
        count_K=count_K.astype(np.int64),
        sequence_K=sequence_K.astype(np.int64),
        stamp_sample_K=first_K + offset_K,
        stamp_us_K=start.astype(np.int64) + np.rint(stamp_s * 1e6).astype(np.int64),
        stamped_K=np.ones(len(first_K), dtype=bool),
        celsius_K=celsius(second_N[first_K]).astype(np.float32),
        damaged_blocks=0,
    )
    return made, second_N


def of_day(made: Recording, second_N: NDArray[np.float64], start: np.datetime64 = START) -> NDArray[np.float64]:
    """True seconds since the midnight before the start."""
    midnight = start.astype("datetime64[D]").astype("datetime64[us]")
    return second_N + (start - midnight).astype(np.int64) * 1e-6
