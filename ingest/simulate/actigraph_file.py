"""Write samples as the records of an ActiGraph's log.bin, a second each, inside the zip archive of a .gt3x file.

With idle sleep the device stores nothing while it does not move. As the vendor describes it, the device falls asleep
after ten seconds within 40 mg, and checks once a second whether it has moved.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from ingest.devices.actigraph import gt3x_format as gt3x
from ingest.simulate.file_writer import NO_NUMBER, Pieces
from ingest.simulate.population import Device
from ingest.simulate.sensor import RANGE_G

COUNTS_PER_G = 256
IDLE_G = 0.040
IDLE_SECONDS = 10
BATTERY_EACH_S = 60
UTC_OFFSET = "-05:00:00"
VERSION = (1, 7, 2)


class ActigraphFile:
    """Writes one .gt3x file; the device starts on a full second and takes exactly its nominal rate in each."""

    def __init__(self, device: Device, name: str, location: str, start: np.datetime64, end: np.datetime64) -> None:
        self.samples = round(device.nominal_hz)
        self._device, self._name = device, name
        self._side, self._limb = location.title().split()
        self._start_us, self._end_us = (int(time.astype("datetime64[us]").astype(np.int64)) for time in (start, end))
        self._packed = device.packing != "unpacked"
        self._waiting = np.empty((0, 3), dtype=np.int16)
        self._seconds = 0
        self._quiet: list[tuple[NDArray[np.int16], NDArray[np.int16]]] = []
        """Smallest and largest values of the last seconds."""
        self._held: NDArray[np.int32] | None = None
        """The last sample before idle sleep; None when awake."""
        self._last: NDArray[np.int32] = np.zeros(3, dtype=np.int32)

    @contextmanager
    def opened(self, file: BinaryIO) -> Iterator[Callable[[bytes], object]]:
        """Write info.txt and the first records; yields the function that writes records."""
        moment = np.datetime64(self._start_us, "us").astype("datetime64[s]").item().timetuple()[:6]
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_entry("info.txt", moment), self._info(), zipfile.ZIP_DEFLATED)
            with archive.open(_entry("log.bin", moment), "w") as log:
                second = self._start_us // 1_000_000
                for metadata in self._metadata():
                    log.write(record(gt3x.METADATA, second, json.dumps(metadata).encode()))
                log.write(record(gt3x.PARAMETERS, second, self._parameters()))
                yield log.write

    def add(self, counts: NDArray[np.int16], celsius: NDArray[np.float32], light: float) -> Pieces:
        """Return the records that `counts` (n, 3) complete."""
        counts = np.concatenate((self._waiting, counts))
        complete = len(counts) // self.samples
        self._waiting = counts[complete * self.samples :]
        counts_SNC = counts[: complete * self.samples].reshape(complete, self.samples, 3)
        first = self._start_us // 1_000_000 + self._seconds
        raw_SB = activity(counts_SNC, first + np.arange(complete), self._packed)
        pieces: list[tuple[int, float, bytes]] = []
        for i, samples_NC in enumerate(counts_SNC):
            number = self._seconds + i
            if (first + i) % BATTERY_EACH_S == 0:
                level = struct.pack("<H", max(3_000, 4_180 - number // 1_000))
                pieces.append((NO_NUMBER, number, record(gt3x.BATTERY, first + i, level)))
            event, stored = self._watch(samples_NC)
            if event:
                pieces.append((NO_NUMBER, number, record(gt3x.EVENT, first + i, bytes([event]))))
            if stored:
                pieces.append((number, number, raw_SB[i].tobytes()))
        self._seconds += complete
        return Pieces.of(pieces)

    def _watch(self, samples_NC: NDArray[np.int16]) -> tuple[int, bool]:
        """Return the event before a second (0 for none), and whether the second is stored."""
        if not self._device.idle_sleep:
            return 0, True
        max_counts = IDLE_G * COUNTS_PER_G
        min_C, max_C = samples_NC.min(axis=0), samples_NC.max(axis=0)
        if self._held is not None:
            if max((max_C - self._held).max(), (self._held - min_C).max()) <= max_counts:
                return 0, False
            self._held, self._quiet = None, []
            return gt3x.IDLE_ENDS, True
        if len(self._quiet) == IDLE_SECONDS:
            low_C, high_C = np.min([low for low, _ in self._quiet], axis=0), np.max([x for _, x in self._quiet], axis=0)
            if (high_C - low_C).max() <= 2 * max_counts:
                self._held = self._last
                return gt3x.IDLE_BEGINS, False
        self._quiet = [*self._quiet[1 - IDLE_SECONDS :], (min_C, max_C)]
        self._last = samples_NC[-1].astype(np.int32)
        return 0, True

    def _info(self) -> str:
        start, end = gt3x.to_ticks(self._start_us), gt3x.to_ticks(self._end_us)
        values = {
            "Serial Number": serial(self._device),
            "Device Type": "wGT3XBT" if self._packed else "Link",
            "Firmware": ".".join(map(str, VERSION)),
            "Battery Voltage": "4.18",
            "Sample Rate": self.samples,
            "Start Date": start,
            "Stop Date": 0,
            "Last Sample Time": end,
            "TimeZone": UTC_OFFSET,
            "Download Date": end,
            "Board Revision": 8,
            "Unexpected Resets": 0,
            "Acceleration Scale": f"{COUNTS_PER_G:.1f}",
            "Acceleration Min": f"{-RANGE_G:.1f}",
            "Acceleration Max": f"{RANGE_G:.1f}",
            "Limb": self._limb,
            "Side": self._side,
            "Dominance": "Non-Dominant" if self._side == "Left" else "Dominant",
            "Subject Name": self._name,
        }
        return "".join(f"{name}: {value}\r\n" for name, value in values.items())

    def _metadata(self) -> list[dict[str, str | bool]]:
        return [
            {"MetadataType": "Bio", "SubjectName": self._name, "Limb": self._limb, "Side": self._side},
            {"MetadataType": "LocalTimeLog", "UtcOffset": UTC_OFFSET, "UsedUtc": False},
        ]

    def _parameters(self) -> bytes:
        major, minor, build = VERSION
        values = {
            gt3x.FIRMWARE: major << 24 | minor << 16 | build,
            gt3x.ACCEL_SCALE: gt3x.encode_float(COUNTS_PER_G),
            gt3x.FEATURES: gt3x.IDLE_SLEEP if self._device.idle_sleep else 0,
            gt3x.SAMPLE_RATE: self.samples,
            gt3x.START_TIME: self._start_us // 1_000_000,
            gt3x.STOP_TIME: 0,
        }
        return b"".join(struct.pack("<HHI", *key, value) for key, value in values.items())


def serial(device: Device) -> str:
    """Return a serial number in the form of the device's model."""
    return f"{'MOS2D' if device.packing != 'unpacked' else 'TAS1D'}{device.serial:08d}"


