"""Write samples as the data blocks of a .cwa file, with the stamps of the device's firmware.

The device reads its sensor 25 samples at a time and stamps a block at the first reading that completes it. Real files
show this: the stamped sample is always a multiple of 25, 0 to 24 samples past the end of the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ingest.devices.axivity.cwa_format import (
    BLOCK,
    BLOCK_LENGTH,
    BLOCK_MAGIC,
    FRACTION_FLAG,
    HEADER,
    HEADER_LENGTH,
    HEADER_MAGIC,
    PACKED,
    UNPACKED,
    pack_timestamp,
    rate_code,
)
from ingest.simulate.file_writer import Pieces
from ingest.simulate.population import Device, Packing
from ingest.simulate.sensor import RANGE_G
from pipeline.numerics.jit import njit

NOMINAL_HZ = 100
READING = 25
DAY_S = 86_400.0
FIRMWARE = 44
PAYLOAD_BYTES = 480
SAMPLES_A_BLOCK: dict[Packing, int] = {"packed, 8 g step": 120, "packed, finest step": 120, "unpacked": 80}


@dataclass(frozen=True)
class SampleClock:
    """When the device takes its samples, by its own clock: the true rate, which varies by 0.02% over a day."""

    rate_hz: float
    phase: float
    _swing_s: float = 0.0002 * DAY_S / (2 * np.pi)

    def index(self, second: float) -> int:
        """Return the number of the first sample at or after a second of the recording."""
        return int(np.ceil(self.rate_hz * (second + self._wander(np.float64(second)) - self._wander(np.float64(0.0)))))

    def seconds(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the seconds since the recording's start of samples by number."""
        even = index / self.rate_hz + self._wander(np.float64(0.0))
        seconds = even
        for _ in range(4):
            seconds = even - self._wander(seconds)
        return seconds

    def _wander(self, second):  # type: ignore[no-untyped-def]
        return self._swing_s * np.sin(2 * np.pi * second / DAY_S + self.phase)


def header(device: Device, session: int, start: np.datetime64, end: np.datetime64, location: str) -> bytes:
    """Return the 1,024 bytes at the start of a file."""
    head = np.full(HEADER.itemsize, 0xFF, dtype=np.uint8).view(HEADER)
    head["magic"], head["length"] = HEADER_MAGIC, HEADER_LENGTH
    head["hardware"] = 0x17
    head["device_id"], head["device_id_upper"], head["session_id"] = device.serial, 0xFFFF, session
    head["logging_start"], head["logging_end"] = pack_timestamp(np.array([start, end]).astype("datetime64[s]"))
    head["logging_capacity"], head["flash_led"], head["sensor_config"] = 0, 0, 0
    head["rate_code"] = rate_code(NOMINAL_HZ, RANGE_G)
    head["last_change"] = pack_timestamp(np.array([start]).astype("datetime64[s]"))
    head["firmware"] = FIRMWARE
    head["annotation"] = np.void(f"_p={location.replace(' ', '+')}".encode().ljust(HEADER["annotation"].itemsize))
    return head.tobytes()


class CwaFile:
    """Writes one .cwa file."""

    def __init__(
        self,
        device: Device,
        location: str,
        start: np.datetime64,
        end: np.datetime64,
        session: int,
        clock: SampleClock,
        rng: np.random.Generator,
    ) -> None:
        self.samples = SAMPLES_A_BLOCK[device.packing]
        self._clock = clock
        self._header = header(device, session, start, end, location)
        self._writer = CwaBlockBuilder(device, session, start, clock, rng)

    @contextmanager
    def opened(self, file: BinaryIO) -> Iterator[Callable[[bytes], object]]:
        """Write the header; yields the function that writes blocks."""
        file.write(self._header)
        yield file.write

    def add(self, counts: NDArray[np.int16], celsius: NDArray[np.float32], light: float) -> Pieces:
        """Return the blocks that `counts` (n, 3) complete."""
        blocks = self._writer.add(counts, celsius, light)
        number_K = blocks["sequence_id"].astype(np.int64)
        return Pieces(number_K, self._clock.seconds(number_K * self.samples), [block.tobytes() for block in blocks])


