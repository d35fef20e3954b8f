"""Ambiguous stamps of a table: what they mean, and what the user is asked."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.settings import TableSettings
from ingest.signal.timing import fit
from pipeline.errors import UserError
from tests.ingest.devices.tables import epoch, iso, movement, probe_bytes, read, seconds, text, times


@pytest.mark.parametrize("unit_s", [1, 1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("rate_hz", [1.5, 1000])
def test_numbers_that_may_be_calendar_times_are(rate_hz: float, unit_s: float) -> None:
    second_N = seconds(rate_hz, 40)
    made = read(text(movement(second_N), epoch(second_N, unit_s), "time,x,y,z"), TableSettings(unit="g"))
    assert made.origin == "calendar"
    assert np.abs(times(made) - second_N).max() < 0.002


@pytest.mark.parametrize("unit_s", [1, 1e-3, 1e-6])
@pytest.mark.parametrize("epoch_s", [2, 5, 60])
def test_averages_are_not_taken_for_raw_data_of_another_unit(epoch_s: int, unit_s: float) -> None:
    second_N = seconds(1 / epoch_s, 400 * epoch_s)
    data = text(movement(second_N / epoch_s / 50), epoch(second_N, unit_s), "time,x,y,z")
    with pytest.raises(UserError, match=f"averages over {epoch_s} seconds.*--rate HZ"):
        probe_bytes(data)
    assert read(data, TableSettings(rate_hz=1000 / epoch_s)).origin == "boot"


def test_a_rate_that_the_stamps_contradict_is_rejected() -> None:
    second_N = seconds(50, 30)
    with pytest.raises(UserError, match=r"--rate states 100 .*the time column 50"):
        probe_bytes(text(movement(second_N), iso(second_N), "time,x,y,z"), TableSettings(rate_hz=100))


def test_days_without_rows_are_a_gap_and_a_stray_stamp_is_repaired() -> None:
    second_N = seconds(50, 300)
    stamps = iso(second_N + np.where(second_N < 150, 0, 3 * 86_400))
    stamps[5000] = "2024-05-04 10:00:00.000"
    timeline = fit(read(text(movement(second_N), stamps, "time,x,y,z")))
    assert (timeline.first_G.size, timeline.mended_stamps) == (2, 1)
    assert timeline.start_G[1] - timeline.end_G[0] == pytest.approx(3 * 86_400 + 0.02)


def test_rows_that_run_backwards_are_rejected() -> None:
    second_N = seconds(50, 30)
    with pytest.raises(UserError, match=r"run backwards\. Sort the rows"):
        probe_bytes(text(movement(second_N)[:, ::-1], iso(second_N)[::-1], "time,x,y,z"))
