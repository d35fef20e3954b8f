"""Simulated people: body and habits of a person, and the devices that they wear, each drawn once from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ingest.simulate.streams import StreamPurpose, is_one_in, number_of_device, stream

Packing = Literal["packed, 8 g step", "packed, finest step", "unpacked"]
"""How an Axivity writes samples: 10 bits with the exponent of its range (real +-8 g files), 10 bits with the
smallest exponent that holds the three axes, or int16. An ActiGraph writes int16 (a Link) or 12 bits (a wGT3X-BT)."""

Place = Literal["wrist", "hip", "other wrist"]
"""Where on the body a device is worn."""

PLACES: tuple[Place, ...] = ("wrist", "hip", "other wrist")
"""The places of a person's first, second and third device."""

Kind = Literal["axivity", "actigraph", "geneactiv"]
"""The maker of a device."""

RATES_HZ: dict[Kind, dict[float, float]] = {
    "axivity": {100: 100},
    "actigraph": {30: 30, 50: 50, 80: 80, 100: 100},
    "geneactiv": {50: 50, 60: 60, 75: 75, 85.7: 600 / 7, 100: 100},
}
"""Usual rates as in the file's header, and the exact rates that these are rounded from."""


class Trait(IntEnum):
    """A trait of one in so many participants, whatever the size of the population."""

    TREMOR = 0
    RUNNER = 1
    CYCLIST = 2
    NON_WEAR = 3
    STRAP_FLIP = 4
    GAP = 5
    DAMAGE = 6
    FINEST_STEP = 7
    UNPACKED = 8
    RIGHT_WRIST = 9
    IDLE_SLEEP = 11


ONE_IN = {
    Trait.TREMOR: 6,
    Trait.RUNNER: 3,
    Trait.CYCLIST: 3,
    Trait.NON_WEAR: 2,
    Trait.STRAP_FLIP: 5,
    Trait.GAP: 4,
    Trait.DAMAGE: 3,
    Trait.FINEST_STEP: 3,
    Trait.UNPACKED: 7,
    Trait.RIGHT_WRIST: 3,
    Trait.IDLE_SLEEP: 2,
}


@dataclass(frozen=True)
class Person:
    """A body and its habits. Angles in radians, lengths in metres, times in hours of the day."""

    wrist: Literal["left", "right"]
    arm_m: float
    walking_steps_per_s: float
    running_steps_per_s: float
    swing: float
    """Amplitude of the arm swing in walking."""
    impact_g: float
    """Height of the jolt that a walking step sends to the wrist."""
    wobble_hz: float
    """Frequency at which soft tissue and strap ring after an impact."""
    settle_s: float
    """Time constant with which an impact and its ringing decay."""
    vigour: float
    """Factor on the size and pace of every voluntary movement."""
    restlessness: float
    """Factor on how often something moves in rest and sleep."""
    asymmetry: float
    """0 to 1: how much faster movements begin than they end; bouts scatter around it."""
    tremor_hz: float
    """0 for none."""
    wake_h: float
    bed_h: float
    works_at_desk: bool
    runs: bool
    cycles: bool
    takes_device_off: bool
    flips_strap: bool


@dataclass(frozen=True)
class DeviceClock:
    """A clock that is wrong: what it shows is `seconds(true seconds)`, both since the recording's true start."""

    offset_s: float = 0.0
    drift_ppm: float = 0.0

    def seconds(self, true_s: float) -> float:
        """Return what passes on this clock in so many true seconds."""
        return true_s * (1 + self.drift_ppm / 1e6)


@dataclass(frozen=True)
class Device:
    """A device as it was built: it reports gain * true + offset + drift * (celsius - 25), in g."""

    kind: Kind
    serial: int
    nominal_hz: float
    rate_hz: float
    """True rate by its own clock."""
    gain_C: NDArray[np.float64]
    offset_C: NDArray[np.float64]
    drift_C: NDArray[np.float64]
    """g per degree Celsius."""
    noise_g: float
    """White noise of each axis; slower, coloured noise is added to it."""
    packing: Packing
    idle_sleep: bool
    """An ActiGraph's setting: store nothing while the device does not move."""
    has_gap: bool
    has_damage: bool


