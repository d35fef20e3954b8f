"""Real recordings compared with the vendor's export."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.devices.registry import decode
from ingest.signal.timing import fit


def read_real(real_data: Path, name: str) -> Any:
    return decode((real_data / "recordings" / "axivity" / name).read_bytes(), name)


def test_real_recording(real_data: Path) -> None:
    recording = read_real(real_data, "ax3_testfile.cwa")
    assert (recording.samples, recording.damaged_blocks) == (17_400, 0)
    assert (recording.device, recording.serial, recording.location) == ("AX3", "39434", "right wrist")


def test_damaged_blocks_of_a_real_recording_are_left_out(real_data: Path) -> None:
    whole = read_real(real_data, "ax3_testfile.cwa")
    damaged = read_real(real_data, "ax3_testfile_corrupt_blocks_0_13_14_142_143_144.cwa")
    assert (damaged.samples, damaged.damaged_blocks) == (16_680, 6)
    good = [k for k in range(145) if k not in (0, 13, 14, 142, 143, 144)]
    kept = whole.counts_CN.reshape(3, 145, 120)[:, good].reshape(3, -1)
    assert np.array_equal(damaged.counts_CN, kept)
    assert damaged.sequence_K.tolist() == good


def test_real_recording_of_six_axes(real_data: Path) -> None:
    recording = read_real(real_data, "ax6_testfile.cwa")
    assert (recording.samples, recording.device) == (11_320, "AX6")
    at_rest = np.sqrt(((recording.counts_CN * recording.g_per_count_C[:, None]) ** 2).sum(axis=0))
    assert np.median(at_rest) == pytest.approx(1, abs=0.1)


def test_values_and_times_equal_the_vendors_export(real_data: Path) -> None:
    """The converter ends a block by the nominal rate from its stamp; the next block begins where that one ended.

    By that rule our stamps give its times, which it cuts to milliseconds. The fit goes by the true rate, 98.5 Hz, so
    that the vendor is behind it by up to the 140 samples between a stamp and the end of a block: 22 ms.
    """
    recording = read_real(real_data, "example-610-steps.cwa")
    with gzip.open(real_data / "recordings" / "axivity" / "example-610-steps.csv.gz", "rt") as file:
        rows = [line.rstrip().split(",") for line in file]
    expected_CN = np.array([row[1:] for row in rows], dtype=float).T
    assert np.array_equal(recording.counts_CN * recording.g_per_count_C[:, None], expected_CN)

    vendor_us_N = np.array([row[0] for row in rows], dtype="datetime64[us]").astype(np.int64)
    period_us = 1e6 / recording.nominal_rate_hz
    after_K = recording.first_K + recording.count_K - recording.stamp_sample_K
    end_us_K = recording.stamp_us_K + after_K * period_us
    begin_us_K = np.append(end_us_K[0] - recording.count_K[0] * period_us, end_us_K[:-1])
    in_block_N = np.arange(recording.samples) - np.repeat(recording.first_K, recording.count_K)
    step_us_K = (end_us_K - begin_us_K) / recording.count_K
    ours_us_N = np.repeat(begin_us_K, recording.count_K) + in_block_N * np.repeat(step_us_K, recording.count_K)
    cut_us_N = ours_us_N - vendor_us_N
    assert -1 < cut_us_N.min() <= cut_us_N.max() < 1001

    timeline = fit(recording)
    second_N = vendor_us_N * 1e-6 - timeline.midnight.astype("datetime64[s]").astype(np.int64)
    difference_s = timeline.seconds_of(np.arange(recording.samples)) - second_N
    assert timeline.rate_hz == pytest.approx(98.52, abs=0.01)
    assert -0.008 < difference_s.min() < difference_s.max() < 0.024
    assert abs(np.median(difference_s)) < 0.007


@pytest.mark.parametrize("name", ["ax3_testfile.cwa", "ax6_testfile.cwa"])
def test_fractions_of_seconds_and_sample_offsets_fit_one_line(real_data: Path, name: str) -> None:
    """Stamps of new firmware; without the fraction they would scatter by half of its 100 samples."""
    recording = read_real(real_data, name)
    assert fit(recording).residual_ms < 1.5
    samples = np.diff(recording.stamp_sample_K)
    rates = samples / np.diff(recording.stamp_us_K) * 1e6
    assert rates.min() > 97
    assert rates.max() < 103
