"""From a recording to person-days: against analytic signals, the vendor's export, and the simulator's truth."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.interpolate
import scipy.signal
from numpy.typing import NDArray

from ingest.devices.registry import decode, probe
from ingest.process import process
from ingest.settings import STEPS_VERSION, SignalSettings
from ingest.signal.calibrate import Calibration
from ingest.signal.timing import fit
from ingest.simulate.recording import Faults, simulate_recording
from pipeline.errors import UserError
from pipeline.grid import FILL, SECONDS_PER_DAY, TICKS_PER_DAY
from pipeline.settings import build, fingerprint, plain
from pipeline.store.states import BAD, CLIPPED, GAP, MEASURED, NONWEAR, eligible, eligible_starts, worn
from tests.ingest.made import recording

LATE = np.datetime64("2024-03-04T23:58:20.250", "us")
"""100 s before midnight."""


def swing(second_N: NDArray[Any]) -> Any:
    return np.stack(
        [
            0.4 * np.sin(2 * np.pi * 1.3 * second_N),
            0.3 * np.cos(2 * np.pi * 4.1 * second_N + 0.5),
            1 + 0.2 * np.sin(2 * np.pi * 9.7 * second_N),
        ]
    )


def only_day(made: Any, settings: Any = None) -> Any:
    ((day, person_day, figures),) = process(made, settings or SignalSettings()).days()
    return day, person_day, figures


def tick_seconds(index: Any, start: Any) -> Any:
    """Seconds since `start` of the ticks of the day number `index` from the day of the start."""
    midnight = start.astype("datetime64[D]").astype("datetime64[us]")
    return np.arange(TICKS_PER_DAY) / 30 + index * SECONDS_PER_DAY - (start - midnight).astype(np.int64) * 1e-6


@pytest.mark.parametrize("rate", [97.2, 98.7, 102.9])
def test_a_known_signal_is_found_on_the_grid_of_both_days(rate: float) -> None:
    made, second_N = recording(300, rate, start=LATE, signal=swing)
    days = list(process(made, SignalSettings()).days())
    assert [str(day) for day, _, _ in days] == ["2024-03-04", "2024-03-05"]
    for index, (_, day, figures) in enumerate(days):
        second_T = tick_seconds(index, LATE)
        measured_T = np.repeat((day.state_S & MEASURED) != 0, 30)
        good_T = measured_T & np.repeat((day.state_S & BAD) == 0, 30)
        error_g = day.signal_CT / 1024 - swing(second_T)
        assert np.abs(error_g[:, good_T]).max() < 0.006
        covered_T = (second_T >= 1e-4) & (second_T <= second_N[-1] - 1e-4)
        assert ((day.signal_CT != FILL).all(axis=0) >= covered_T).all()
        assert (day.signal_CT[:, (second_T < -1e-4) | (second_T > second_N[-1] + 1e-4)] == FILL).all()
        assert figures["measured_seconds"] == (99 if index == 0 else 200)
    assert not (days[0][1].state_S[-50:] & (BAD | GAP)).any()
    assert not (days[1][1].state_S[:150] & (BAD | GAP)).any()


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_other_methods(method: Any) -> None:
    made, _ = recording(60, 98.7, signal=swing)
    _, day, _ = only_day(made, SignalSettings(resampling=method))
    exact = swing(tick_seconds(0, np.datetime64("2024-03-04T10:00:00", "us")))
    good_T = np.repeat((day.state_S & MEASURED) != 0, 30)
    assert np.abs(day.signal_CT / 1024 - exact)[:, good_T].max() < (0.06 if method == "linear" else 0.13)
    assert (day.state_S & BAD).sum() == 0


@pytest.mark.parametrize("rate", [25.0, 31.0])
def test_slow_devices(rate: float) -> None:
    made, _ = recording(120, rate, nominal_rate_hz=rate, signal=swing, block=30)
    made = replace(made, stamp_sample_K=made.first_K, stamp_us_K=np.rint(made.first_K / rate * 1e6).astype(np.int64))
    processed = process(made, SignalSettings())
    assert processed.figures.upsampled == (rate < 30)
    ((_, day, _),) = processed.days()
    good_T = np.repeat((day.state_S & (MEASURED | BAD)) == MEASURED, 30)
    assert np.abs(day.signal_CT / 1024 - swing(np.arange(TICKS_PER_DAY) / 30))[:, good_T].max() < 0.012


def test_figures_of_a_day_are_those_of_its_arrays() -> None:
    made, _ = recording(400, signal=swing, missing=((100, 130),))
    made.counts_CN[0, 20_000:20_080] = 2047
    _, day, figures = only_day(made)
    state_S, on_S = day.state_S, eligible(day.state_S)
    assert figures["wear_seconds"] == worn(state_S).sum() == figures["measured_seconds"]
    for name, bit in (("gap", GAP), ("clipped", CLIPPED), ("nonwear", NONWEAR), ("bad", BAD)):
        assert figures[f"{name}_seconds"] == ((state_S & bit) != 0).sum()
    assert figures["gap_seconds"] in range(31, 35)
    assert (figures["clipped_seconds"], figures["idle_seconds"], figures["nonwear_seconds"]) == (1, 0, 0)
    assert figures["eligible_seconds"] == on_S.sum() < figures["measured_seconds"]
    for seconds in (5, 10, 30):
        assert figures[f"eligible_{seconds}s"] == eligible_starts(on_S, seconds).sum()
    assert figures["motion_sum_g"] == pytest.approx(day.motion_S[on_S].astype(float).sum())
    assert np.array_equal(np.isnan(day.motion_S), (state_S & MEASURED) == 0)
    length = np.sqrt(((day.signal_CT / 1024) ** 2).sum(axis=0)).reshape(-1, 30)
    assert figures["enmo_mg"] == pytest.approx(np.maximum(length - 1, 0)[worn(state_S)].mean() * 1000, rel=1e-5)
    assert figures["checksum"] == day.checksum()
    json.dumps(figures)


def test_figures_of_a_recording_are_scalars_with_plain_names() -> None:
    made, second_N = recording(400, missing=((100, 130),))
    figures = process(made, SignalSettings()).figures.plain()
    json.dumps(figures)
    assert (figures["gaps"], figures["damaged_blocks"], figures["calibration"]) == (1, 0, "none")
    assert figures["gap_total_s"] == pytest.approx(np.diff(second_N).max() - 1 / 98.7, abs=1e-3)
    assert figures["rate_hz"] == pytest.approx(98.7, rel=1e-5)
    assert figures["samples"] == made.samples
    assert figures["start"] == "2024-03-04T10:00:00.000000"


def test_days_in_which_nothing_was_measured_are_left_out() -> None:
    made, _ = recording(300_000, 1.0, nominal_rate_hz=1.0, block=100, missing=((60_000, 142_000),))
    made = replace(made, stamp_sample_K=made.first_K, stamp_us_K=np.int64(1) * made.sequence_K * 100 * 1_000_000)
    processed = process(made, SignalSettings(resampling="linear"))
    days = [str(day) for day, _, _ in processed.days()]
    assert days == ["1970-01-01", "1970-01-02", "1970-01-03", "1970-01-04"]
    lost = replace(made, **_without(made, (86_400, 172_800)))
    assert [str(day) for day, _, _ in process(lost, SignalSettings()).days()] == [days[0], *days[2:]]


def _without(made: Any, span: Any) -> Any:
    """The fields of a recording without the blocks that touch a span of seconds (one sample a second)."""
    begin_K = made.sequence_K * 100
    keep_K = (begin_K + made.count_K < span[0]) | (begin_K > span[1])
    count_K = made.count_K[keep_K]
    first_K = np.cumsum(count_K) - count_K
    return {
        "counts_CN": np.ascontiguousarray(made.counts_CN[:, np.repeat(keep_K, made.count_K)]),
        "first_K": first_K,
        "stamp_sample_K": first_K,
        **{name: getattr(made, name)[keep_K] for name in ("sequence_K", "stamp_us_K", "stamped_K", "celsius_K")},
        "count_K": count_K,
    }


def test_the_same_recording_gives_the_same_bytes() -> None:
    made, _ = recording(200, signal=swing)
    (_, _, one), (_, _, two) = only_day(made), only_day(replace(made, counts_CN=made.counts_CN.copy()))
    assert one == two


def test_resolution_of_the_store() -> None:
    made, _ = recording(60, signal=swing)
    _, coarse, _ = only_day(made, SignalSettings(counts_per_g=128))
    _, fine, _ = only_day(made, SignalSettings(counts_per_g=4096))
    measured_T = np.repeat((fine.state_S & MEASURED) != 0, 30)
    assert np.abs(coarse.signal_CT[:, measured_T] - fine.signal_CT[:, measured_T] / 32).max() <= 0.51
    assert np.allclose(coarse.motion_S, fine.motion_S, atol=0.005, equal_nan=True)


def test_calibration_is_applied_with_offset_gain_and_temperature() -> None:
    given = Calibration("own", (1.02, 0.98, 1.01), (0.03, -0.02, 0.01), (0.002, 0.0, -0.001), 20.0, 99, 20.0, 1.0)
    made, _ = recording(200, signal=swing, celsius=lambda t: 20 + t / 20)
    made = replace(made, offset_g_C=np.array([0.5, 0.0, 0.0]), g_per_count_C=np.array([1 / 256, 1 / 128, 1 / 256]))
    ((_, day, _),) = process(made, SignalSettings(), given).days()
    ((_, raw, _),) = process(made, SignalSettings()).days()
    assert process(made, SignalSettings(), given).figures.calibration == "given"
    measured_T = np.repeat((day.state_S & MEASURED) != 0, 30)
    second_T = tick_seconds(0, np.datetime64("2024-03-04T10:00:00", "us"))[measured_T]
    x_CT = raw.signal_CT[:, measured_T] / 1024
    column = [np.array(value)[:, None] for value in (given.gain_C, given.offset_C, given.drift_C)]
    expected = x_CT * column[0] + column[1] + column[2] * (second_T / 20)
    assert np.abs(day.signal_CT[:, measured_T] / 1024 - expected).max() < 0.0015
    with pytest.raises(UserError, match="cannot be calibrated"):
        process(made, SignalSettings(require_calibration=True))
    assert process(made, SignalSettings(require_calibration=True), given).figures.calibration == "given"


def test_settings_are_checked_and_leave_a_fingerprint() -> None:
    with pytest.raises(UserError, match="counts_per_g"):
        build(SignalSettings, {"counts_per_g": 5}, "settings")
    with pytest.raises(UserError, match="bandlimited, linear, nearest"):
        build(SignalSettings, {"resampling": "cubic"}, "settings")
    marks = {
        fingerprint(plain(SignalSettings(**choice))) for choice in ({}, {"resampling": "linear"}, {"counts_per_g": 512})
    }
    assert len(marks) == 3
    assert plain(SignalSettings())["steps"] == STEPS_VERSION


def test_the_vendors_export_resampled_by_numpy(real_data: Path) -> None:
    folder = real_data / "recordings" / "axivity"
    made = decode((folder / "example-610-steps.cwa").read_bytes(), "a.cwa")
    with gzip.open(folder / "example-610-steps.csv.gz", "rt") as file:
        x_CN = np.array([line.rstrip().split(",")[1:] for line in file], dtype=float).T
    taken_N = fit(made).seconds_of(np.arange(made.samples))
    second_T = np.arange(TICKS_PER_DAY) / 30

    _, day, _ = only_day(made, SignalSettings(resampling="linear"))
    measured_T = np.repeat((day.state_S & MEASURED) != 0, 30)
    expected = np.stack([np.interp(second_T[measured_T], taken_N, x) for x in x_CN])
    assert np.abs(day.signal_CT[:, measured_T] / 1024 - expected).max() < 0.006

    _, smooth, figures = only_day(made)
    assert figures["measured_seconds"] in (723, 724)
    reference = np.stack([lowpassed(taken_N, x, second_T[measured_T]) for x in x_CN])
    found, exact = (below_12_hz(x_CT)[:, 300:-300] for x_CT in (smooth.signal_CT[:, measured_T] / 1024, reference))
    assert (found - exact).std() < 0.01 * exact.std()


def lowpassed(taken_N: NDArray[Any], x_N: NDArray[Any], second_T: NDArray[Any]) -> Any:
    """Samples at uneven times: by a cubic spline to 3,000 Hz, through a long lowpass at 15 Hz, every hundredth."""
    fine = np.arange(second_T[0] * 3_000, second_T[-1] * 3_000 + 0.5) / 3_000
    spline = scipy.interpolate.CubicSpline(taken_N, x_N)(fine)
    taps = scipy.signal.firwin(3_001, 15, window=("kaiser", 6), fs=3_000)
    return scipy.signal.fftconvolve(spline, taps, mode="same")[::100]


def below_12_hz(x_CT: NDArray[Any]) -> Any:
    spectrum = np.fft.rfft(x_CT, axis=1)
    spectrum[:, np.fft.rfftfreq(x_CT.shape[1], 1 / 30) > 12] = 0
    return np.fft.irfft(spectrum, x_CT.shape[1], axis=1)


def test_real_damage_costs_only_its_blocks(real_data: Path) -> None:
    folder = real_data / "recordings" / "axivity"
    whole, damaged = (
        decode((folder / name).read_bytes(), name)
        for name in ("ax3_testfile.cwa", "ax3_testfile_corrupt_blocks_0_13_14_142_143_144.cwa")
    )
    figures = process(damaged, SignalSettings()).figures.plain()
    assert (figures["damaged_blocks"], figures["gaps"]) == (6, 1)
    assert figures["gap_total_s"] == pytest.approx(240 / figures["rate_hz"], abs=0.005)
    (_, one, _), (_, two, _) = only_day(whole), only_day(damaged)
    both_T = np.repeat(eligible(one.state_S) & eligible(two.state_S), 30)
    assert both_T.sum() > 150 * 30
    difference = one.signal_CT[:, both_T].astype(int) - two.signal_CT[:, both_T]
    assert np.sqrt((difference**2).mean()) < 0.01 * 1024


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three hours: postures, a walk, two hours of non-wear; one block damaged, a minute missing."""
    path = tmp_path_factory.mktemp("simulated") / "P0001.cwa"
    script = [
        ("sitting", 900),
        ("walking", 300),
        ("standing", 600),
        ("sleep", 900),
        ("non-wear", 7_000),
        ("sitting", 600),
    ]
    truth = simulate_recording(
        path,
        3,
        1,
        script=script,
        start=np.datetime64("2024-05-01T22:30:00"),
        faults=Faults(gaps=((1_500, 1_560),), bad_checksums=(100,)),
        packing="packed, finest step",
    )
    return truth, path.read_bytes(), script


