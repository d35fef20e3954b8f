"""Write samples as the pages of a GENEActiv .bin file.

The header holds the factory calibration, which covers most of the device's gain and offset; the rest is left to
calibration on gravity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ingest.devices.geneactiv.pages import DIGITS, SAMPLES
from ingest.simulate.axivity_file import SampleClock
from ingest.simulate.file_writer import Pieces
from ingest.simulate.population import Device

FACTORY_FINDS = 0.8
"""Share of the true gain and offset that the header states."""
UNITS_PER_G = 25_600
"""Unit of the header's gains: 256 counts per g, times 100."""
VOLTS, LUX = 300, 800
PRESSED = 25
"""Samples for which the button is held down when the recording begins."""
HEADER = """\
Device Identity
Device Unique Serial Code:
Device Type:GENEActiv
Device Model:1.2
Device Firmware Version:Ver06.17 15June23
Calibration Date:2023-09-08 14:14:04:000

Device Capabilities
Accelerometer Range:-8 to 8
Accelerometer Resolution:0.0039
Accelerometer Units:g
Light Meter Range:0 to 20000
Light Meter Resolution:3 to 48
Light Meter Units:lux
Temperature Sensor Range:0 to 70
Temperature Sensor Resolution:0.1
Temperature Sensor Units:deg. C

Configuration Info
Measurement Frequency:
Measurement Period:
Start Time:
Time Zone:GMT -05:00

Trial Info
Study Centre:
Study Code:
Investigator ID:
Exercise Type:
Config Operator ID:
Config Time:
Config Notes:
Extract Operator ID:
Extract Time:
Extract Notes:

Subject Info
Device Location Code:
Subject Code:
Date of Birth:1900-01-01
Sex:
Height:
Weight:
Handedness Code:
Subject Notes:

Calibration Data
x gain:
x offset:
y gain:
y offset:
z gain:
z offset:
Volts:
Lux:

Memory Status
Number of Pages:

"""
"""The text before the pages. Readers count its lines, so all lines are present."""


class GeneactivFile:
    """Writes one .bin file."""

    samples = SAMPLES

    def __init__(
        self, device: Device, name: str, location: str, start: np.datetime64, end: np.datetime64, clock: SampleClock
    ) -> None:
        self._device, self._name, self._location, self._clock = device, name, location, clock
        self._start, self._end = start.astype("datetime64[us]"), end.astype("datetime64[us]")
        self._waiting = np.empty((0, 3), dtype=np.int16)
        self._waiting_celsius = np.empty(0, dtype=np.float32)
        self._pages = 0

    @contextmanager
    def opened(self, file: BinaryIO) -> Iterator[Callable[[bytes], object]]:
        """Write the header; yields the function that writes pages."""
        file.write(self._header().encode())
        yield file.write

    def add(self, counts: NDArray[np.int16], celsius: NDArray[np.float32], light: float) -> Pieces:
        """Return the pages that `counts` (n, 3) complete."""
        counts = np.concatenate((self._waiting, counts))
        celsius = np.concatenate((self._waiting_celsius, celsius))
        used = len(counts) // SAMPLES * SAMPLES
        self._waiting, self._waiting_celsius = counts[used:], celsius[used:]
        number_K = self._pages + np.arange(used // SAMPLES)
        second_K = self._clock.seconds(number_K * SAMPLES)
        time_K = self._start + np.round(second_K * 1e3).astype("timedelta64[ms]")
        pressed_N = (np.arange(used) < PRESSED) & (self._pages == 0)
        text_KD = digits(counts[:used], round(min(light, 1023.0)), pressed_N)
        self._pages += len(number_K)
        rows = zip(number_K.tolist(), second_K.tolist(), time_K, celsius[:used:SAMPLES], text_KD, strict=True)
        return Pieces.of((number, second, self._page(number, *rest)) for number, second, *rest in rows)

    def _page(self, number: int, time: np.datetime64, celsius: float, text_D: NDArray[np.uint8]) -> bytes:
        head = (
            f"Recorded Data\r\nDevice Unique Serial Code:{self._device.serial:06d}\r\nSequence Number:{number}\r\n"
            f"Page Time:{_time(time)}\r\nUnassigned:\r\nTemperature:{celsius:.1f}\r\n"
            f"Battery voltage:{4.15 - number / 1e6:.4f}\r\nDevice Status:Recording\r\n"
            f"Measurement Frequency:{self._device.nominal_hz:.1f}\r\n"
        )
        return head.encode() + text_D.tobytes() + b"\r\n"

    def _header(self) -> str:
        gain = np.round(UNITS_PER_G * (1 + FACTORY_FINDS * (self._device.gain_C - 1))).astype(int)
        offset = np.round(UNITS_PER_G * FACTORY_FINDS * self._device.offset_C).astype(int)
        seconds = (self._end - self._start) / np.timedelta64(1, "s")
        values = {
            "Device Unique Serial Code": f"{self._device.serial:06d}",
            "Measurement Frequency": f"{self._device.nominal_hz:g} Hz",
            "Measurement Period": f"{int(np.ceil(seconds / 3600))} Hours",
            "Start Time": _time(self._start),
            "Config Time": _time(self._start),
            "Extract Time": _time(self._end),
            "Device Location Code": self._location,
            "Subject Code": self._name,
            **{f"{axis} gain": str(value) for axis, value in zip("xyz", gain, strict=True)},
            **{f"{axis} offset": str(value) for axis, value in zip("xyz", offset, strict=True)},
            "Volts": str(VOLTS),
            "Lux": str(LUX),
            "Number of Pages": str(self._clock.index(seconds) // SAMPLES),
        }
        lines = (line + values.get(line.removesuffix(":"), "") for line in HEADER.splitlines())
        return "".join(f"{line}\r\n" for line in lines)


def digits(counts_NC: NDArray[np.int16], light: int, pressed_N: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return pages (K, 3600) of hexadecimal digits: three axes of 12 bits, 10 of light, the button, one unused bit."""
    last_N = np.full(len(counts_NC), light << 2, dtype=np.uint16) | pressed_N.astype(np.uint16) << 1
    word_NV = np.concatenate((counts_NC.astype(np.uint16), last_N[:, None]), axis=1)
    half_NVH = np.stack([word_NV >> shift & 0xF for shift in (8, 4, 0)], axis=2)
    return np.frombuffer(b"0123456789ABCDEF", dtype=np.uint8)[half_NVH].reshape(-1, DIGITS)


def _time(time: np.datetime64) -> str:
    """Format a time as 2013-05-30 10:12:54:500."""
    date, clock = str(time.astype("datetime64[ms]")).split("T")
    return f"{date} {clock.replace('.', ':')}"