class CwaBlockBuilder:
    """Turns a stream of samples into blocks; the rest of the samples waits for the next call."""

    def __init__(
        self, device: Device, session: int, start: np.datetime64, clock: SampleClock, rng: np.random.Generator
    ) -> None:
        self._device, self._session, self._clock, self._rng = device, session, clock, rng
        self._start = start.astype("datetime64[us]")
        self._samples = SAMPLES_A_BLOCK[device.packing]
        self._waiting = np.empty((0, 3), dtype=np.int16)
        self._waiting_celsius = np.empty(0, dtype=np.float32)
        self.blocks = 0

    def add(self, counts: NDArray[np.int16], celsius: NDArray[np.float32], light: float) -> NDArray[np.void]:
        """Return the blocks (dtype BLOCK) that `counts` (n, 3) complete."""
        counts = np.concatenate((self._waiting, counts))
        celsius = np.concatenate((self._waiting_celsius, celsius))
        complete = len(counts) // self._samples
        used = complete * self._samples
        self._waiting, self._waiting_celsius = counts[used:], celsius[used:]
        return self._blocks(counts[:used], celsius[: used : self._samples], light)

    def _blocks(self, counts: NDArray[np.int16], celsius: NDArray[np.float32], light: float) -> NDArray[np.void]:
        count = len(celsius)
        number = self.blocks + np.arange(count)
        self.blocks += count
        first = number * self._samples
        stamped = -(-(first + self._samples) // READING) * READING
        latency_s = 0.0003 + self._rng.exponential(0.0001, count)
        ticks = np.floor((self._clock.seconds(stamped) + latency_s) * 32_768).astype(np.int64)
        ticks += int((self._start - self._start.astype("datetime64[s]")).astype(np.int64) * 32_768 // 1_000_000)
        fraction = ticks % 32_768

        made = np.zeros(count, dtype=BLOCK)
        made["magic"], made["length"], made["session_id"] = BLOCK_MAGIC, BLOCK_LENGTH, self._session
        made["device_fractional"] = FRACTION_FLAG | fraction
        made["sequence_id"] = number
        made["timestamp"] = pack_timestamp(self._start.astype("datetime64[s]") + ticks // 32_768)
        made["light"] = np.clip(light + self._rng.normal(0, 25, count), 1, 1023)
        made["temperature"] = np.clip(np.round((celsius + 50) * 256 / 75 + self._rng.normal(0, 0.5, count)), 1, 1023)
        made["events"][number == 0] = 1
        made["battery"] = np.clip(205 - 2.5 * self._clock.seconds(first) / DAY_S, 0, 255)
        made["rate_code"] = rate_code(NOMINAL_HZ, RANGE_G)
        made["format"] = 0x30 | (UNPACKED if self._device.packing == "unpacked" else PACKED)
        made["timestamp_offset"] = stamped - first - (fraction * NOMINAL_HZ >> 15)
        made["sample_count"] = self._samples
        made["payload"] = self._payload(counts).view(f"V{PAYLOAD_BYTES}")
        made["checksum"] = checksum(made)
        return made

    def _payload(self, counts: NDArray[np.int16]) -> NDArray[np.uint8]:
        if self._device.packing == "unpacked":
            return np.ascontiguousarray(counts, dtype="<i2").reshape(-1).view(np.uint8)
        words = np.empty(len(counts), dtype="<u4")
        pack(counts, words, 2 if self._device.packing == "packed, 8 g step" else 0)
        return words.view(np.uint8)


def checksum(blocks: NDArray[np.void]) -> NDArray[np.uint16]:
    """Return the last word of each block (dtype BLOCK) that makes its 256 words sum to zero."""
    words = blocks.view("<u2").reshape(-1, BLOCK.itemsize // 2)
    total: NDArray[np.uint16] = words[:, :-1].sum(axis=1, dtype=np.uint16)
    return np.negative(total)


@njit(cache=True)
def pack(counts, words, least_exponent):  # type: ignore[no-untyped-def]
    """Pack counts (n, 3) into 32-bit words (n): 10 bits per axis, and the smallest exponent that fits."""
    for i in range(counts.shape[0]):
        x, y, z = np.int32(counts[i, 0]), np.int32(counts[i, 1]), np.int32(counts[i, 2])
        lowest, highest = min(x, y, z), max(x, y, z)
        e = least_exponent
        while e < 3 and ((lowest >> e) < -512 or (highest >> e) > 511):
            e += 1
        words[i] = (e << 30) | (((z >> e) & 1023) << 20) | (((y >> e) & 1023) << 10) | ((x >> e) & 1023)
