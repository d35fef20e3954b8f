"""Local days of devices that were set to another clock, compared with Python's own time zones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.registry import decode, probe
from ingest.process import process
from ingest.recording import Probe
from ingest.settings import SignalSettings, TableSettings
from ingest.signal.quality import judged
from ingest.signal.zone import local_days, to_local
from tests.ingest.devices.tables import iso, movement, read, seconds, text
from tests.ingest.made import recording

ZONES = ["UTC", "Europe/London", "America/Chicago", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Auckland"]
DAY = 86_400


def us(time: datetime) -> int:
    return round((time.replace(tzinfo=None) - datetime(1970, 1, 1)) / timedelta(microseconds=1))


def stamped(start: datetime, days: float, clock: Any = None) -> Any:
    """A recording with these stamps, of a device whose clock shows `start` at first."""
    made, _ = recording(60)
    stamp_us_K = np.linspace(us(start), us(start + timedelta(days=days)), made.first_K.size).astype(np.int64)
    return replace(made, stamp_us_K=stamp_us_K, idle_spans_us=stamp_us_K[None, :2], clock=clock)


@settings(max_examples=60, deadline=None)
@given(
    st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)),
    st.floats(0.01, 30),
    st.sampled_from(ZONES),
    st.sampled_from(ZONES),
)
def test_times_are_those_of_the_local_zone(start: Any, days: Any, local: Any, device: Any) -> None:
    made = stamped(start, days)
    chosen = SignalSettings(local_timezone=local, device_timezone=device)
    moved, found = to_local(made, chosen)
    middle = made.stamp_us_K[np.argsort(made.stamp_us_K)[(made.first_K.size - 1) // 2]]
    shown = datetime(1970, 1, 1) + timedelta(microseconds=int(middle))
    instant = shown.replace(tzinfo=ZoneInfo(device)).astimezone(UTC)
    assert found.shift_us == us(instant.astimezone(ZoneInfo(local))) - int(middle)
    assert np.array_equal(moved.stamp_us_K, made.stamp_us_K + found.shift_us)
    assert np.array_equal(moved.idle_spans_us, made.idle_spans_us + found.shift_us)
    offsets = [
        (instant + timedelta(microseconds=int(each - middle))).astimezone(ZoneInfo(local)).utcoffset()
        for each in made.stamp_us_K[[0, -1]]
    ]
    if offsets[0] != offsets[1]:
        assert found.change_us is not None
    first, last = (np.datetime64(int(each), "us") for each in made.stamp_us_K[[0, -1]])
    touched = np.unique(moved.stamp_us_K.astype("datetime64[us]").astype("datetime64[D]"))
    assert local_days(Probe("AX3", "1", first, last, 100.0, 1), chosen) >= (touched[-1] - touched[0]).astype(int) + 1


@pytest.mark.parametrize(
    ("start", "device", "shift_h", "change"),
    [
        ("2024-03-30T10:00", "UTC", 0, "2024-03-31T01:00:00"),
        ("2024-03-30T10:00", None, 0, "2024-03-31T01:00:00"),
        ("2024-10-26T10:00", "UTC", 1, "2024-10-27T02:00:00"),
        ("2024-10-26T10:00", None, 0, "2024-10-27T02:00:00"),
        ("2024-07-01T10:00", "UTC", 1, None),
    ],
)
def test_a_change_of_local_clocks_is_reported_and_not_applied(
    start: str, device: str | None, shift_h: int, change: str | None
) -> None:
    made = stamped(datetime.fromisoformat(start), 1.2)
    _, found = to_local(made, SignalSettings(local_timezone="Europe/London", device_timezone=device))
    assert found.shift_us == shift_h * 3_600_000_000
    found_change = None if found.change_us is None else str(np.datetime64(found.change_us, "us"))[:19]
    assert found_change == change


def test_the_zone_that_a_device_states_overrides_the_setting() -> None:
    start = datetime(2024, 7, 1, 10)
    chosen = SignalSettings(local_timezone="Europe/Berlin", device_timezone="America/Chicago")
    shifts: dict[Any, Any] = {
        clock: to_local(stamped(start, 1, clock), chosen)[1].shift_us for clock in ("utc", "local", None)
    }
    assert {clock: us / 3.6e9 for clock, us in shifts.items()} == {"utc": 2, "local": 0, None: 7}
    assert to_local(replace(stamped(start, 1), origin="boot"), chosen)[1].shift_us is None


def test_a_clock_that_shows_utc_is_doubtful_until_the_zone_is_given() -> None:
    made, _ = recording(600)
    made = replace(made, clock="utc")
    for chosen, is_doubtful in ((SignalSettings(), True), (SignalSettings(local_timezone="Europe/London"), False)):
        processed = process(made, chosen)
        found = judged(processed.figures, [figures for _, _, figures in processed.days()])
        assert ("--local-timezone" in (found.verdict_reason or "")) == is_doubtful
        assert (found.shift_hours, found.clock_change) == (None if is_doubtful else 0, None)


def test_stamps_in_utc_say_so() -> None:
    second_N = seconds(50, 30)
    for zone, clock in (("Z", "utc"), ("+02:00", None), ("", None)):
        assert read(text(movement(second_N), iso(second_N, zone=zone), "time,x,y,z"), TableSettings()).clock == clock


@pytest.mark.parametrize("zone", ["Nowhere/City", "../etc", "Europe/", "\0"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="expected a time zone"):
        SignalSettings(local_timezone=zone)
    with pytest.raises(ValueError, match="no effect without local_timezone"):
        SignalSettings(device_timezone="UTC")


def test_a_real_device_set_to_utc(real_data: Path) -> None:
    path = real_data / "recordings/actigraph/small.gt3x"
    chosen = SignalSettings(local_timezone="America/Chicago")
    with path.open("rb") as file:
        assert probe(file, path.name, path.stat().st_size).clock == "utc"
    figures = process(decode(path.read_bytes(), path.name), chosen).figures.plain()
    assert (figures["clock"], figures["shift_hours"]) == ("utc", -5.0)
    assert figures["start"] == "2019-05-06T06:38:38.000000"