def person(seed: int, participant: int) -> Person:
    """Draw the person with this number."""
    rng = stream(seed, participant, StreamPurpose.PERSON)
    has = {trait: is_one_in(every, seed, participant, trait) for trait, every in ONE_IN.items()}
    return Person(
        wrist="right" if has[Trait.RIGHT_WRIST] else "left",
        arm_m=rng.normal(0.55, 0.03),
        walking_steps_per_s=float(np.clip(rng.normal(1.82, 0.12), 1.5, 2.15)),
        running_steps_per_s=float(np.clip(rng.normal(2.7, 0.12), 2.4, 3.0)),
        swing=float(np.clip(rng.normal(0.32, 0.08), 0.15, 0.6)),
        impact_g=float(np.exp(rng.normal(np.log(0.4), 0.3))),
        wobble_hz=rng.uniform(8.0, 20.0),
        vigour=float(np.exp(rng.normal(0.0, 0.18))),
        restlessness=float(np.exp(rng.normal(0.0, 0.3))),
        asymmetry=rng.uniform(0.2, 0.8),
        tremor_hz=rng.uniform(4.2, 6.5) if has[Trait.TREMOR] else 0.0,
        wake_h=float(np.clip(rng.normal(6.9, 0.6), 5.5, 8.0)),
        bed_h=float(np.clip(rng.normal(23.0, 0.6), 21.8, 24.3)),
        works_at_desk=bool(rng.random() < 0.55),
        settle_s=rng.uniform(0.03, 0.08),
        runs=has[Trait.RUNNER],
        cycles=has[Trait.CYCLIST],
        takes_device_off=has[Trait.NON_WEAR],
        flips_strap=has[Trait.STRAP_FLIP],
    )


def location_of(person: Person, place: Place) -> str:
    """Return what a file says of the place, such as "left wrist"."""
    other = "left" if person.wrist == "right" else "right"
    return {"wrist": f"{person.wrist} wrist", "hip": "right hip", "other wrist": f"{other} wrist"}[place]


def device_clock(seed: int, participant: int, place: Place, kind: Kind) -> DeviceClock:
    """Draw the clock of one of several devices: seconds from true time, and parts per million too fast or slow.

    Makers other than Axivity begin on a full second, so theirs are whole seconds from true time at the start.
    """
    rng = stream(seed, number_of_device(participant, PLACES.index(place)), StreamPurpose.CLOCK)
    offset_s, drift_ppm = rng.normal(0.0, 4.0), float(np.clip(rng.normal(0.0, 8.0), -30.0, 30.0))
    return DeviceClock(round(offset_s, 6 if kind == "axivity" else 0), drift_ppm)


def device(
    seed: int, participant: int, kind: Kind = "axivity", nominal_hz: float | None = None, place: Place = "wrist"
) -> Device:
    """Draw the device that this participant wears at a place, by default at one of the usual rates."""
    participant = number_of_device(participant, PLACES.index(place))
    rng = stream(seed, participant, StreamPurpose.DEVICE)
    has = {trait: is_one_in(every, seed, participant, trait) for trait, every in ONE_IN.items()}
    packing: Packing = "packed, 8 g step"
    if has[Trait.UNPACKED]:
        packing = "unpacked"
    elif has[Trait.FINEST_STEP]:
        packing = "packed, finest step"
    model = stream(seed, participant, StreamPurpose.MODEL)
    usual_hz = float(model.choice(list(RATES_HZ[kind])))
    if kind != "axivity":
        packing = "unpacked" if kind == "actigraph" and model.random() < 0.5 else "packed, finest step"
    serial, axivity_hz = int(rng.integers(1_000, 32_767)), rng.uniform(97.2, 102.8)
    nominal_hz = nominal_hz or usual_hz
    return Device(
        kind=kind,
        serial=serial,
        nominal_hz=nominal_hz,
        rate_hz=axivity_hz if kind == "axivity" else RATES_HZ[kind].get(nominal_hz, nominal_hz),
        gain_C=1.0 + np.clip(rng.normal(0.0, 0.025, 3), -0.06, 0.06),
        offset_C=np.clip(rng.normal(0.0, 0.035, 3), -0.09, 0.09),
        drift_C=rng.normal(0.0, 0.0008, 3),
        noise_g=rng.uniform(0.0025, 0.0040),
        packing=packing,
        idle_sleep=kind == "actigraph" and has[Trait.IDLE_SLEEP],
        has_gap=has[Trait.GAP],
        has_damage=has[Trait.DAMAGE],
    )
