"""Recordings of one participant on one date: those that follow each other, and those that overlap."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.store.same_dates import Recorded, same_dates

DAY = np.datetime64("2024-05-06T00:00:00", "us")


def recorded(name: str, begin_h: float, end_h: float, who: str = "p", serial: str | None = None) -> Recorded:
    begin, end = (DAY + np.timedelta64(round(hour * 3.6e9), "us") for hour in (begin_h, end_h))
    return Recorded(name, who, serial, begin, end)


def test_parts_follow_each_other_and_devices_overlap() -> None:
    found = same_dates(
        [
            *(recorded(f"hour{n}", n, n + 1, "split") for n in range(8)),
            recorded("left", 0, 50, "two devices", "1"),
            recorded("right", 1, 49, "two devices", "2"),
            recorded("first", 0, 9, "changed", "1"),
            recorded("then", 10, 20, "changed", "2"),
            recorded("may", 0, 20, "twice"),
            recorded("june", 30 * 24, 31 * 24, "twice"),
            recorded("alone", 0, 20, "alone"),
        ]
    )
    assert found.in_turn == {"split": {f"hour{n}" for n in range(8)}}
    assert found.at_once == {"two devices": {"left", "right"}}
    in_turn, at_once = found.lines()
    assert in_turn.startswith("note: 8 recordings of 1 participant follow each other within a date.")
    assert "--join-folders" in in_turn
    assert at_once.startswith("note: 2 recordings of 1 participant overlap in time on a date: two devices")
    assert "--join" not in at_once


def test_times_since_a_device_was_switched_on_have_no_date() -> None:
    boot = np.datetime64("1970-01-01T01:00:00", "us")
    some = [Recorded(name, "p", None, boot, boot + np.timedelta64(1, "h")) for name in "ab"]
    assert same_dates(some).lines() == []


@given(st.lists(st.tuples(st.integers(0, 96), st.integers(1, 60), st.sampled_from("12")), max_size=9))
def test_all_pairs_are_compared(some: list[tuple[int, int, str]]) -> None:
    given_ = [recorded(f"{n}", begin, begin + length, serial=serial) for n, (begin, length, serial) in enumerate(some)]
    in_turn, at_once = set(), set()
    for a in given_:
        for b in given_:
            days = [np.arange(each.start.astype("M8[D]"), each.end.astype("M8[D]") + 1) for each in (a, b)]
            if a is b or not np.isin(days[0], days[1]).any():
                continue
            if min(a.end, b.end) - max(a.start, b.start) > np.timedelta64(1, "s"):
                at_once |= {a.recording, b.recording}
            elif a.serial == b.serial:
                in_turn |= {a.recording, b.recording}
    found = same_dates(given_)
    assert found.in_turn.get("p", set()) == in_turn
    assert found.at_once.get("p", set()) == at_once
