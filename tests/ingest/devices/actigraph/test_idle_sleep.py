"""Idle sleep, and pauses of days."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.devices.registry import decode
from ingest.process import process
from ingest.settings import SignalSettings
from ingest.signal.timing import fit
from tests.ingest.devices.actigraph.in_memory import FIRST_US, NAME
from tests.ingest.devices.gt3x_file import SECOND, event, record, recording, still


def test_idle_sleep_becomes_spans_and_no_samples() -> None:
    def seconds(*spans: Any) -> Any:
        return [piece for begin, end in spans for piece in still(end - begin, SECOND + begin)]

    log = [
        *seconds((0, 10)),
        event(SECOND + 10, 8),
        event(SECOND + 60, 9),  # as it should be
        *seconds((60, 70)),
        event(SECOND + 71, 8),
        event(SECOND + 100, 9),  # the event came a second late
        *seconds((100, 110)),
        event(SECOND + 110, 8),
        *seconds((120, 130)),  # never woke
        event(SECOND + 140, 9),
        *seconds((140, 150)),  # never fell asleep
        event(SECOND + 180, 8),
        event(SECOND + 190, 9),
        *seconds((190, 200)),  # fell asleep after a gap
        event(SECOND + 200, 8),
        record(2, SECOND + 260, b"\x10\x10"),  # asleep at the end
    ]
    made = decode(recording(log), NAME)
    spans = ((made.idle_spans_us - FIRST_US) / 1e6).tolist()
    assert spans == [[10, 60], [70, 100], [110, 120], [180, 190], [200, 260]]
    assert made.samples == 60 * 30
    assert made.damaged_blocks == 0
    figures = process(made, SignalSettings()).figures.plain()
    assert (figures["gaps"], round(figures["gap_total_s"], 6)) == (2, 40)
    assert figures["wear_hours"] == (60 + 160) / 3600


def test_a_weekend_of_idle_sleep_is_not_a_jump_of_the_clock() -> None:
    week = [*still(30), event(SECOND + 30, 8), event(SECOND + 200_000, 9), *still(30, SECOND + 200_000)]
    assert [str(day) for day, _, _ in process(decode(recording(week), NAME), SignalSettings()).days()] == [
        "2024-03-04",
        "2024-03-06",
    ]


@pytest.mark.parametrize("between", [[], [record(0, SECOND + 30, b"\x5a")]])
def test_a_pause_of_days_is_a_gap(between: list[bytes]) -> None:
    """Records have a second each and no numbers: what ascends is a pause, with a record of USB or without one."""
    log = [*still(30), *between, *still(30, SECOND + 200_000)]
    timeline = fit(decode(recording(log), NAME))
    assert (timeline.start_G - timeline.start_G[0]).tolist() == pytest.approx([0, 200_000], abs=1e-3)
    assert timeline.days == 3