def test_a_simulated_recording_is_recovered(simulated: Any) -> None:
    truth, data, script = simulated
    made = decode(data, "P0001.cwa")
    processed = process(made, SignalSettings())
    figures, days = processed.figures.plain(), list(processed.days())
    assert (figures["damaged_blocks"], figures["gaps"]) == (1, 2)
    assert figures["rate_hz"] == pytest.approx(truth.device.rate_hz, rel=3e-4)
    assert figures["gap_total_s"] == pytest.approx(60 + 120 / truth.device.rate_hz, abs=2)
    assert abs(processed.timeline.instant(processed.timeline.start_G[0]) - truth.start) < np.timedelta64(2_000, "us")
    assert [str(day) for day, _, _ in days] == ["2024-05-01", "2024-05-02"]

    state_S = np.concatenate([day.state_S for _, day, _ in days])
    motion_S = np.concatenate([day.motion_S for _, day, _ in days])
    begin = 22 * 3600 + 1800
    edges = begin + np.cumsum([0, *(seconds for _, seconds in script)])
    inside = {name: slice(a + 60, b - 60) for (name, _), a, b in zip(script, edges[:-1], edges[1:], strict=True)}
    nonwear_S = (state_S & NONWEAR) != 0
    assert nonwear_S[inside["non-wear"]].all()
    assert nonwear_S.sum() == pytest.approx(7_000, abs=120)
    assert np.nanmedian(motion_S[inside["walking"]]) > 5 * np.nanmedian(motion_S[inside["standing"]])
    assert (state_S[begin + 1_510 : begin + 1_550] == GAP).all()


