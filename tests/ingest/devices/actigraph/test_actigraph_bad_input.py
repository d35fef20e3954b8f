"""Bad archives, and small archives that unpack to too much, are refused."""

from __future__ import annotations

import struct
import zipfile
from typing import Any

import pytest

from ingest.devices.actigraph import log_records, unpack_samples
from ingest.devices.actigraph.unpack_samples import MAX_SAMPLES
from ingest.devices.registry import decode
from pipeline.errors import UserError
from tests.ingest.devices.actigraph.in_memory import NAME
from tests.ingest.devices.gt3x_file import SECOND, activity, archive, info, nibbles, recording, still

ENCRYPTED = bytearray(recording(still(3)))
for at in (ENCRYPTED.index(b"PK\x03\x04") + 6, ENCRYPTED.index(b"PK\x01\x02") + 8):
    ENCRYPTED[at] |= 1

LYING = bytearray(archive({"log.bin": b"".join(still(3)), "info.txt": info()}, zipfile.ZIP_STORED))
LYING[28:30] = b"\xff\xff"  # length of the extra field of the first member

BAD = {
    "a member beyond the end": (bytes(LYING), "at least one undamaged record"),
    "empty": (b"", "no archive"),
    "text": (b"time,x,y,z\n" * 500, "no archive"),
    "other archive": (archive({"notes.txt": "nothing"}), "an archive with 1 other files"),
    "encrypted": (bytes(ENCRYPTED), "encrypted"),
    "no samples": (recording([]), "at least one undamaged record"),
    "empty activity.bin": (archive({"info.txt": info(), "activity.bin": b""}), "at least one undamaged record"),
    "only damage": (recording([b"\x1e" * 100_000]), "at least one undamaged record"),
    "no rate": (recording(still(3), Sample_Rate=None), "Sample Rate.*found none"),
    "rate of zero": (recording(still(3), Sample_Rate=0), "Sample Rate.*found 0"),
    "rate of 2^60": (recording(still(3), Sample_Rate=2**60), "Sample Rate"),
    "rate that is none": (recording(still(3), Sample_Rate="nan"), "Sample Rate.*found nan"),
    "no scale": (recording(still(3), Serial_Number="", Acceleration_Scale="0"), "Acceleration Scale"),
    "activity.bin without a start": (
        archive({"info.txt": info(Start_Date=0), "activity.bin": nibbles([(1, 2, 3)])}),
        "expected a Start Date",
    ),
    "a start in the year 3655": (
        archive({"info.txt": info(Start_Date=2**60), "activity.bin": nibbles([(1, 2, 3)])}),
        "expected a Start Date",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_rejected_without_the_name(case: Any) -> None:
    data, message = BAD[case]
    with pytest.raises(UserError, match=message) as error:
        decode(data, NAME)
    assert "Jane" not in str(error.value)


def bomb(piece: bytes, times: int) -> bytes:
    """Return a small archive whose log.bin unpacks to `piece`, `times` over."""
    import zlib

    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = engine.compress(piece) + engine.flush(zlib.Z_FULL_FLUSH)
    body = packed * times + zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
    head = archive({"info.txt": info()}, zipfile.ZIP_STORED).split(b"PK\x01\x02")[0]
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 8, 0, 33, 0, len(body), 0xFFFFFFFF, 7, 0)
    return head + local + b"log.bin" + body


SLOWER = (b"\x1e" * (1 << 20), b"\x1e\x06\0\0\0\0\xff\xff" * (1 << 17))


@pytest.mark.parametrize("piece", [bytes(1 << 20), *(pytest.param(piece, marks=pytest.mark.slow) for piece in SLOWER)])
def test_zip_bombs_without_records_are_refused(piece: Any) -> None:
    data = bomb(piece, 4_000)
    assert len(data) < 20e6
    with pytest.raises(UserError, match="at most 170,000,000 samples"):
        decode(data, NAME)


def test_a_long_recording_is_read_and_a_log_that_repeats_its_seconds_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on what headers claim, not on a log that has a second for each record."""
    for module in (log_records, unpack_samples):
        monkeypatch.setattr(module, "MAX_SAMPLES", 3_000)
        monkeypatch.setattr(module, "LONG_SAMPLES", 9_000)
    data = recording(still(290))
    made = decode(data, NAME)
    assert made.samples == 290 * 30
    assert made.counts_CN[0, ::30].tolist() == [k % 1000 for k in range(290)]
    assert made.stamp_us_K.tolist() == [(SECOND + k) * 1_000_000 for k in range(290)]
    for records, limit in ((still(310), "9,000"), (still(1) * 120, "3,000")):
        with pytest.raises(UserError, match=f"at most {limit} samples"):
            decode(recording(records), NAME)


@pytest.mark.slow
def test_a_zip_bomb_of_valid_records_is_refused() -> None:
    second = b"".join(activity(SECOND, [(0, 0, 256)] * 30) for _ in range(7_000))
    data = bomb(second, MAX_SAMPLES // (30 * 7_000) + 2)
    with pytest.raises(UserError, match="at most 170,000,000 samples"):
        decode(data, NAME)
