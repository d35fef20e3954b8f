"""Simulate one recording, hour by hour: diary, movement, acceleration, sensor, file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ingest.simulate.actigraph_file import ActigraphFile
from ingest.simulate.activities import CELSIUS, draw
from ingest.simulate.arm import resting, wrist_acceleration
from ingest.simulate.axivity_file import CwaFile, SampleClock
from ingest.simulate.diary import DAY_S, Activity, Bout, free_living, overlay, scripted
from ingest.simulate.file_writer import FileWriter, Pieces
from ingest.simulate.geneactiv_file import GeneactivFile
from ingest.simulate.places import movement_at
from ingest.simulate.population import (
    PLACES,
    Device,
    DeviceClock,
    Kind,
    Packing,
    Person,
    Place,
    device,
    location_of,
    person,
)
from ingest.simulate.sensor import Sensor, mounting
from ingest.simulate.streams import StreamPurpose, number_of_device, stream

MAX_INTERVAL_S = 3_600.0
"""Longest interval that is simulated at once; bounds the memory."""
FIRST_DAY = np.datetime64("2024-03-04")
LIGHT_AT_NIGHT, LIGHT_BY_DAY = 60.0, 380.0
TRUE_TIME = DeviceClock()
SUFFIX: dict[Kind, str] = {"axivity": ".cwa", "actigraph": ".gt3x", "geneactiv": ".bin"}


@dataclass(frozen=True)
class Faults:
    """Faults of a recording; none by default."""

    gaps: tuple[tuple[float, float], ...] = ()
    """Begin and end in seconds since the start: pieces (blocks, records, pages) stamped between them are omitted."""
    bad_checksums: tuple[int, ...] = ()
    """Numbers of pieces with one wrong byte in their samples."""
    garbage: tuple[int, ...] = ()
    """Numbers of pieces that are random bytes."""
    cut_bytes: int = 0
    """Bytes cut off the end of the file."""


NO_FAULTS = Faults()


@dataclass(frozen=True)
class SimulatedRecording:
    """The truth about a simulated recording."""

    participant: str
    person: Person
    device: Device
    start: np.datetime64
    """Microseconds, true time."""
    bouts: list[Bout] = field(repr=False)
    """What the person did, tiling the recording, also during gaps. True seconds since the start."""
    faults: Faults
    """By the seconds of the device's clock."""
    place: Place = "wrist"
    shown: DeviceClock = TRUE_TIME
    """The device's clock."""

    def device_time(self, true_s: float) -> np.datetime64:
        """Return what the device's clock shows after so many seconds, in microseconds."""
        return self.start + np.timedelta64(round((self.shown.offset_s + self.shown.seconds(true_s)) * 1e6), "us")


def name_of(participant: int) -> str:
    """Return P0001 for 1."""
    return f"P{participant:04d}"


def plan(
    seed: int,
    participant: int,
    *,
    days: float = 2.0,
    start: np.datetime64 | None = None,
    script: Sequence[tuple[Activity | str, float]] | None = None,
    faults: Faults | None = None,
    packing: Packing | None = None,
    kind: Kind = "axivity",
    nominal_hz: float | None = None,
    idle_sleep: bool | None = None,
    place: Place = "wrist",
    shown: DeviceClock = TRUE_TIME,
) -> SimulatedRecording:
    """Draw everything about a recording but its samples; arguments as in `simulate_recording`."""
    who, what = person(seed, participant), device(seed, participant, kind, nominal_hz, place)
    what = replace(what, packing=packing or what.packing)
    if idle_sleep is not None:
        what = replace(what, idle_sleep=idle_sleep)
    rng = stream(seed, participant, StreamPurpose.DIARY)
    if start is None:
        start = FIRST_DAY + np.timedelta64(int(rng.integers(0, 365)), "D")
        start = start + np.timedelta64(int(rng.integers(8 * 60, 12 * 60)), "m")
    start = start.astype("datetime64[us]" if kind == "axivity" else "datetime64[s]").astype("datetime64[us]")
    of_day_s = (start - start.astype("datetime64[D]")).astype(np.int64) / 1e6
    if script is not None:
        bouts = scripted(who, [(Activity(activity), seconds) for activity, seconds in script], rng)
    else:
        bouts = free_living(who, of_day_s, days * DAY_S, rng)
    faults = (
        _faults(what, bouts[-1].end_s, stream(seed, _number(participant, place), StreamPurpose.FAULT))
        if faults is None
        else faults
    )
    return SimulatedRecording(name_of(participant), who, what, start, bouts, faults, place, shown)