def record(kind: int, second: int, payload: bytes) -> bytes:
    """Return one record."""
    body = struct.pack("<BBIH", gt3x.SEPARATOR, kind, second, len(payload)) + payload
    return body + bytes([gt3x.checksum(body)])


def activity(counts_SNC: NDArray[np.int16], second_S: NDArray[np.int64], packed: bool) -> NDArray[np.uint8]:
    """Return records of samples, one per row for S seconds of N samples: ACTIVITY where packed, else ACTIVITY2."""
    seconds = len(counts_SNC)
    payload_SB = pack_12_bits(counts_SNC) if packed else counts_SNC.astype("<i2").reshape(seconds, -1).view(np.uint8)
    head_S = np.zeros(seconds, dtype=[("separator", "u1"), ("kind", "u1"), ("second", "<u4"), ("length", "<u2")])
    head_S["separator"], head_S["kind"] = gt3x.SEPARATOR, gt3x.ACTIVITY if packed else gt3x.ACTIVITY2
    head_S["second"], head_S["length"] = second_S, payload_SB.shape[1]
    body_SB = np.concatenate((head_S.view(np.uint8).reshape(seconds, gt3x.HEAD_BYTES), payload_SB), axis=1)
    return np.concatenate((body_SB, ~np.bitwise_xor.reduce(body_SB, axis=1, keepdims=True)), axis=1)


def pack_12_bits(counts_SNC: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Pack rows of samples in the order y, x, z, 12 bits each, highest first; four zero bits pad an odd number."""
    word_SV = counts_SNC[:, :, [1, 0, 2]].reshape(len(counts_SNC), -1).astype(np.uint16)
    half_SH = np.stack([word_SV >> shift & 0xF for shift in (8, 4, 0)], axis=2).reshape(len(word_SV), -1)
    half_SH = np.pad(half_SH.astype(np.uint8), ((0, 0), (0, half_SH.shape[1] % 2)))
    packed: NDArray[np.uint8] = half_SH[:, ::2] << 4 | half_SH[:, 1::2]
    return packed


def _entry(name: Literal["info.txt", "log.bin"], moment: tuple[int, ...]) -> zipfile.ZipInfo:
    year, month, day, hour, minute, second = moment
    entry = zipfile.ZipInfo(name, (max(year, 1980), month, day, hour, minute, second))
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
