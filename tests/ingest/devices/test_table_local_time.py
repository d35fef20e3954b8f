"""Stamps in local time over a change of the clocks, written with Python's own zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ingest.devices.registry import decode
from ingest.process import Processed, process
from ingest.recording import Recording
from ingest.settings import SignalSettings, TableSettings
from ingest.signal.timing import fit
from pipeline.errors import UserError
from tests.ingest.devices.tables import movement, seconds, text

RATE_HZ, HOURS = 5.0, 4
SECOND_N = seconds(RATE_HZ, HOURS * 3600)
TABLE = TableSettings(unit="g")
AUTUMN, SPRING, LORD_HOWE = "2024-10-26T22:30:00", "2024-03-30T23:30:00", "2024-04-06T13:30:00"
CHANGES = [("Europe/Berlin", AUTUMN), ("Europe/Berlin", SPRING), ("Australia/Lord_Howe", LORD_HOWE)]


def table(zone: str, start: str, missing: slice = slice(0), digits: int = 23) -> bytes:
    """Return a table stamped by clocks of a zone."""
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    local = [(first + timedelta(seconds=second)).astimezone(ZoneInfo(zone)) for second in SECOND_N.tolist()]
    stamps = [f"{time:%Y-%m-%d %H:%M:%S.%f}"[:digits] for time in local]
    kept = np.delete(np.arange(SECOND_N.size), missing)
    return text(movement(SECOND_N)[:, kept], [stamps[i] for i in kept], "time,x,y,z")


def zones(local: str | None, device: str | None = None) -> SignalSettings:
    return SignalSettings(local_timezone=local, device_timezone=device, any_location=True)


def accepted(data: bytes, settings: SignalSettings) -> Processed:
    return process(decode(data, "a.csv", TABLE, settings), settings)


def utc_s(made: Recording, start: str) -> np.ndarray:
    """Return the seconds from a start in UTC to each sample."""
    timeline = fit(made)
    shift = (timeline.midnight.astype("datetime64[us]") - np.datetime64(start, "us")).astype(np.int64) * 1e-6
    return np.asarray(timeline.seconds_of(np.arange(made.samples)) + shift)


@pytest.mark.parametrize(("zone", "start"), CHANGES)
@pytest.mark.parametrize("digits", [23, 19])
def test_stamps_that_follow_a_change_are_times_in_utc(zone: str, start: str, digits: int) -> None:
    made = decode(table(zone, start, digits=digits), "a.csv", TABLE, zones(zone))
    assert (made.samples, made.clock) == (SECOND_N.size, "utc")
    assert np.abs(utc_s(made, start) - SECOND_N).max() < 0.01


def test_a_pause_in_the_repeated_hour_is_a_gap_of_its_length() -> None:
    missing = slice(
        round(2.3 * 3600 * RATE_HZ), round(2.9 * 3600 * RATE_HZ)
    )  # from 02:48, first pass, to 02:24, second
    made = decode(table("Europe/Berlin", AUTUMN, missing), "a.csv", TABLE, zones("Europe/Berlin"))
    assert np.abs(utc_s(made, AUTUMN) - np.delete(SECOND_N, missing)).max() < 0.01


@pytest.mark.parametrize(("zone", "start"), CHANGES)
def test_a_clock_of_its_own_is_left_as_it_is(zone: str, start: str) -> None:
    data = table("Etc/GMT-2", start)
    alone, known = (decode(data, "a.csv", TABLE, settings) for settings in (SignalSettings(), zones(zone)))
    assert known.clock is None
    assert np.array_equal(alone.stamp_us_K, known.stamp_us_K)


def test_days_are_those_of_the_zone_at_the_middle() -> None:
    figures = accepted(table("Europe/Berlin", SPRING), zones("Europe/Berlin")).figures
    assert (figures.start, figures.gaps) == ("2024-03-31T01:30:00.000000", 0)
    moved = accepted(table("Europe/Berlin", SPRING), zones("Europe/London", "Europe/Berlin")).figures
    assert moved.start == "2024-03-31T00:30:00.000000"
    assert accepted(table("Europe/Berlin", SPRING), zones(None)).figures.gap_total_s == pytest.approx(3600, abs=1)


@pytest.mark.parametrize(("zone", "start"), [CHANGES[0], CHANGES[2]])
def test_an_hour_that_comes_twice_is_a_question(zone: str, start: str) -> None:
    data = table(zone, start)
    for settings in (SignalSettings(), zones("Asia/Tokyo")):
        with pytest.raises(UserError, match=r"go back by (half )?an hour.*--local-timezone Europe/London"):
            decode(data, "a.csv", TABLE, settings)
    kept = accepted(data, SignalSettings(clock="split", any_location=True)).figures
    assert kept.samples < SECOND_N.size


def test_a_clock_that_was_set_back_by_day_is_not_taken_for_the_end_of_summer_time() -> None:
    with pytest.raises(UserError, match=r"it was set back by 1\.0 h"):
        accepted(table("Europe/Berlin", AUTUMN).replace(b"2024-10-27 0", b"2024-10-27 1"), zones(None))