def _number(participant: int, place: Place) -> int:
    return number_of_device(participant, PLACES.index(place))


def truth(recording: SimulatedRecording) -> list[Bout]:
    """Return the bouts as the file shows them: gaps replace what was done."""
    bouts = recording.bouts
    for start_s, end_s in recording.faults.gaps:
        bouts = overlay(bouts, start_s, end_s, Activity.GAP)
    return bouts


def _faults(device: Device, duration_s: float, rng: np.random.Generator) -> Faults:
    """Draw the faults of a recording by this device; recordings under half a day have none."""
    if duration_s < DAY_S / 2:
        return NO_FAULTS
    each = {"axivity": 120.0, "actigraph": device.rate_hz, "geneactiv": 300.0}[device.kind]
    blocks = int(duration_s * device.rate_hz / each) - 1
    begin = rng.uniform(0.1, 0.9) * duration_s
    damaged = rng.choice(blocks, size=int(rng.integers(2, 5)), replace=False)
    return Faults(
        gaps=((begin, begin + rng.uniform(120, 1500)),) if device.has_gap else (),
        bad_checksums=tuple(int(block) for block in damaged[1:]) if device.has_damage else (),
        garbage=(int(damaged[0]),) if device.has_damage else (),
    )


def simulate_recording(
    path: Path,
    seed: int,
    participant: int,
    *,
    days: float = 2.0,
    start: np.datetime64 | None = None,
    script: Sequence[tuple[Activity | str, float]] | None = None,
    faults: Faults | None = None,
    packing: Packing | None = None,
    kind: Kind = "axivity",
    nominal_hz: float | None = None,
    idle_sleep: bool | None = None,
    place: Place = "wrist",
    shown: DeviceClock = TRUE_TIME,
    on_progress: Callable[[float], None] = lambda seconds: None,
) -> SimulatedRecording:
    """Write one recording, by default an Axivity .cwa file, and return the truth about it.

    The same arguments give the same bytes.

    path: the file, written atomically. participant: a number from 1; person, device and traits follow from it and
    `seed`. days: length of a free-living recording in days of 24 hours; 1 / 24 is an hour. start: first true
    instant (default: 08:00 to 12:00 of a day from the seed). script: instead of free living, consecutive
    activities (names as in `Activity`) and their seconds: `[("walking", 60), ("non-wear", 7200)]`. faults: instead of
    the device's own (which recordings under half a day never have): `Faults()` for
        none, `Faults(gaps=((600, 900),), garbage=(3,), bad_checksums=(7,), cut_bytes=100)` for some.
    packing: instead of the device's own way to write samples, see `Packing`.
    kind, nominal_hz: the maker of the device, and its rate instead of a usual one. Recordings of makers other than
        Axivity begin on a full second.
    idle_sleep: whether an ActiGraph stores nothing while it does not move, instead of the device's own setting.
    place, shown: where the device is worn, and its clock. Recordings of one participant with the same arguments but
        these show the same movement.
    on_progress: called with the seconds of recording made since the last call.
    """
    recording = plan(
        seed,
        participant,
        days=days,
        start=start,
        script=script,
        faults=faults,
        packing=packing,
        kind=kind,
        nominal_hz=nominal_hz,
        idle_sleep=idle_sleep,
        place=place,
        shown=shown,
    )
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            _write(file, recording, seed, participant, on_progress)
            file.truncate(max(0, file.seek(0, os.SEEK_END) - recording.faults.cut_bytes))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return recording