def test_the_probe_bounds_days_and_samples(simulated: Any) -> None:
    _, data, _ = simulated
    found = probe(io.BytesIO(data), "P0001.cwa", len(data))
    processed = process(decode(data, "P0001.cwa"), SignalSettings())
    assert {day for day, _, _ in processed.days()} <= set(found.days)
    assert abs(found.start - np.datetime64(processed.figures.start)) < np.timedelta64(50, "ms")
    assert abs(found.end - np.datetime64(processed.figures.end)) < np.timedelta64(100, "ms")
    assert found.samples >= processed.figures.samples


@pytest.mark.parametrize("participant", [2, 4])
def test_gain_offset_and_drift_of_a_simulated_device_are_recovered(tmp_path: Path, participant: int) -> None:
    script = [("sleep", 3_600), ("sitting", 600), ("housework", 120)] * 6
    path = tmp_path / "a.cwa"
    device = simulate_recording(path, 5, participant, script=script, faults=Faults(), packing="unpacked").device
    found = process(decode(path.read_bytes(), path.name), SignalSettings()).calibration
    assert found.outcome == "own"
    assert found.error_after_mg < 2 < 15 < found.error_before_mg
    assert np.abs(np.array(found.gain_C) * device.gain_C - 1).max() < 0.002
    at_reference = device.offset_C + device.drift_C * (found.reference_celsius - 25)
    assert np.abs(np.array(found.offset_C) + at_reference / device.gain_C).max() < 0.002
    assert np.abs(np.array(found.drift_C) + device.drift_C / device.gain_C).max() < 0.0004
