"""The benchmark's comparison with true clocks: right rows have no error, wrong ones the error that they were given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.align.strangers import strangers
from bench.align.truth import Clock, Day, errors
from pipeline.store.alignments import Alignment

DAY = Day("a", 20_000)
WRIST = Clock("P1", DAY.midnight_s + 3_600.0, 2.5, 12e-6)
HIP = Clock("P1", DAY.midnight_s + 3_600.0, -4.0, -7e-6)


def true_row(other: Day, first: int, seconds: int) -> Alignment:
    """The row that says of both clocks what is true."""
    at = WRIST.true(DAY.midnight_s + first)
    offset = (HIP.shown(at) - other.midnight_s - first) * 30
    drift = ((1 + HIP.drift) / (1 + WRIST.drift) - 1) * 1e6
    return Alignment(0, 1, first, seconds, offset, drift, 0.5, "", 1, 1, 1)


@pytest.mark.parametrize("other", [Day("b", 20_000), Day("b", 19_999)])
def test_errors_are_those_of_the_row(other: Day) -> None:
    row = true_row(other, 4_000, 50_000)
    assert errors(row, DAY, other, WRIST, HIP) == pytest.approx((0, 0), abs=1e-3)
    later = replace(row, offset_ticks=row.offset_ticks + 0.75)
    assert errors(later, DAY, other, WRIST, HIP) == pytest.approx((0.75, 0), abs=1e-3)
    faster = replace(row, drift_ppm=row.drift_ppm + 2)
    assert errors(faster, DAY, other, WRIST, HIP) == pytest.approx((50_000 * 30 * 2e-6, 2), abs=1e-3)


def test_a_clock_shows_what_it_was_asked_back() -> None:
    assert WRIST.true(WRIST.shown(DAY.midnight_s + 80_000.0)) == pytest.approx(DAY.midnight_s + 80_000.0, abs=1e-5)
    assert WRIST.shown(WRIST.start_s) == WRIST.start_s + 2.5


def test_strangers_are_never_one_person() -> None:
    people = {"a": "P1", "b": "P1", "c": "P2"}
    clocks = {recording: replace(WRIST, participant=person) for recording, person in people.items()}
    days = {slot: Day(recording, 20_000 + slot % 2) for slot, recording in enumerate("aabbcc")}
    pairs = strangers(days, clocks, 10)
    assert [pair.slots for pair in pairs] == [(0, 4), (2, 4)]
    assert len(strangers(days, clocks, 1)) == 1
