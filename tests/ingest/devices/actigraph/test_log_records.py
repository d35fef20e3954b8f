"""Records of a log: their seconds, and what is damaged, lost or truncated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.actigraph.log_records import read_log
from ingest.devices.registry import decode
from tests.ingest.devices.actigraph.in_memory import FIRST_US, METHODS, NAME, probe_bytes
from tests.ingest.devices.gt3x_file import SECOND, activity2, record, recording, still


def test_each_record_is_a_stamped_second() -> None:
    made = decode(recording(still(100)), NAME)
    assert (made.samples, made.damaged_blocks, made.nominal_rate_hz) == (3000, 0, 30)
    assert made.stamp_us_K.tolist() == [FIRST_US + k * 1_000_000 for k in range(100)]
    assert made.first_K.tolist() == [30 * k for k in range(100)]
    assert (made.device, made.serial, made.firmware) == ("ActiGraph Link", "TAS1D12345678", "1.7.2")
    assert (made.rail_counts, made.limit_counts) == (2047, 2048)
    assert np.isnan(made.celsius_K).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 188), st.integers(0, 7), st.integers(1, 8))
def test_any_flipped_bit_discards_only_its_record(position: Any, bit: Any, which: Any) -> None:
    records = still(10)
    damaged = bytearray(records[which])
    damaged[position] ^= 1 << bit
    made = decode(recording([*records[:which], bytes(damaged), *records[which + 1 :]]), NAME)
    assert made.damaged_blocks == 1
    assert made.counts_CN[0, ::30].tolist() == [k for k in range(10) if k != which]
    assert made.sequence_K.tolist() == [k + 1 for k in range(10) if k != which]


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=2_000), st.integers(0, 10), st.lists(st.integers(1, 500), max_size=40))
def test_junk_between_records_is_skipped_however_the_log_is_split(junk: Any, place: Any, lengths: Any) -> None:
    records = still(10)
    log = b"".join([*records[:place], junk, *records[place:]])
    edges = np.minimum(np.cumsum([0, *lengths]), len(log)).tolist()
    pieces = [log[a:b] for a, b in zip(edges, [*edges[1:], len(log)], strict=True)]
    found, at_once = read_log(pieces, len(log), 30), read_log([log], len(log), 30)
    assert found.counts_CN[0, ::30].tolist() == list(range(10))
    assert at_once.damaged == found.damaged
    is_padding = len(junk) < 16 and not any(junk)
    assert (found.damaged == 0) == is_padding or record_like(junk)


def record_like(junk: bytes) -> bool:
    """Return whether the junk may contain a good record by chance."""
    return b"\x1e" in junk


def test_zeros_between_records_are_padding() -> None:
    records = still(10)
    made = decode(recording([records[0], bytes(3), *records[1:], bytes(5)]), NAME)
    assert (made.samples, made.damaged_blocks) == (300, 0)


def test_lost_records_are_counted() -> None:
    records = still(200)
    made = decode(recording([*records[:50], bytes(len(records[0]) * 100), *records[150:]]), NAME)
    assert (made.samples, made.damaged_blocks) == (3000, 100)
    assert np.diff(made.sequence_K).max() == 101


def test_usb_records_are_neither_samples_nor_damage() -> None:
    log = [*still(30), record(26, SECOND + 30, b"\x5a"), record(0, SECOND + 31, b"\x5a")]
    made = decode(recording(log), NAME)
    assert (made.samples, made.damaged_blocks) == (900, 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_truncated_file_gives_its_complete_records(method: Any) -> None:
    rng = np.random.default_rng(1)
    log = [activity2(SECOND + k, rng.integers(-300, 300, (30, 3)).tolist()) for k in range(200)]
    whole = recording(log, method)
    expected_CN = decode(whole, NAME).counts_CN
    for size in (len(whole) - 10, len(whole) // 2, len(whole) // 7):
        made = decode(whole[:size], NAME)
        assert 0.9 * size / len(whole) * 6000 - 60 < made.samples <= 6000
        assert np.array_equal(made.counts_CN, expected_CN[:, : made.samples])
        assert made.damaged_blocks == (made.samples < 6000)
        assert probe_bytes(whole[:size]).days == probe_bytes(whole).days
