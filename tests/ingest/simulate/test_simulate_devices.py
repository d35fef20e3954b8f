"""Simulated recordings of the other devices are read back with the requested faults and truth."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ingest.devices.actigraph.unpack_samples import unpack_12_bits
from ingest.devices.registry import decode
from ingest.process import process
from ingest.settings import SignalSettings
from ingest.signal.timing import fit
from ingest.simulate.actigraph_file import IDLE_G, activity, pack_12_bits
from ingest.simulate.geneactiv_file import digits
from ingest.simulate.population import RATES_HZ, device
from ingest.simulate.recording import SUFFIX, Faults, plan, simulate_recording
from pipeline.store.states import IDLE, MEASURED, NONWEAR
from tests.ingest.devices import gt3x_file

HOUR = 1 / 24
KINDS = ("actigraph", "geneactiv")
counts = st.integers(-2048, 2047)


def simulated(folder: Path, kind: Any, participant: int = 1, seed: int = 0, **arguments: Any) -> Any:
    """Return the truth about a recording, and the recording as read."""
    path = folder / f"a{SUFFIX[kind]}"
    truth = simulate_recording(path, seed, participant, kind=kind, **arguments)
    return truth, decode(path.read_bytes(), path.name)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 120).flatmap(lambda n: arrays(np.int16, (2, n, 3), elements=counts)), st.booleans())
def test_records_are_those_of_the_plain_writer(counts_SNC: NDArray[Any], packed: Any) -> None:
    plainly = gt3x_file.activity if packed else gt3x_file.activity2
    made_SB = activity(counts_SNC, np.array([5, 2**32 - 1]), packed)
    for second, made, samples in zip((5, 2**32 - 1), made_SB, counts_SNC.tolist(), strict=True):
        assert made.tobytes() == plainly(second, samples)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 120).flatmap(lambda n: arrays(np.int16, (1, n, 3), elements=counts)))
def test_twelve_bits_round_trip(counts_SNC: NDArray[Any]) -> None:
    x, y, z = np.empty((3, counts_SNC.shape[1]), dtype=np.int16)
    packed = pack_12_bits(counts_SNC).tobytes()
    unpack_12_bits(np.frombuffer(packed, dtype=np.uint8), counts_SNC.shape[1], x, y, z)
    assert np.array_equal(np.stack([x, y, z], axis=1), counts_SNC[0])


@settings(max_examples=20, deadline=None)
@given(arrays(np.int16, (300, 3), elements=counts), st.integers(0, 1023), arrays(np.bool_, 300))
def test_digits_of_a_page(counts_NC: NDArray[Any], light: Any, pressed_N: NDArray[Any]) -> None:
    (text,) = digits(counts_NC, light, pressed_N)
    words = [int(text.tobytes()[3 * i : 3 * i + 3], 16) for i in range(1200)]
    rows = np.array(words).reshape(300, 4)
    assert np.array_equal(np.where(rows[:, :3] > 2047, rows[:, :3] - 4096, rows[:, :3]), counts_NC)
    assert (rows[:, 3] >> 2 == light).all()
    assert np.array_equal(rows[:, 3] >> 1 & 1, pressed_N)
    assert not (rows[:, 3] & 1).any()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_arguments_give_equal_bytes(tmp_path: Path, kind: Any) -> None:
    def digest(seed: Any, participant: Any) -> Any:
        simulate_recording(tmp_path / "a", seed, participant, days=HOUR / 4, kind=kind)
        return sha256((tmp_path / "a").read_bytes()).hexdigest()

    assert digest(5, 3) == digest(5, 3)
    assert len({digest(5, 3), digest(5, 4), digest(6, 3)}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_all_usual_rates_and_devices_occur(kind: Any) -> None:
    made = [device(0, number, kind) for number in range(1, 41)]
    assert {what.nominal_hz for what in made} == set(RATES_HZ[kind])
    assert {what.packing for what in made} == (
        {"unpacked", "packed, finest step"} if kind == "actigraph" else {"packed, finest step"}
    )
    assert {what.idle_sleep for what in made} == ({True, False} if kind == "actigraph" else {False})
    assert device(0, 1, kind).serial == device(0, 1).serial


@pytest.mark.parametrize(
    ("kind", "nominal_hz", "packing"),
    [
        ("actigraph", 30, "unpacked"),
        ("actigraph", 75, "packed, finest step"),
        ("geneactiv", 85.7, None),
        ("geneactiv", 50, None),
    ],
)
def test_a_recording_is_read_back(tmp_path: Path, kind: str, nominal_hz: float, packing: str | None) -> None:
    truth, made = simulated(
        tmp_path,
        kind,
        days=HOUR / 4,
        nominal_hz=nominal_hz,
        packing=packing,
        idle_sleep=False,
        start=np.datetime64("2024-02-29T23:50:00"),
    )
    timeline = fit(made)
    assert made.nominal_rate_hz == nominal_hz
    assert timeline.rate_hz == pytest.approx(truth.device.rate_hz, rel=1e-6)
    assert made.samples == pytest.approx(900 * truth.device.rate_hz, abs=300)
    assert abs(timeline.instant(timeline.start_G[0]) - truth.start) <= np.timedelta64(1, "ms")
    assert (made.damaged_blocks, len(timeline.first_G)) == (0, 1)
    assert made.location is not None
    assert made.location.endswith(f"{truth.person.wrist} wrist")
    assert "P0001" not in repr(made)
    model = {"actigraph": "wGT3XBT" if packing != "unpacked" else "Link", "geneactiv": "1.2"}[kind]
    assert made.device.endswith(model)
    if kind == "geneactiv":
        assert made.extras["button_presses"] == 1
        assert np.isfinite(made.celsius_K).all()


@pytest.mark.parametrize(("kind", "each_s"), [("actigraph", 1), ("geneactiv", 5)])
def test_faults_are_where_asked(tmp_path: Path, kind: str, each_s: int) -> None:
    faults = Faults(gaps=((600.0, 900.0),), bad_checksums=(7, 8), garbage=(3,), cut_bytes=1)
    _, made = simulated(
        tmp_path,
        kind,
        days=HOUR / 2,
        nominal_hz={"actigraph": 50, "geneactiv": 60}[kind],
        faults=faults,
        idle_sleep=False,
    )
    present = np.rint((made.stamp_us_K - made.stamp_us_K[0]) / 1e6 / each_s).astype(int)
    everything = np.arange(1800 // each_s)
    lost = np.isin(everything, (3, 7, 8)) | ((everything >= 600 / each_s) & (everything < 900 / each_s))
    if kind == "geneactiv":
        lost[-1] = False  # the byte cut off is the end of the last line
    assert present.tolist() == everything[~lost].tolist()
    assert made.damaged_blocks == 3


def test_idle_sleep_omits_seconds_without_movement(tmp_path: Path) -> None:
    script = [("walking", 120), ("non-wear", 900), ("walking", 60), ("non-wear", 300)]
    arguments: dict[str, Any] = {"script": script, "nominal_hz": 30, "packing": "unpacked"}
    _, awake = simulated(tmp_path, "actigraph", idle_sleep=False, **arguments)
    _, asleep = simulated(tmp_path, "actigraph", idle_sleep=True, **arguments)
    second_K = (awake.stamp_us_K - awake.stamp_us_K[0]) // 1_000_000
    kept_K = np.isin(awake.stamp_us_K, asleep.stamp_us_K)
    assert np.array_equal(asleep.counts_CN, awake.counts_CN.reshape(3, -1, 30)[:, kept_K].reshape(3, -1))
    for begin, end in ((asleep.idle_spans_us - awake.stamp_us_K[0]) // 1_000_000).tolist():
        still = awake.counts_CN.reshape(3, -1, 30)[:, begin:end].astype(int)
        assert np.abs(still - awake.counts_CN[:, begin * 30 - 1, None, None]).max() <= IDLE_G * 256
        assert not np.isin(second_K[kept_K], np.arange(begin, end)).any()
    slept = np.diff(asleep.idle_spans_us, axis=1).sum() / 1e6
    assert slept + kept_K.sum() == pytest.approx(1380, abs=60)
    assert slept > 1_000


def test_the_factory_leaves_a_fifth_of_gain_and_offset(tmp_path: Path) -> None:
    truth, made = simulated(tmp_path, "geneactiv", 3, days=HOUR / 60)
    what = truth.device
    gain_C = 1 / (made.g_per_count_C * 256)
    assert np.allclose(gain_C - 1, 0.8 * (what.gain_C - 1), atol=1e-4)
    assert np.allclose(made.offset_g_C * gain_C, -0.8 * what.offset_C, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        pytest.param("axivity", {}, marks=pytest.mark.slow),
        pytest.param("actigraph", {"nominal_hz": 80, "idle_sleep": False}, marks=pytest.mark.slow),
        ("actigraph", {"nominal_hz": 30, "idle_sleep": True}),
        ("geneactiv", {"nominal_hz": 50}),
    ],
)
def test_two_days_are_calibrated_and_split_by_wear(tmp_path: Path, kind: Any, arguments: Any) -> None:
    """The calibration finds the true gain, and non-wear is exactly the time on a table."""
    truth, made = simulated(tmp_path, kind, 3, seed=3, days=2, faults=Faults(), **arguments)
    processed = process(made, SignalSettings())
    found, days = processed.calibration, list(processed.days())
    assert found.outcome == "own"
    assert found.error_after_mg < 3 < found.error_before_mg
    assert np.abs(np.array(found.gain_C) * truth.device.gain_C * made.g_per_count_C * 256 - 1).max() < 0.006
    state_S = np.concatenate([day.state_S for _, day, _ in days])
    begin = int((truth.start - days[0][0].astype("datetime64[us]")) / np.timedelta64(1, "s"))
    nonwear_S = np.zeros(state_S.size, dtype=bool)
    for bout in truth.bouts:
        if bout.activity == "non-wear" and bout.duration_s > 6_000:
            nonwear_S[begin + int(bout.start_s) : begin + int(bout.end_s)] = True
    found_S = (state_S & NONWEAR) != 0
    assert nonwear_S.sum() > 5_000
    assert found_S[nonwear_S].mean() > 0.97
    assert found_S[~nonwear_S].sum() < 0.02 * state_S.size
    assert ((state_S & (MEASURED | IDLE)) != 0).sum() == pytest.approx(truth.bouts[-1].end_s, abs=10)


def test_simulated_files_hold_a_name_that_readers_ignore(tmp_path: Path) -> None:
    kind: Any
    for kind in KINDS:
        path = tmp_path / f"a{SUFFIX[kind]}"
        simulate_recording(path, 0, 7, days=HOUR / 60, kind=kind)
        assert plan(0, 7, days=HOUR / 60, kind=kind).participant == "P0007"
        if kind == "geneactiv":
            assert re.search(rb"Subject Code:P0007", path.read_bytes())
        assert "P0007" not in repr(decode(path.read_bytes(), path.name))
