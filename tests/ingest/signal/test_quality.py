"""Quality figures of recordings with known faults, and the verdict that follows from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.process import process
from ingest.settings import SignalSettings
from ingest.signal.quality import content, judged
from pipeline.store.figures import RecordingFigures
from pipeline.store.quality import RULES
from pipeline.store.states import CLIPPED, IDLE, MEASURED, NONWEAR, eligible, worn
from tests.ingest.made import recording


def crc32c(data: bytes) -> int:
    """Castagnoli's cyclic redundancy check, bit by bit (RFC 3720, appendix B.4)."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0x82F63B78 if rest & 1 else 0)
    return rest ^ 0xFFFFFFFF


@given(st.lists(st.tuples(*[st.integers(-32768, 32767)] * 3), min_size=1, max_size=40))
def test_content_is_the_number_of_samples_and_a_sum_of_each_axis(rows: list[tuple[int, int, int]]) -> None:
    counts_CN = np.array(rows, np.int16).T
    sums = "".join(f"{crc32c(axis_N.astype('<i2').tobytes()):08x}" for axis_N in counts_CN)
    assert content(counts_CN) == content(np.ascontiguousarray(counts_CN)) == f"{len(rows):x}-{sums}"


def test_noise_is_that_of_the_sensor_at_rest() -> None:
    random = np.random.default_rng(0)

    def lying(second_N: NDArray[Any]) -> Any:
        still = np.array([[0.6], [0.0], [0.8]]) + random.normal(0, 0.004, (3, second_N.size))
        return still + (second_N > 300) * np.sin(9 * second_N)

    made, _ = recording(600, signal=lying, per_g=2048)
    figures = process(replace(made, rail_counts=32_768, limit_counts=32_768), SignalSettings()).figures.plain()
    assert figures["noise_mg"] == pytest.approx(4.0, rel=0.02)
    moving, _ = recording(60, signal=lambda second_N: np.sin(9 * second_N) + np.zeros((3, 1)))
    assert np.isnan(process(moving, SignalSettings()).figures.noise_mg)


def test_hours_and_shares_are_those_of_the_states() -> None:
    made, _ = recording(900, signal=lambda second_N: np.stack([np.sin(second_N), 0 * second_N, np.cos(second_N)]))
    made.counts_CN[0, 20_000:20_080] = 2047
    made = replace(made, idle_spans_us=made.stamp_us_K[-1:] + np.array([[2_000_000, 602_000_000]]))
    found = process(made, SignalSettings())
    state_S, figures = found.state_S, found.figures.plain()
    hours = {
        "measured_hours": (state_S & MEASURED) != 0,
        "idle_hours": (state_S & IDLE) != 0,
        "nonwear_hours": (state_S & NONWEAR) != 0,
        "wear_hours": worn(state_S),
        "eligible_hours": eligible(state_S),
    }
    assert {name: figures[name] for name in hours} == {name: flag_S.sum() / 3600 for name, flag_S in hours.items()}
    assert figures["idle_hours"] == pytest.approx(600 / 3600, abs=2 / 3600)
    clipped_S = (state_S & (CLIPPED | MEASURED)) == CLIPPED | MEASURED
    assert figures["clipped_share"] == clipped_S.sum() / ((state_S & MEASURED) != 0).sum() == 2 / 899


