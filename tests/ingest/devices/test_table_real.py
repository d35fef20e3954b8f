"""Real tables whose rate changes on the way: what is stored, compared with scipy's reading of the file."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.signal import firwin

from ingest.devices.registry import decode
from ingest.process import process
from ingest.settings import SignalSettings
from pipeline.grid import COUNTS_PER_G, SAMPLE_RATE_HZ
from pipeline.store.states import eligible
from tests.ingest.devices.tables import parquet

Float = NDArray[np.float64]
GRAVITY = 9.80665
FINE = 20
LOWPASS_HZ = 3.0
LEAST_S = 10


def rows_of(path: Path) -> tuple[NDArray[np.int64], Float]:
    """Return the stamps in ns and m/s2 (3, rows) of a file of WISDM, in the order of its stamps."""
    with gzip.open(path, "rt") as file:
        cells = [line.strip().rstrip(";").split(",") for line in file if line.strip()]
    ns_N, first = np.unique(np.array([int(row[2]) for row in cells]), return_index=True)
    return ns_N, np.array([[float(value) for value in row[3:6]] for row in cells]).T[:, first]


def smooth(x_CX: Float, per_tick: int) -> Float:
    """Return the part below 3 Hz of values `per_tick` a tick, without a second at each end."""
    taps = firwin(2 * SAMPLE_RATE_HZ * per_tick + 1, LOWPASS_HZ, fs=SAMPLE_RATE_HZ * per_tick)
    return np.stack([np.convolve(axis_X, taps, mode="valid") for axis_X in x_CX])


@pytest.mark.parametrize("subject", [1624, 1644])
def test_a_watch_of_20_hz_with_parts_at_100_hz(real_data: Path, subject: int) -> None:
    ns_N, x_CN = rows_of(real_data / "labelled" / "wisdm_watch" / f"data_{subject}_accel_watch.txt.gz")
    made = process(
        decode(parquet({"time": ns_N, **dict(zip("xyz", x_CN, strict=True))}), "a.parquet"), SignalSettings()
    )
    assert made.recording.origin == "boot"
    assert made.figures.rates == 2
    spline, off, seconds = CubicSpline(ns_N / 1e9, x_CN / GRAVITY, axis=1), [], 0
    for date, day, _ in made.days():
        begin_s = date.astype("datetime64[s]").astype(np.int64)
        edges = np.flatnonzero(np.diff(eligible(day.state_S).astype(int), prepend=0, append=0))
        for first, stop in pairwise(edges.tolist()):
            if not eligible(day.state_S)[first] or stop - first < LEAST_S:
                continue
            stored_CT = day.signal_CT[:, first * SAMPLE_RATE_HZ : stop * SAMPLE_RATE_HZ] / COUNTS_PER_G
            fine_X = np.arange((stop - first) * SAMPLE_RATE_HZ * FINE) / (SAMPLE_RATE_HZ * FINE)
            expected_CT = smooth(spline(begin_s + first + fine_X), FINE)[:, ::FINE]
            found_CT = smooth(stored_CT, 1)
            ticks = min(found_CT.shape[1], expected_CT.shape[1])
            off.append(np.abs(found_CT[:, :ticks] - expected_CT[:, :ticks]).max(axis=0))
            seconds += stop - first
    off_T = np.concatenate(off)
    rows_s = np.minimum(np.diff(ns_N) / 1e9, 0.2).sum()
    assert seconds > 0.9 * rows_s
    assert np.quantile(off_T, 0.99) < 0.002
    assert off_T.max() < 0.008
