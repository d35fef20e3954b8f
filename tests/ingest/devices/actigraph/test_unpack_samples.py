"""Samples of every kind of record are unpacked as a plain writer packed them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.registry import decode
from tests.ingest.devices.actigraph.in_memory import FIRST_US, METHODS, NAME
from tests.ingest.devices.gt3x_file import SECOND, activity, activity2, archive, info, nibbles, record, recording

twelve_bits = st.tuples(*[st.integers(-2048, 2047)] * 3)
words = st.tuples(*[st.integers(-32768, 32767)] * 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(twelve_bits, min_size=15, max_size=60), st.sampled_from(METHODS))
def test_packed_samples_round_trip(samples: Any, method: Any) -> None:
    made = decode(recording([activity(SECOND, samples)], method), NAME)
    assert made.counts_CN.T.tolist() == [list(sample) for sample in samples[:30]]
    assert made.counts_CN.dtype == np.int16


@settings(max_examples=50, deadline=None)
@given(st.lists(twelve_bits, min_size=15, max_size=60))
def test_samples_in_the_order_x_y_z_round_trip(samples: Any) -> None:
    swapped = [(y, x, z) for x, y, z in samples]
    made = decode(recording([record(27, SECOND, nibbles(swapped)), record(27, SECOND + 1, b"\0")]), NAME)
    assert made.counts_CN.T.tolist() == [list(sample) for sample in samples[:30]]
    assert made.damaged_blocks == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(words, min_size=15, max_size=60))
def test_sixteen_bit_samples_round_trip(samples: Any) -> None:
    made = decode(recording([activity2(SECOND, samples)]), NAME)
    assert made.counts_CN.T.tolist() == [list(sample) for sample in samples[:30]]


@settings(max_examples=50, deadline=None)
@given(st.lists(twelve_bits, min_size=1, max_size=60))
def test_samples_of_old_devices_round_trip(samples: Any) -> None:
    old = info(Serial_Number="NEO1C04110003", Acceleration_Scale=None, Acceleration_Max=None)
    files: dict[str, bytes | str] = {"info.txt": old}
    made = decode(archive(files | {"activity.bin": nibbles(samples), "log.txt": ""}), NAME)
    assert made.counts_CN.T.tolist() == [list(sample) for sample in samples]
    assert made.stamp_us_K.tolist() == [FIRST_US]
    assert (made.rail_counts, made.limit_counts, made.g_per_count_C[0]) == (2046, 2048, 1 / 341)


def test_the_example_of_the_format_page() -> None:
    payload = bytes.fromhex("00 60 08 EB D0 07 00 9E BF 00 70 08 EB F0")
    made = decode(archive({"info.txt": info(), "activity.bin": payload}), NAME)
    assert made.counts_CN.T.tolist() == [[8, 6, -323], [9, 7, -321], [8, 7, -321]]