UNKNOWN: Any = dict.fromkeys(("serial", "firmware", "location", "clock", "shift_hours", "clock_change"))
ZERO: Any = dict.fromkeys(
    (
        *(f"gain_{axis}" for axis in "xyz"),
        *(f"offset_{axis}_g" for axis in "xyz"),
        *(f"drift_{axis}_g_per_celsius" for axis in "xyz"),
        *("reference_celsius", "rate_drift_ppm", "error_before_mg", "nonwear_hours"),
    ),
    0.0,
)
GOOD = RecordingFigures(
    **UNKNOWN,
    **ZERO,
    device="AX3",
    origin="calendar",
    start="2024-03-04T10:00:00",
    end="2024-03-11T10:00:00",
    samples=60_000_000,
    content="1-0",
    nominal_rate_hz=100.0,
    rate_hz=98.9,
    upsampled=False,
    clock_residual_ms=1.0,
    damaged_blocks=2,
    duplicate_blocks=0,
    backward_blocks=0,
    mended_stamps=0,
    gaps=1,
    gap_total_s=12.0,
    clipped_ticks=9,
    clipped_share=0.0001,
    impossible_samples=0,
    noise_mg=3.0,
    calibration="own",
    still_windows=900,
    error_after_mg=2.5,
    measured_hours=168.0,
    idle_hours=0.0,
    wear_hours=160.0,
    eligible_hours=150.0,
)
DAYS: list[dict[str, Any]] = [
    {"enmo_mg": 30.0, "wear_seconds": 80_000},
    {"enmo_mg": 20.0, "wear_seconds": 40_000},
    {"enmo_mg": None, "wear_seconds": 0},
]
DOUBTS: dict[str, dict[str, Any]] = {
    "no calendar clock": {"origin": "boot"},
    "its clock shows UTC": {"clock": "utc"},
    "not calibrated (still windows: 12)": {"calibration": "none", "still_windows": 12},
    "14 mg off one g at rest": {"error_after_mg": 14.0},
    "25 mg of noise": {"noise_mg": 25.0},
    "3 samples beyond the device's range": {"impossible_samples": 3},
    "2.0% of the measured seconds clipped": {"clipped_share": 0.02},
    "its rate is -5.0% off": {"rate_hz": 95.0},
    "scatter by 80 ms": {"clock_residual_ms": 80.0},
    "120 blocks that repeat or contradict": {"duplicate_blocks": 60, "backward_blocks": 30, "mended_stamps": 30},
    "101 damaged blocks": {"damaged_blocks": 101},
    "gaps of 2.0 h": {"gap_total_s": 7200.0},
    "worn for 20.0 h, under 24 h": {"wear_hours": 20.0},
}


def test_a_good_recording_has_no_reason() -> None:
    found = judged(GOOD, DAYS)
    assert (found.verdict, found.verdict_reason) == ("good", None)
    assert found.enmo_mg == pytest.approx((30 * 80_000 + 20 * 40_000) / 120_000)
    assert found.enmo_mg_of_days == [30.0, 20.0, None]
    quiet = judged(replace(GOOD, noise_mg=float("nan"), error_after_mg=float("nan")), DAYS)
    assert quiet.verdict == "good"


@pytest.mark.parametrize("reason", DOUBTS)
def test_every_doubt_is_in_the_verdicts_reason(reason: str) -> None:
    found = judged(replace(GOOD, **DOUBTS[reason]), DAYS)
    assert found.verdict == "doubtful"
    assert found.verdict_reason is not None
    assert reason in found.verdict_reason
    assert ";" not in found.verdict_reason


def test_every_rule_on_a_number_has_a_doubt_and_holds_at_its_limit() -> None:
    for rule in RULES:
        assert not rule.is_broken(rule.limit)
        assert rule.is_broken(rule.limit + (-1e-6 if rule.breaks == "below" else 1e-6))
        assert not rule.is_broken(float("nan"))
        assert "{" not in rule.doubt_of(rule.limit) + rule.heading


@pytest.mark.parametrize(("enmo_mg", "limit"), [(2.5, "over 5 mg"), (300.0, "under 100 mg")])
def test_implausible_enmo_is_a_doubt(enmo_mg: float, limit: str) -> None:
    found = judged(GOOD, [{"enmo_mg": enmo_mg, "wear_seconds": 80_000}])
    assert f"mean ENMO of {enmo_mg:g} mg, a person's is {limit}" == found.verdict_reason


def test_a_recording_without_eligible_seconds_is_useless() -> None:
    found = judged(replace(GOOD, eligible_hours=0.5, gap_total_s=7200.0), [])
    assert (found.verdict, found.enmo_mg) == ("useless", None)
    assert found.verdict_reason.startswith("30 min eligible, under 1 h; gaps of 2.0 h")