def _write(
    file: BinaryIO, recording: SimulatedRecording, seed: int, participant: int, on_progress: Callable[[float], None]
) -> None:
    who, what, bouts, place = recording.person, recording.device, recording.bouts, recording.place
    number_here, shown = _number(participant, place), recording.shown
    noise, damage = (stream(seed, number_here, purpose, 1) for purpose in (StreamPurpose.NOISE, StreamPurpose.FAULT))
    session = int(noise.integers(1, 2**31))
    phase = float(noise.uniform(0, 2 * np.pi))
    clock = SampleClock(what.rate_hz, phase) if what.kind == "axivity" else SampleClock(what.rate_hz, phase, 0.0)
    sensor = Sensor(what, noise, celsius=CELSIUS[bouts[0].activity] - 3.0)
    writer = _writer(recording, session, clock, noise)
    arm = resting()
    with writer.opened(file) as write:
        for number, interval in enumerate(_intervals(bouts)):
            first, last = (clock.index(shown.seconds(second)) for second in (interval.start_s, interval.end_s))
            step_s = interval.duration_s / max(last - first, 1)
            rng = stream(seed, participant, StreamPurpose.MOVEMENT, number)
            wearing = stream(seed, number_here, StreamPurpose.DEVICE, 1 + interval.wearing)
            mount = mounting(who, interval.wearing, wearing, place)
            movement = draw(interval, who, rng)
            if place != "wrist":
                rng = stream(seed, number_here, StreamPurpose.MOVEMENT, number)
                movement = movement_at(place, movement, interval, who, rng)
            accel_NC = wrist_acceleration(movement, last - first, step_s, arm)
            counts, celsius = sensor.counts(accel_NC, mount, CELSIUS[interval.activity] + rng.normal(0, 1.0), step_s)
            made = writer.add(counts, celsius, _light(recording.start, interval))
            write(_spoil(made, recording.faults, damage))
            on_progress(interval.duration_s)


def _writer(recording: SimulatedRecording, session: int, clock: SampleClock, noise: np.random.Generator) -> FileWriter:
    """Return the writer for the file of this recording's device."""
    device, location = recording.device, location_of(recording.person, recording.place)
    start, end = recording.device_time(0.0), recording.device_time(recording.bouts[-1].end_s)
    if device.kind == "actigraph":
        return ActigraphFile(device, recording.participant, location, start, end)
    if device.kind == "geneactiv":
        return GeneactivFile(device, recording.participant, location, start, end, clock)
    return CwaFile(device, location, start, end, session, clock, noise)


def _intervals(bouts: Sequence[Bout]) -> list[Bout]:
    """Split long bouts into equal parts."""
    parts = []
    for bout in bouts:
        count = int(np.ceil(bout.duration_s / MAX_INTERVAL_S))
        edges = np.linspace(bout.start_s, bout.end_s, count + 1)
        parts += [
            replace(bout, start_s=float(a), end_s=float(b), continued=bool(a > bout.start_s))
            for a, b in pairwise(edges)
        ]
    return parts


def _light(start: np.datetime64, interval: Bout) -> float:
    """Return the raw light reading: dark in sleep, bright around noon."""
    of_day_s = (start - start.astype("datetime64[D]")).astype(np.int64) / 1e6 + interval.start_s
    if interval.activity == Activity.SLEEP:
        return LIGHT_AT_NIGHT
    height = max(0.0, float(np.sin(2 * np.pi * (of_day_s / DAY_S - 0.25))))
    return LIGHT_AT_NIGHT + 150 + (LIGHT_BY_DAY - LIGHT_AT_NIGHT - 150) * height


def _spoil(pieces: Pieces, faults: Faults, rng: np.random.Generator) -> bytes:
    """Apply faults to pieces: damage some, and omit those in a gap."""
    keep_K = np.ones(len(pieces.bytes_K), dtype=bool)
    for start_s, end_s in faults.gaps:
        keep_K &= (pieces.second_K < start_s) | (pieces.second_K >= end_s)
    bytes_K = pieces.bytes_K
    for k in np.flatnonzero(np.isin(pieces.number_K, faults.bad_checksums)):
        spoilt = bytearray(bytes_K[k])
        spoilt[len(spoilt) // 2] ^= 0x5A
        bytes_K[k] = bytes(spoilt)
    for k in np.flatnonzero(np.isin(pieces.number_K, faults.garbage)):
        bytes_K[k] = rng.integers(0, 256, len(bytes_K[k]), dtype=np.uint8).tobytes()
    return b"".join(piece for piece, kept in zip(bytes_K, keep_K, strict=True) if kept)
