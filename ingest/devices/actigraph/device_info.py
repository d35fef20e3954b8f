"""An ActiGraph's description of itself, in info.txt and in the first records of log.bin.

Either may be missing: a truncated copy has often lost info.txt, which follows log.bin. Where both state a setting, the
records win, because they have checksums. Names, birthdays and everything else about the person are not read.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ingest.devices.actigraph import gt3x_format as gt3x
from ingest.devices.location import place
from ingest.recording import Clock
from pipeline.errors import UserError

FIRST_RECORDS = 32
"""Metadata and parameters are among these."""
RATES_HZ = (10, 400)
SCALES, RANGES_G = (50.0, 4096.0), (1.0, 64.0)
"""Counts per g and g of any accelerometer that is worn."""
TIMES_US = (0, (1 << 32) * 1_000_000)
"""Times that a record can have: 1970 to 2106."""

CLOCKS: dict[str, Clock] = {"True": "utc", "False": "local"}
"""By the vendor's UsedUtc: whether its software set the device to UTC."""


@dataclass(frozen=True)
class DeviceInfo:
    """An ActiGraph and its settings; times in microseconds since 1970 by the device's clock, None where unknown."""

    device: str
    serial: str
    firmware: str | None
    location: str | None
    rate_hz: int
    counts_per_g: float
    range_g: float
    start_us: int | None
    end_us: int | None
    """No sample is later, if the clocks of the device and of the vendor's software are right."""
    clock: Clock | None
    """What the device's clock was set to."""


def read_info(text: bytes, log: bytes) -> DeviceInfo:
    """Read info.txt and the beginning of log.bin, either of which may be empty; raises UserError."""
    lines = (line.partition(":") for line in text.decode("utf-8-sig", "replace").splitlines())
    stated = {name.strip(): value.strip() for name, _, value in lines}
    parameters, metadata = _first_records(log)
    serial = re.sub(r"[^A-Za-z0-9]", "", stated.get("Serial Number", ""))[:32]
    usual_scale, usual_range = gt3x.RANGES.get(serial[:3].upper(), (None, None))
    scale = _float(parameters.get(gt3x.ACCEL_SCALE)) or _number(stated.get("Acceleration Scale")) or usual_scale
    range_g = _number(stated.get("Acceleration Max")) or usual_range or (scale and gt3x.TWELVE_BITS / scale)
    rate = parameters.get(gt3x.SAMPLE_RATE) or _number(stated.get("Sample Rate"))
    start = _time(stated.get("Start Date"), parameters.get(gt3x.START_TIME))
    last = _time(stated.get("Last Sample Time"), None)
    stop = _time(stated.get("Stop Date"), parameters.get(gt3x.STOP_TIME))
    download = _time(stated.get("Download Date"), None)
    bodies = [stated.get(name) or metadata.get(name, "") for name in ("Dominance", "Side", "Limb")]
    version = parameters.get(gt3x.FIRMWARE)
    firmware = f"{version >> 24}.{version >> 16 & 255}.{version & 0xFFFF}" if version else stated.get("Firmware", "")
    return DeviceInfo(
        device=" ".join(["ActiGraph", *re.findall(r"^[\w+. -]{1,24}$", stated.get("Device Type", ""))]),
        serial=serial,
        firmware=firmware if re.fullmatch(r"[\w.]{1,16}", firmware) else None,
        location=place(*map(str, bodies)),
        rate_hz=int(_within(rate, RATES_HZ, "Sample Rate", "Hz")),
        counts_per_g=_within(scale, SCALES, "Acceleration Scale", "counts per g"),
        range_g=_within(range_g, RANGES_G, "Acceleration Max", "g"),
        start_us=start,
        end_us=next((time for time in (last, stop, download) if time and start is not None and time > start), None),
        clock=CLOCKS.get(str(metadata.get("UsedUtc"))),
    )


def _first_records(log: bytes) -> tuple[dict[tuple[int, int], int], dict[str, Any]]:
    """Return parameters by key, and metadata, of the first records."""
    parameters: dict[tuple[int, int], int] = {}
    metadata: dict[str, Any] = {}
    for kind, payload in _records(log):
        if kind == gt3x.PARAMETERS:
            entries = struct.iter_unpack("<HHI", payload[: len(payload) // 8 * 8])
            parameters |= {(space, number): value for space, number, value in entries}
        elif kind == gt3x.METADATA:
            try:
                found = json.loads(payload)
            except (ValueError, RecursionError):
                continue
            metadata |= found if isinstance(found, dict) else {}
    return parameters, metadata


def _records(log: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and payload of the first records, until one has a wrong checksum."""
    at = 0
    for _ in range(FIRST_RECORDS):
        head = log[at : at + gt3x.HEAD_BYTES]
        if len(head) < gt3x.HEAD_BYTES or head[0] != gt3x.SEPARATOR:
            return
        end = at + gt3x.HEAD_BYTES + int.from_bytes(head[6:8], "little")
        if end >= len(log) or gt3x.checksum(log[at:end]) != log[end]:
            return
        yield head[1], log[at + gt3x.HEAD_BYTES : end]
        at = end + 1


def _number(text: str | None) -> float | None:
    """The number in a text, with a decimal point or comma, or None."""
    try:
        return float((text or "").replace(",", "."))
    except ValueError:
        return None


def _float(word: int | None) -> float | None:
    return gt3x.decode_float(word) if word else None


def _time(ticks: str | None, seconds: int | None) -> int | None:
    """A time from info.txt, else from the parameters; None where no record can have that time."""
    found = (seconds or 0) * 1_000_000
    if ticks is not None and re.fullmatch(r"\d{1,19}", ticks):
        found = gt3x.to_us(int(ticks))
    return found if TIMES_US[0] < found < TIMES_US[1] else None


def _within(value: float | None, bounds: tuple[float, float], name: str, unit: str) -> float:
    if value is None or not bounds[0] <= value <= bounds[1]:
        found = "none" if value is None else f"{value:g}"
        raise UserError(
            f"expected the {name} of an ActiGraph to be {bounds[0]:g} to {bounds[1]:g} {unit}, found {found}. The "
            "recording's info.txt is damaged or missing: copy the file again, or leave it out."
        )
    return value
