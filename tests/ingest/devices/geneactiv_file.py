"""A second, plain writer of GENEActiv .bin files, from the vendor's instructions and real files, by joining strings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

Sample = tuple[int, int, int, int, int]
"""Three axes, light, button."""

START = datetime(2024, 3, 4, 10, 0, 0, 500_000)
REST: Sample = (0, 0, 256, 0, 0)


def header(end: str = "\r\n", **other: object) -> bytes:
    """The header; `other` replaces lines, None removes them (underscores are blanks)."""
    lines: dict[str, object] = {
        "Device_Unique_Serial_Code": "012967",
        "Device_Type": "GENEActiv           ",
        "Device_Model": "1.1                 ",
        "Device_Firmware_Version": "Ver1.30 date 05Aug11",
        "Measurement_Frequency": "60 Hz",
        "Start_Time": "2024-03-04 10:00:00:000",
        "Device_Location_Code": "left wrist",
        "Subject_Code": "Jane Doe",
        "Subject_Notes": "Jane: left handed",
        "x_gain": 25600,
        "x_offset": 0,
        "y_gain": 25600,
        "y_offset": 0,
        "z_gain": 25600,
        "z_offset": 0,
        "Volts": 300,
        "Lux": 800,
        "Number_of_Pages": 222048,
    }
    said = [f"{name.replace('_', ' ')}:{value}" for name, value in (lines | other).items() if value is not None]
    return (end.join(["Device Identity", *said, "", ""])).encode()


def stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}:{time.microsecond // 1000:03d}"


def page(
    samples: Sequence[Sample],
    number: int = 0,
    time: datetime | str = START,
    celsius: object = "21.5",
    rate: object = "60.0",
    end: str = "\r\n",
) -> bytes:
    """A page; samples beyond those given are at rest."""
    rows = [*samples, *[REST] * (300 - len(samples))]
    words = (word & 0xFFF for x, y, z, light, button in rows for word in (x, y, z, light << 2 | button << 1))
    digits = "".join(f"{word:03X}" for word in words)
    said = [
        "Recorded Data",
        "Device Unique Serial Code:012967",
        f"Sequence Number:{number}",
        f"Page Time:{time if isinstance(time, str) else stamp(time)}",
        "Unassigned:",
        f"Temperature:{celsius}",
        "Battery voltage:4.1493",
        "Device Status:Recording",
        f"Measurement Frequency:{rate}",
        digits,
    ]
    return (end.join(said) + end).encode()


def pages(count: int, **other: Any) -> list[bytes]:
    """Pages of rest, 5 s each; the first x of each is its number."""
    return [page([(k, 0, 256, 0, 0)], k, START + timedelta(seconds=5 * k), **other) for k in range(count)]
