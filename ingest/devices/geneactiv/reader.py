"""Read .bin files of GENEActiv: a text header, here, and pages of hexadecimal digits (see `pages`).

The header holds the factory calibration, a gain and offset for each axis: g is (100 * count - offset) / gain.
Source: Activinsights, GENEActiv instructions for use, "Understanding .bin files".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.geneactiv.pages import DIGITS, SAMPLES, UNKNOWN, Pages, read_pages
from ingest.devices.io.ends import Ends, is_near_median
from ingest.devices.location import place
from ingest.recording import Probe, Recording
from pipeline.errors import UserError

BEGINNING, FIRST_PAGE = b"Device Identity", b"Recorded Data"
MAX_HEADER_BYTES = 1 << 16
RATES_HZ = (5.0, 200.0)
GAINS = (5_000.0, 100_000.0)
"""Usual gains are near 25,600: 256 counts per g."""
MAX_OFFSET_G = 1.0
LIMIT_COUNTS = 2048
MIN_RATE = 0.95
"""No device runs slower than this times its nominal rate. Bounds the span when the end is unreadable."""


@dataclass(frozen=True)
class Header:
    """The contents of the text before the first page; `size` is its length in bytes."""

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
    """Return whether a file with this head is a GENEActiv recording."""
    return head.startswith(BEGINNING)


def probe(ends: Ends) -> Probe:
    """Return what the header and the first and last pages show; raises UserError for a file that is not a recording."""
    header = _header(ends.head)
    pages = max(0, ends.size - header.size) // DIGITS
    first = _span(read_pages(ends.head, header.size, header.rate_hz))
    last = _span(read_pages(ends.tail, 0, header.rate_hz))
    if first is None and last is None:
        raise UserError(
            "expected a calendar time on one of the first or last pages, found none: the clock was never set, or these "
            "pages are damaged. Leave the recording out, or copy it again."
        )
    longest_us = round(pages * SAMPLES * 1e6 / (MIN_RATE * header.rate_hz))
    start_us = first[0] if first else last[1] - longest_us if last else 0
    end_us = last[1] + round(last[2] * SAMPLES * 1e6 / header.rate_hz) if last else start_us + longest_us
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
    """Return the recording in a complete .bin file (bytes, memory map, any buffer); raises UserError."""
    header = _header(bytes(memoryview(data)[:MAX_HEADER_BYTES]))
    pages = read_pages(data, header.size, header.rate_hz)
    count = pages.number_K.size
    if not count:
        raise UserError(
            f"expected at least one undamaged page of samples, found {pages.damaged} damaged pages. The device "
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
    """Return the figures of light and button."""
    extras: dict[str, float | str] = {"button_presses": pages.presses}
    if header.lux_per_count is not None:
        extras["light_mean_lux"] = pages.light_sum / (pages.number_K.size * SAMPLES) * header.lux_per_count
        extras["light_max_lux"] = pages.light_max * header.lux_per_count
    return extras


def _span(pages: Pages) -> tuple[int, int, int] | None:
    """Return first and last time of some pages in microseconds, without stray ones, and the pages from the last."""
    stamped = np.flatnonzero(pages.us_K != UNKNOWN)
    near = stamped[is_near_median(pages.us_K[stamped])]
    return (int(pages.us_K[near[0]]), int(pages.us_K[near[-1]]), pages.us_K.size - int(near[-1])) if near.size else None


def _header(head: bytes) -> Header:
    """Parse the header at the beginning of a file; raises UserError where it is missing or damaged."""
    if not recognises(head):
        raise UserError(
            "expected a GENEActiv recording, which begins with the line 'Device Identity'; found "
            f"{head[:4].hex(' ') or 'nothing'}. Leave the file out, or correct its suffix."
        )
    size = head.find(FIRST_PAGE)
    text = head[: size if size >= 0 else len(head)].decode("utf-8", "replace")
    lines = (line.partition(":") for line in text.splitlines())
    stated = {name.strip(): value.strip() for name, _, value in lines}
    gain, offset = ([_number(stated, f"{axis} {name}") for axis in "xyz"] for name in ("gain", "offset"))
    rate = _number(stated, "Measurement Frequency")
    volts, lux = (_number(stated, name) for name in ("Volts", "Lux"))
    for axis, g, o in zip("xyz", gain, offset, strict=True):
        if g is None or o is None or not GAINS[0] <= g <= GAINS[1] or abs(o) > MAX_OFFSET_G * g:
            raise UserError(
                f"expected the header to state a gain of {GAINS[0]:,.0f} to {GAINS[1]:,.0f} and a smaller offset for "
                f"the {axis} axis, found {g} and {o}. The header is damaged: copy the file again, or leave it out."
            )
    if rate is None or not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        raise UserError(
            f"expected a Measurement Frequency of {RATES_HZ[0]:g} to {RATES_HZ[1]:g} Hz, found {rate}. The header is "
            "damaged: copy the file again, or leave it out."
        )
    model, firmware = stated.get("Device Model", ""), stated.get("Device Firmware Version", "")
    return Header(
        device=" ".join(["GENEActiv", *re.findall(r"^[\w.]{1,8}$", model)]),
        serial=re.sub(r"[^A-Za-z0-9]", "", stated.get("Device Unique Serial Code", ""))[:32],
        firmware=firmware if re.fullmatch(r"[\w. ]{1,32}", firmware) else None,
        location=place(stated.get("Device Location Code", "")),
        rate_hz=rate,
        gain_C=np.array(gain, dtype=np.float64),
        offset_C=np.array(offset, dtype=np.float64),
        lux_per_count=lux / volts if lux and volts else None,
        size=size if size >= 0 else len(head),
    )


def _number(stated: dict[str, str], name: str) -> float | None:
    """Return the number at the beginning of a line of the header, or None."""
    found = re.match(r"-?\d{1,9}(\.\d{1,9})?", stated.get(name, "").replace(",", "."))
    return float(found.group()) if found else None
