"""A second, plain writer of .gt3x files, from the vendor's format pages alone, with one struct call per record."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from datetime import datetime

Sample = tuple[int, int, int]

START = datetime(2024, 3, 4, 10, 0, 0)
SECOND = 1_709_546_400
"""The start in seconds since 1970."""


def ticks(time: datetime) -> int:
    return int((time - datetime(1, 1, 1)).total_seconds()) * 10_000_000


def info(**other: object) -> str:
    """info.txt of a Link; `other` replaces lines, None removes them (underscores are blanks)."""
    lines: dict[str, object] = {
        "Serial_Number": "TAS1D12345678",
        "Device_Type": "Link",
        "Firmware": "1.7.2",
        "Battery_Voltage": "4,18",
        "Sample_Rate": 30,
        "Start_Date": ticks(START),
        "Stop_Date": 0,
        "Last_Sample_Time": ticks(datetime(2024, 3, 6, 12)),
        "TimeZone": "-05:00:00",
        "Acceleration_Scale": "256.0",
        "Acceleration_Min": "-8.0",
        "Acceleration_Max": "8.0",
        "Limb": "Wrist",
        "Side": "Left",
        "Subject_Name": "Jane Doe",
    }
    return "".join(
        f"{name.replace('_', ' ')}: {value}\r\n" for name, value in (lines | other).items() if value is not None
    )


def record(kind: int, second: int, payload: bytes) -> bytes:
    body = struct.pack("<BBIH", 0x1E, kind, second, len(payload)) + payload
    total = 0
    for byte in body:
        total ^= byte
    return body + bytes([~total & 0xFF])


def nibbles(samples: Sequence[Sample]) -> bytes:
    """Y, x and z of 12 bits each, as digits written one after the other."""
    digits = "".join(f"{value & 0xFFF:03x}" for x, y, z in samples for value in (y, x, z))
    return bytes.fromhex(digits + "0" * (len(digits) % 2))


def activity(second: int, samples: Sequence[Sample]) -> bytes:
    return record(0, second, nibbles(samples))


def activity2(second: int, samples: Sequence[Sample]) -> bytes:
    return record(26, second, b"".join(struct.pack("<3h", *sample) for sample in samples))


def event(second: int, kind: int) -> bytes:
    return record(3, second, bytes([kind]))


def parameters(second: int = SECOND, **values: int) -> bytes:
    keys = {"accel_scale": (0, 55), "firmware": (0, 13), "sample_rate": (1, 10), "start": (1, 12), "stop": (1, 13)}
    return record(21, second, b"".join(struct.pack("<HHI", *keys[name], value) for name, value in values.items()))


def still(seconds: int, first: int = SECOND, rate: int = 30) -> list[bytes]:
    """Seconds of rest, one g on z; x counts the seconds."""
    return [activity2(first + k, [(k % 1000, 0, 256)] * rate) for k in range(seconds)]


def archive(files: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of files in this order."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name), content, method)
    return held.getvalue()


def recording(records: Sequence[bytes], method: int = zipfile.ZIP_DEFLATED, **other: object) -> bytes:
    """A .gt3x file of these records."""
    return archive({"info.txt": info(**other), "log.bin": b"".join(records)}, method)
