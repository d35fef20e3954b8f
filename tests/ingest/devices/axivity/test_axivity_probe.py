"""Probing finds span, size and location without reading a recording; gzip reads the same."""

from __future__ import annotations

import gzip
from datetime import datetime

import numpy as np

from ingest.devices.registry import decode
from tests.ingest.devices.axivity.in_memory import NAME, probe_bytes, still
from tests.ingest.devices.cwa_file import START, block, header


def test_serial_and_location_are_read_and_nothing_else_of_the_annotation() -> None:
    data = header(0x00B00B1E, annotation=b"_p=left+wrist&_sc=26&_sn=Jane+Doe") + still(1)
    recording = decode(data, NAME)
    assert (recording.serial, recording.location) == (str(0x00B00B1E), "left wrist")
    assert probe_bytes(data).location == "left wrist"
    assert decode(header(annotation=b"_p=Jane+Doe") + still(1), NAME).location is None
    assert "Jane" not in repr(probe_bytes(data))


def test_probe_finds_span_and_size_from_both_ends() -> None:
    middle = b"\x00" * 512 * 5000
    found = probe_bytes(
        header() + still(300) + middle + block([(0, 0, 256)] * 120, [2] * 120, time=datetime(2024, 3, 6))
    )
    assert found.start == np.datetime64(START, "us")
    assert found.end == np.datetime64("2024-03-06T00:00:01.200", "us")
    assert found.days == [np.datetime64(day, "D") for day in ("2024-03-04", "2024-03-05", "2024-03-06")]
    assert (found.device, found.nominal_rate_hz, found.samples) == ("AX3", 100.0, 120 * 5301)


def test_probe_bounds_the_end_when_the_end_is_unreadable() -> None:
    found = probe_bytes(header() + still(10) + b"\xff" * 512 * 3000)
    assert found.end >= np.datetime64(START, "us") + np.timedelta64(3010 * 120 * 10, "ms")


def test_gzip_reads_the_same() -> None:
    data = header() + still(400)
    packed = gzip.compress(data[:100_000]) + gzip.compress(data[100_000:])
    assert probe_bytes(packed, NAME + ".GZ") == probe_bytes(data)
    assert np.array_equal(decode(packed, NAME + ".gz").counts_CN, decode(data, NAME).counts_CN)
    assert np.array_equal(decode(gzip.compress(data), NAME + ".gz").counts_CN, decode(data, NAME).counts_CN)
