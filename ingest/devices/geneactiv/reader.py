"""GENEActiv: .bin files, a text header and pages of hexadecimal digits (`geneactiv_pages` reads those).

The header holds the gain and offset of each axis that the factory measured: g is (100 * count - offset) / gain.
Source: Activinsights, GENEActiv instructions for use, "Understanding .bin files".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.geneactiv.pages import DIGITS, SAMPLES, UNKNOWN, Pages, read_pages
from ingest.devices.io.ends import Ends, together
from ingest.devices.location import place
from ingest.recording import Probe, Recording
from pipeline.errors import UserError

BEGINNING, FIRST_PAGE = b"Device Identity", b"Recorded Data"
LONGEST_HEADER = 1 << 16
RATES_HZ = (5.0, 200.0)
GAINS = (5_000.0, 100_000.0)
"""About 25,600: 256 counts a g."""
MOST_OFFSET_G = 1.0
LIMIT_COUNTS = 2048
SLOWEST = 0.95
"""No device runs slower than this times its nominal rate; bounds the span when the end is unreadable."""


@dataclass(frozen=True)
class Header:
    """What the text before the first page tells; `size` is its bytes."""

    device: str
    serial: str
    firmware: str | None
    location: str | None
    rate_hz: float
    gain_C: NDArray[np.float64]
    offset_C: NDArray[np.float64]
    lux_per_count: float | None
    size: int


def recognises(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a GENEActiv's."""
    return head.startswith(BEGINNING)


def probe(ends: Ends) -> Probe:
    """What header, first and last pages tell; raises UserError for what is not a GENEActiv recording."""
    header = _header(ends.head)
    pages = max(0, ends.size - header.size) // DIGITS
    first = _span(read_pages(ends.head, header.size, header.rate_hz))
    if first is None:
        raise UserError(
            "a recording with a calendar time on one of its first pages was expected; its clock was never set, or its "
            "first pages are damaged. Leave it out, or copy it again."
        )
    start_us = first[0]
    end_us = start_us + round(pages * SAMPLES * 1e6 / (SLOWEST * header.rate_hz))
    last = _span(read_pages(ends.tail, 0, header.rate_hz))
    if last is not None:
        end_us = last[1] + round(last[2] * SAMPLES * 1e6 / header.rate_hz)
    return Probe(
        device=header.device,
        serial=header.serial,
        start=np.datetime64(start_us, "us"),
        end=np.datetime64(max(start_us, end_us), "us"),
        nominal_rate_hz=header.rate_hz,
        samples=pages * SAMPLES,
        location=header.location,
    )


def decode(data: Any) -> Recording:
    """The recording in a whole .bin file (bytes, a memory map, any buffer); raises UserError when it holds none."""
    header = _header(bytes(memoryview(data)[:LONGEST_HEADER]))
    pages = read_pages(data, header.size, header.rate_hz)
    count = pages.number_K.size
    if not count:
        raise UserError(
            f"a recording has at least one undamaged page of samples; of {pages.damaged} pages none is. The device "
            "recorded nothing, or the copy is damaged: copy it again or leave it out."
        )
    first_K = np.arange(count, dtype=np.int64) * SAMPLES
    return Recording(
        device=header.device,
        serial=header.serial,
        location=header.location,
        nominal_rate_hz=header.rate_hz,
        counts_CN=pages.counts_CN,
        g_per_count_C=100 / header.gain_C,
        offset_g_C=-header.offset_C / header.gain_C,
        rail_counts=LIMIT_COUNTS - 1,
        limit_counts=LIMIT_COUNTS,
        first_K=first_K,
        count_K=np.full(count, SAMPLES, dtype=np.int64),
        sequence_K=pages.number_K,
        stamp_sample_K=first_K,
        stamp_us_K=np.maximum(pages.us_K, 0),
        stamped_K=pages.us_K != UNKNOWN,
        celsius_K=pages.celsius_K,
        damaged_blocks=pages.damaged,
        firmware=header.firmware,
        extras=_extras(header, pages),
    )


def _extras(header: Header, pages: Pages) -> dict[str, float | str]:
    """Light and button."""
    extras: dict[str, float | str] = {"button_presses": pages.presses}
    if header.lux_per_count is not None:
        extras["light_mean_lux"] = pages.light_sum / (pages.number_K.size * SAMPLES) * header.lux_per_count
        extras["light_max_lux"] = pages.light_most * header.lux_per_count
    return extras


def _span(pages: Pages) -> tuple[int, int, int] | None:
    """First and last time of some pages, in microseconds, stray ones left out, and the pages from the last one on."""
    stamped = np.flatnonzero(pages.us_K != UNKNOWN)
    near = stamped[together(pages.us_K[stamped])]
    return (int(pages.us_K[near[0]]), int(pages.us_K[near[-1]]), pages.us_K.size - int(near[-1])) if near.size else None


def _header(head: bytes) -> Header:
    """The header at the beginning of a file; raises UserError for what is none, or is damaged."""
    if not recognises(head):
        raise UserError(
            "a GENEActiv recording begins with the line 'Device Identity'; found "
            f"{head[:4].hex(' ') or 'nothing'}. It is none: leave it out, or give it its true suffix."
        )
    size = head.find(FIRST_PAGE)
    text = head[: size if size >= 0 else len(head)].decode("utf-8", "replace")
    lines = (line.partition(":") for line in text.splitlines())
    said = {name.strip(): value.strip() for name, _, value in lines}
    gain, offset = ([_number(said, f"{axis} {name}") for axis in "xyz"] for name in ("gain", "offset"))
    rate = _number(said, "Measurement Frequency")
    volts, lux = (_number(said, name) for name in ("Volts", "Lux"))
    for axis, g, o in zip("xyz", gain, offset, strict=True):
        if g is None or o is None or not GAINS[0] <= g <= GAINS[1] or abs(o) > MOST_OFFSET_G * g:
            raise UserError(
                f"the calibration of the {axis} axis in the header is damaged: expected a gain of {GAINS[0]:,.0f} to "
                f"{GAINS[1]:,.0f} and a smaller offset, found {g} and {o}. Copy the file again, or leave it out."
            )
    if rate is None or not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        raise UserError(
            f"the header tells a Measurement Frequency of {rate} Hz; expected {RATES_HZ[0]:g} to {RATES_HZ[1]:g}. The "
            "header is damaged: copy the file again, or leave it out."
        )
    model, firmware = said.get("Device Model", ""), said.get("Device Firmware Version", "")
    return Header(
        device=" ".join(["GENEActiv", *re.findall(r"^[\w.]{1,8}$", model)]),
        serial=re.sub(r"[^A-Za-z0-9]", "", said.get("Device Unique Serial Code", ""))[:32],
        firmware=firmware if re.fullmatch(r"[\w. ]{1,32}", firmware) else None,
        location=place(said.get("Device Location Code", "")),
        rate_hz=rate,
        gain_C=np.array(gain, dtype=np.float64),
        offset_C=np.array(offset, dtype=np.float64),
        lux_per_count=lux / volts if lux and volts else None,
        size=size if size >= 0 else len(head),
    )


def _number(said: dict[str, str], name: str) -> float | None:
    """The number that a line of the header begins with; None for none."""
    found = re.match(r"-?\d{1,9}(\.\d{1,9})?", said.get(name, "").replace(",", "."))
    return float(found.group()) if found else None
