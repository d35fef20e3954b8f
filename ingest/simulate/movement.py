"""The parts of a movement during an interval, as numbers that `arm` turns into acceleration.

A movement is a sum of gestures (from pose to pose, some of which end in a contact), a rhythm (a cycle with harmonics
and the jolts of its steps), sway (slow random wandering of the joints), shaking (fast random acceleration from outside)
and a tremor. An activity is a way to draw these.

Contacts and jolts are impacts: their force rises at once and decays, in everybody. That is the arrow of time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

CONTROL_HZ = 10
"""Rate of the slowly changing quantities, called controls; `arm` smooths them."""

SHOULDER, ELBOW, ROLL, TURN = range(4)
"""Joints, radians: flexion of shoulder and elbow (0: the arm hangs), roll of the forearm, turn of the arm's plane."""
JOINTS = 4
UP, FORWARD, SIDE = range(4, 7)
"""Channels of a rhythm after the joints: acceleration of the body in g."""
CHANNELS = 7
HARMONICS = 6
MIN_GESTURE_S, MAX_GESTURE_S = 0.4, 6.0
"""Seconds that a gesture of one radian takes."""
END_S = 0.1
"""Every gesture ends at least this long before its interval, so that the arm arrives."""

GESTURE = np.dtype(
    [("start_s", "f8"), ("length_s", "f8"), ("skew", "f8"), ("pose", "f8", JOINTS), ("contact_g", "f8", 3)]
)
"""`contact_g`: up, forward and side, the impact of the hand at the gesture's end; 0 where it touches nothing."""


def control_points(duration_s: float) -> int:
    """Return the number of control values for an interval."""
    return int(duration_s * CONTROL_HZ) + 2


def constant(duration_s: float, value: float) -> NDArray[np.float32]:
    """Return a constant control."""
    return np.full(control_points(duration_s), value, dtype=np.float32)


def wander(rng: np.random.Generator, duration_s: float, sd: float, time_constant_s: float) -> NDArray[np.float32]:
    """Return a control that wanders about 0: an Ornstein-Uhlenbeck process with this SD and time constant."""
    memory = np.exp(-1 / (time_constant_s * CONTROL_HZ))
    drive = rng.standard_normal(control_points(duration_s)) * sd * np.sqrt(1 - memory**2)
    drive[0] = sd * rng.standard_normal()
    return lfilter([1.0], [1.0, -memory], drive).astype(np.float32)


@dataclass(frozen=True)
class Rhythm:
    """A cycle: its frequency and strength in time, its shape, and the jolts of its two halves."""

    cycle_hz: NDArray[np.float32]
    """Control."""
    strength: NDArray[np.float32]
    """Control, 0 to 1; `arm` fades it in and out within half a second."""
    harmonics: NDArray[np.float64]
    """(CHANNELS, HARMONICS, 2): cosine and sine coefficients; radians for joints, g for the body."""
    jolt_g: tuple[float, float] = (0.0, 0.0)
    """Height of the jolt at the start of either half of the cycle."""
    jolt_direction: tuple[float, float, float] = (1.0, 0.0, 0.0)
    """Up, forward, side."""


@dataclass(frozen=True)
class Movement:
    """The movement of one interval; None and 0 mean that a part is missing."""

    duration_s: float
    gestures: NDArray[np.void]
    rhythm: Rhythm | None = None
    sway: NDArray[np.float32] | None = None
    """Control: SD of the joints' wandering, radians."""
    sway_hz: float = 1.0
    shaking: NDArray[np.float32] | None = None
    """Control: SD of outside acceleration, g."""
    tremor: NDArray[np.float32] | None = None
    """Control: amplitude in radians."""
    tremor_hz: float = 0.0
    wobble_hz: float = 10.0
    """Frequency at which soft tissue and strap ring after an impact."""
    settle_s: float = 0.05
    """Time constant with which the force of an impact and its ringing decay."""
    arm_m: float = 0.55
    seed: int = field(default=1)
    """Seed of the fast noise; not 0."""


def harmonics_of(wave: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cosine and sine coefficients (HARMONICS, 2) of one cycle given by its values, without its mean."""
    spectrum = np.fft.rfft(wave)[1 : HARMONICS + 1] * 2 / wave.size
    return np.stack((spectrum.real, -spectrum.imag), axis=-1)


def skewed_cycle(skew: float, waves_per_cycle: int = 1, lead: float = 0.0) -> NDArray[np.float64]:
    """Return a cycle of a cosine (256 values) that rises faster than it falls for a positive skew (-1 to 1).

    The cycle holds `waves_per_cycle` waves, shifted forward by `lead` radians of the wave.
    """
    phase = waves_per_cycle * 2 * np.pi * np.arange(256) / 256 + lead
    return np.cos(phase + skew * np.cos(phase))


def gestures(
    rng: np.random.Generator,
    duration_s: float,
    *,
    pause_s: float,
    spread: float,
    flurry: float,
    length_s: tuple[float, float],
    skew: float,
    anchors: NDArray[np.float64],
    scatter: tuple[float, float, float, float],
    contact_g: float = 0.0,
    stay: float = 0.0,
    returning: bool = False,
    continued: bool = False,
) -> NDArray[np.void]:
    """Draw gestures (dtype GESTURE) for an interval; the first begins at once, unless the interval is `continued`.

    A pause is log-normal (median `pause_s`, sigma `spread`), or with probability `flurry` under a second. A gesture
    takes a log-normal time (median and sigma in `length_s`) times the root of its path in radians. It ends near one of
    `anchors` (poses, one per row; the same as before with probability `stay`), with a normal `scatter` for each joint.
    `returning`: every second gesture goes back to the first anchor. Two thirds of the gestures end in a contact: an
    impact of log-normal height (median `contact_g`), mostly upward.
    """
    expected = duration_s / (pause_s * np.exp(spread**2 / 2) * (1 - flurry) + 0.4 * flurry + length_s[0])
    count = int(2 * expected + 20)
    pause = rng.lognormal(np.log(pause_s), spread, count)
    in_flurry = rng.random(count) < flurry
    pause[in_flurry] = rng.uniform(0.05, 0.8, int(in_flurry.sum()))
    pause[0] *= continued
    changes = (rng.random(count) >= stay).cumsum()
    anchor = rng.integers(len(anchors), size=count + 1)[changes]
    if returning:
        anchor[::2] = 0
    pose = anchors[anchor] + rng.standard_normal((count, JOINTS)) * scatter
    way = np.linalg.norm(np.diff(pose, axis=0, prepend=pose[:1] + 1.5), axis=1)
    length = np.clip(rng.lognormal(np.log(length_s[0]), length_s[1], count), MIN_GESTURE_S, MAX_GESTURE_S) * np.sqrt(
        way
    )
    made = np.zeros(count, dtype=GESTURE)
    made["start_s"] = np.cumsum(pause) + np.concatenate(([0.0], np.cumsum(length)[:-1]))
    made["length_s"] = length
    made["skew"] = np.clip(skew + rng.normal(0, 0.25, count), -0.9, 0.9)
    made["pose"] = pose
    height_g = contact_g * rng.lognormal(0.0, 0.6, count) * (rng.random(count) < 2 / 3)
    made["contact_g"] = height_g[:, None] * ((1.0, 0.0, 0.0) + 0.4 * rng.standard_normal((count, 3)))
    return made[made["start_s"] + made["length_s"] < duration_s - END_S]
