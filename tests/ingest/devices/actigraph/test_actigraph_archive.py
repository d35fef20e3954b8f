"""A recording is an archive: its members, gzip around it, and how it is recognised."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np

from ingest.devices.actigraph import reader as actigraph
from ingest.devices.registry import decode
from tests.ingest.devices.actigraph.in_memory import NAME, probe_bytes
from tests.ingest.devices.gt3x_file import archive, info, recording, still


def test_members_in_any_order_are_recognised() -> None:
    files: dict[str, Any] = {"calibration.json": b"{}", "info.txt": info(), "log.bin": b"".join(still(60))}
    noise = np.random.default_rng(0).bytes(100_000)
    for name, before in (("a.zip", {}), (NAME, {"firmware.bin": noise}), (NAME, {"firmware.bat": noise})):
        made = decode(archive(before | files), name)
        assert (made.device, made.samples) == ("ActiGraph Link", 1800)


def test_gzip_reads_the_same() -> None:
    data = recording(still(60))
    assert np.array_equal(decode(gzip.compress(data), NAME + ".gz").counts_CN, decode(data, NAME).counts_CN)
    assert probe_bytes(gzip.compress(data), NAME + ".gz") == probe_bytes(data)


def test_recordings_are_recognised_by_content() -> None:
    assert actigraph.recognises(recording(still(1))[:1000])
    assert not actigraph.recognises(archive({"info.txt": "of a study", "CWA-DATA.cwa": b"MD"}))
    assert not actigraph.recognises(archive({"CWA-DATA.cwa": b"MD"}))
    assert not any(map(actigraph.recognises, (b"", b"PK\x03\x04", b"Device Identity", b"MD\xfc\x03")))
