"""Tables whose rows do not follow each other at one rate: a movement keeps its frequency and its amplitude."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.devices.registry import decode
from ingest.process import Processed, process
from ingest.settings import SignalSettings, TableSettings
from pipeline.errors import UserError
from pipeline.store.states import eligible
from tests.ingest.devices.tables import START, parquet, text

Float = NDArray[np.float64]
SWING_G = 0.4


def at_rates(parts: list[tuple[float, float]]) -> Float:
    """Return the times of rows in parts of (rate in Hz, seconds) that follow each other."""
    time, found = 0.0, []
    for rate_hz, length_s in parts:
        found.append(time + np.arange(round(rate_hz * length_s)) / rate_hz)
        time += round(rate_hz * length_s) / rate_hz
    return np.concatenate(found)


def swing(second_N: Float, hz: float) -> Float:
    """Return g (3, N): gravity, and a sine along x."""
    sine_N = SWING_G * np.sin(2 * np.pi * hz * second_N)
    return np.stack([sine_N, 0.6 + 0 * sine_N, 0.8 + 0 * sine_N])


def table(second_N: Float, x_CN: Float) -> bytes:
    stamps = START.astype(np.int64) * 1000 + np.rint(second_N * 1e9).astype(np.int64)
    return parquet({"time": pa.array(stamps, pa.timestamp("ns")), **dict(zip("xyz", x_CN, strict=True))})


def processed(data: bytes, unit: Any = "g") -> Processed:
    return process(decode(data, "a.parquet", TableSettings(unit=unit)), SignalSettings())


def measured_seconds(made: Processed) -> tuple[NDArray[np.int64], Float]:
    """Return the eligible seconds (S) between two eligible ones, and x of all seconds in g (seconds, 30)."""
    [(_, day, _)] = made.days()
    good_S = eligible(day.state_S)
    inner_S = good_S & np.roll(good_S, 1) & np.roll(good_S, -1)
    return np.flatnonzero(inner_S), day.signal_CT[0].reshape(-1, 30) / 1024.0


def check_sine(
    made: Processed, hz: float, least_s: int, amplitude: float = 0.03, phase_s: float = 0.017, off: float = 0.12
) -> None:
    """Check that three seconds around every measured second hold the sine, where its table had it."""
    at_S, x_ST = measured_seconds(made)
    assert at_S.size >= least_s
    start_s = (START - START.astype("datetime64[D]")).astype(np.int64) / 1e6
    for second in at_S.tolist():
        t_T = second - 1 + np.arange(90) / 30 - start_s
        x_T = x_ST[second - 1 : second + 2].ravel()
        angle = 2 * np.pi * hz * t_T
        into_T = (np.arange(90) - 44.5) / 30
        basis = np.stack([np.sin(angle), np.cos(angle), np.ones(90), into_T * np.sin(angle), into_T * np.cos(angle)])
        sine, cosine, _, sine_more, cosine_more = np.linalg.lstsq(basis.T, x_T, rcond=None)[0]
        turn = (cosine_more * sine - cosine * sine_more) / (sine**2 + cosine**2)
        assert abs(turn) / (2 * np.pi * hz) < 0.01, f"the frequency in second {second}"
        assert abs(np.hypot(sine, cosine) / SWING_G - 1) < amplitude, second
        assert abs(np.arctan2(cosine, sine)) / (2 * np.pi * hz) < phase_s, second
        assert np.abs(x_T - SWING_G * np.sin(angle + np.arctan2(cosine, sine))).max() < off * SWING_G


@pytest.mark.parametrize("rates", [(50, 25), (25, 50), (50, 40), (20, 100), (100, 20), (32, 37)])
def test_a_movement_keeps_its_frequency_when_the_rate_changes(rates: tuple[float, float]) -> None:
    second_N = at_rates([(rates[0], 120), (rates[1], 120)])
    made = processed(table(second_N, swing(second_N, 1.0)))
    check_sine(made, 1.0, 225)
    assert made.figures.rates == 2
    assert made.figures.lost_share == pytest.approx(0, abs=1e-9)


def test_a_fast_part_of_a_slow_table_does_not_alias() -> None:
    second_N = at_rates([(20, 120), (100, 120)])
    x_CN = swing(second_N, 1.0)
    x_CN[0, second_N >= 120] += 0.3 * np.sin(2 * np.pi * 28 * second_N[second_N >= 120])
    check_sine(processed(table(second_N, x_CN)), 1.0, 225)


@pytest.mark.parametrize("rate_hz", [50, 100])
def test_lost_rows_are_counted_and_do_not_change_the_frequency(rate_hz: float) -> None:
    rng = np.random.default_rng(1)
    second_N = at_rates([(rate_hz, 300)])
    second_N = second_N[rng.random(second_N.size) > 0.2]
    made = processed(table(second_N, swing(second_N, 1.5)))
    check_sine(made, 1.5, 100)
    assert made.figures.lost_share == pytest.approx(0.2, abs=0.02)
    assert made.figures.rates == 1


def test_longer_losses_are_gaps() -> None:
    second_N = at_rates([(50, 300)])
    kept_N = (second_N % 10 > 0.5) | (second_N < 20)
    made = processed(table(second_N[kept_N], swing(second_N[kept_N], 1.5)))
    check_sine(made, 1.5, 100)
    assert made.figures.gaps == 28


@pytest.mark.parametrize("rate_hz", [50, 100])
def test_jitter_is_smoothed(rate_hz: float) -> None:
    rng = np.random.default_rng(1)
    second_N = at_rates([(rate_hz, 300)])
    stamp_N = np.maximum.accumulate(second_N + 0.004 * rng.standard_normal(second_N.size))
    made = processed(table(stamp_N, swing(second_N, 1.5)))
    check_sine(made, 1.5, 280)


def test_a_change_of_rate_shows_in_stamps_of_full_seconds() -> None:
    second_N = at_rates([(50, 120), (25, 120)])
    made = processed(table(np.floor(second_N), swing(second_N, 1.0)))
    check_sine(made, 1.0, 200, phase_s=0.03)


def test_bunches_of_rows_are_spread() -> None:
    second_N = at_rates([(50, 300)])
    rng = np.random.default_rng(1)
    first_N = np.zeros(second_N.size, dtype=bool)
    begins = np.append(0, np.cumsum(rng.integers(1, 6, second_N.size)))
    first_N[begins[begins < second_N.size]] = True
    stamp_N = second_N[np.maximum.accumulate(np.where(first_N, np.arange(second_N.size), 0))]
    check_sine(processed(table(stamp_N, swing(second_N, 1.0))), 1.0, 200, phase_s=0.03)


def test_a_table_with_a_pause_of_two_days_is_read() -> None:
    second_N = np.concatenate([at_rates([(50, 100)]), 2 * 86_400 + at_rates([(50, 400)])])
    found = processed(table(second_N, swing(second_N, 1.0)))
    assert found.figures.gap_total_s == pytest.approx(2 * 86_400 - 100, abs=1)


@settings(max_examples=12, deadline=None)
@given(
    rates=st.lists(st.sampled_from([20.0, 25.0, 31.25, 40.0, 50.0, 64.0, 100.0]), min_size=2, max_size=5),
    hz=st.floats(0.5, 3.0),
    lost=st.floats(0, 0.1),
    jitter=st.floats(0, 0.1),
    seed=st.integers(0, 1 << 30),
)
def test_a_sine_keeps_its_frequency(rates: list[float], hz: float, lost: float, jitter: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [(rate, float(rng.integers(20, 60))) for rate in rates]
    second_N = at_rates(parts)
    period_N = np.repeat([1 / rate for rate, _ in parts], [round(rate * length) for rate, length in parts])
    stamp_N = np.maximum.accumulate(second_N + jitter * period_N * rng.uniform(-1, 1, second_N.size))
    kept_N = rng.random(second_N.size) >= lost
    made = processed(table(stamp_N[kept_N], swing(second_N[kept_N], hz)))
    check_sine(made, hz, 0, amplitude=0.06, off=0.25)


def test_an_even_table_is_timed_by_its_blocks() -> None:
    second_N = at_rates([(50, 300)])
    made = decode(
        text(swing(second_N, 1.0), [f"{1.7e9 + s:.3f}" for s in second_N], "time,x,y,z"),
        "a.csv",
        TableSettings(unit="g"),
    )
    assert made.pace is None


def test_a_clock_set_back_in_a_slow_part_is_a_question() -> None:
    """Its rows are few: 300 of 12,300, but 30 of 150 s."""
    true_N = at_rates([(100, 120), (10, 30)])
    stamp_N = true_N - np.where(true_N >= 120, 30, 0)
    with pytest.raises(UserError, match=r"clock runs backwards.* set back by.*--clock keep-first"):
        processed(table(stamp_N, swing(true_N, 1)))


def test_a_clock_corrected_by_some_seconds_costs_their_rows() -> None:
    true_N = at_rates([(100, 120), (50, 120)])
    made = decode(table(true_N - np.where(true_N >= 200, 5, 0), swing(true_N, 1)), "a.parquet")
    assert made.damaged_blocks in (249, 250)  # one has the stamp of the last row before


def test_rows_with_stray_stamps_are_counted() -> None:
    true_N = at_rates([(100, 60), (50, 60)])
    stamp_N = true_N.copy()
    stamp_N[[3000, 7000]] += 500
    made = decode(table(stamp_N, swing(true_N, 1)), "a.parquet")
    assert made.damaged_blocks == 2


@pytest.mark.parametrize("rates", [(85.7, 80.0), (50.0, 51.2)])
def test_a_small_change_of_rate_in_full_seconds_costs_few_seconds(rates: tuple[float, float]) -> None:
    true_N = at_rates([(rates[0], 80), (rates[1], 60)])
    made = processed(table(np.floor(true_N + 1e-9), swing(true_N, 0.5)))
    at_S, _ = measured_seconds(made)
    assert at_S.size >= 140 - 8
