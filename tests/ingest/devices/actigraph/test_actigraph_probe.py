"""Probing reads little, and finds the span, the size and the location."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np

from ingest.devices.actigraph.gt3x_format import encode_float
from ingest.devices.registry import probe
from tests.ingest.devices.actigraph.in_memory import NAME, probe_bytes
from tests.ingest.devices.gt3x_file import SECOND, START, archive, event, info, nibbles, parameters, recording, still


def test_probe_reads_the_directory_and_info_txt_wherever_it_is() -> None:
    log = b"".join(still(5_000))
    reads = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            reads.append(len(found))
            return found

    orders: list[dict[str, Any]] = [
        {"info.txt": info(), "log.bin": log},
        {"log.bin": log, "info.txt": info(), "more.bin": log},
    ]
    for files in orders:
        data = archive(files, zipfile.ZIP_STORED)
        reads.clear()
        found = probe(Watched(data), NAME, len(data))
        assert [str(day) for day in found.days] == ["2024-03-04", "2024-03-05", "2024-03-06"]
        assert (found.device, found.nominal_rate_hz) == ("ActiGraph Link", 30)
        assert found.samples >= 50 * 3600 * 30
        assert sum(reads) < 300_000 < len(data)


def test_a_probe_of_the_complete_file_holds_one_piece_in_memory() -> None:
    log = b"".join([*still(6_000), event(SECOND + 6_000, 8), event(SECOND + 7_000, 9)])
    orders: list[dict[str, Any]] = [{"log.bin": log}, {"info.txt": info(Last_Sample_Time=None), "log.bin": log}]
    for files in orders:
        reads = []

        class Watched(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                found = super().read(size)
                reads.append(len(found))  # noqa: B023
                return found

        first = parameters(sample_rate=30, accel_scale=encode_float(256))
        data = archive({**files, "log.bin": first + log}, zipfile.ZIP_STORED)
        found = probe(Watched(data), NAME, len(data))
        assert (found.start, found.samples) == (np.datetime64(START, "us"), 180_000)
        assert found.end == np.datetime64(START, "us") + np.timedelta64(7_000, "s")
        assert max(reads) <= 1 << 20 < len(data)
    data = archive({"info.txt": info(Last_Sample_Time=None), "activity.bin": nibbles([(1, 2, 3)] * 900)})
    found = probe_bytes(data)
    assert (found.samples, found.end) == (900, np.datetime64(START, "us") + np.timedelta64(30, "s"))


def test_probe_finds_the_location() -> None:
    for limb, location in (("Wrist", "left wrist"), ("Waist", "left waist")):
        assert probe_bytes(recording(still(60), Limb=limb)).location == location
