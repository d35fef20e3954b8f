"""Real recordings compared with the vendor's exports."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.devices.registry import decode
from ingest.process import process
from ingest.settings import SignalSettings
from ingest.signal.timing import fit
from tests.ingest.devices.actigraph.in_memory import NAME, probe_bytes


def real(real_data: Path, name: str) -> Any:
    return decode((real_data / "recordings" / "actigraph" / f"{name}.gt3x").read_bytes(), NAME)


def export(real_data: Path, name: str) -> Any:
    """Return the vendor's export in g (N, 3)."""
    with gzip.open(real_data / "recordings" / "actigraph" / f"{name}.csv.gz", "rt") as file:
        return np.loadtxt(file, delimiter=",", skiprows=11)


@pytest.mark.parametrize(
    ("name", "samples", "spans", "device", "location"),
    [
        ("ISM_Disabled", 9_000, 0, "Link", "wrist"),
        ("ISM_Enabled", 2_190, 3, "Link", "right wrist"),
        ("TAS1H30182785_2019-09-17", 33_000, 5, "Link", None),
        ("actigraph_testfile", 17_640, 23, "wGT3XBT", "waist"),
        ("neo", 18_004, 0, "GT3XPlus", None),
        ("small", 810_270, 493, "Link", "wrist"),
    ],
)
def test_real_recordings(
    real_data: Path, name: str, samples: int, spans: int, device: str, location: str | None
) -> None:
    made = real(real_data, name)
    assert (made.samples, len(made.idle_spans_us), made.damaged_blocks) == (samples, spans, 0)
    assert (made.device, made.location) == (f"ActiGraph {device}", location)
    data = (real_data / "recordings" / "actigraph" / f"{name}.gt3x").read_bytes()
    found, timeline = probe_bytes(data), fit(made)
    assert found.start <= timeline.instant(timeline.start_G[0]) <= timeline.instant(timeline.end_G[-1]) <= found.end
    assert timeline.rate_hz == pytest.approx(made.nominal_rate_hz, rel=1e-9)
    at_rest = np.sqrt(((made.counts_CN * made.g_per_count_C[:, None]) ** 2).sum(axis=0))
    assert np.median(at_rest) == pytest.approx(1, abs=0.06)


def test_values_of_an_old_device_equal_the_vendors_export(real_data: Path) -> None:
    made, expected_NC = real(real_data, "neo"), export(real_data, "neo")
    assert expected_NC.shape == (made.samples, 3)
    assert np.abs(made.counts_CN.T * made.g_per_count_C - expected_NC).max() < 0.0005
    assert made.stamp_us_K[0] == np.datetime64("2021-12-20T11:55:00", "us").astype(int)


def test_values_times_and_idle_sleep_equal_the_vendors_export(real_data: Path) -> None:
    """The vendor's export repeats the last value in idle sleep, and holds zeros where the device was on USB."""
    made, expected_NC = real(real_data, "TAS1H30182785_2019-09-17"), export(real_data, "TAS1H30182785_2019-09-17")
    assert expected_NC.shape == (240_500, 3)
    start_us = np.datetime64("2019-09-17T18:40:00", "us").astype(int)
    taken_N = np.rint(fit(made).seconds_of(np.arange(made.samples)) * 100).astype(int)
    taken_N -= round((start_us % 86_400_000_000) / 10_000)
    assert np.abs(made.counts_CN.T * made.g_per_count_C - expected_NC[taken_N]).max() <= 0.00050001
    covered_N = np.zeros(len(expected_NC), dtype=bool)
    covered_N[taken_N] = True
    for begin, end in ((made.idle_spans_us - start_us) // 10_000).tolist():
        assert (expected_NC[begin:end] == expected_NC[begin - 1]).all()
        assert not covered_N[begin:end].any()
        covered_N[begin:end] = True
    assert np.flatnonzero(~covered_N).tolist() == [*range(214_000, 214_700), *range(215_900, 240_500)]


def test_idle_sleep_at_night_counts_as_wear(real_data: Path) -> None:
    made = real(real_data, "small")
    figures = process(made, SignalSettings()).figures.plain()
    idle_hours = np.diff(made.idle_spans_us, axis=1).sum() / 3.6e9
    assert idle_hours / 13.59 == pytest.approx(0.448, abs=0.001)
    assert figures["wear_hours"] == pytest.approx(13.59, abs=0.01)
    assert figures["calibration"] == "own"
    assert figures["error_before_mg"] == pytest.approx(23.9, abs=0.1)
    assert figures["error_after_mg"] < 5
    assert (figures["gaps"], figures["clock"], figures["upsampled"]) == (0, "utc", False)
