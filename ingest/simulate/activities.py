"""How each activity moves the arm: one function per activity draws the movement of an interval.

The numbers were tuned against real recordings (docs/simulator.md): motion of a second, spectrum, asymmetry in time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ingest.simulate.diary import Activity, Bout
from ingest.simulate.movement import (
    CHANNELS,
    CONTROL_HZ,
    ELBOW,
    FORWARD,
    GESTURE,
    HARMONICS,
    ROLL,
    SHOULDER,
    SIDE,
    TURN,
    UP,
    Movement,
    Rhythm,
    constant,
    gestures,
    harmonics_of,
    skewed_cycle,
    wander,
)
from ingest.simulate.population import Person

Array = NDArray[np.float64]

HANGING = np.array([0.08, 0.25, -1.5, 0.0])
ON_DESK = np.array([0.55, 1.0, 0.1, 0.0])
IN_LAP = np.array([0.25, 0.95, -0.6, 0.2])
ON_ARMREST = np.array([0.1, 1.35, -0.9, 0.1])
AT_FACE = np.array([0.7, 1.9, -1.9, 0.3])
HOLDING = np.array([0.4, 1.5, 1.1, 0.2])
AT_WORKTOP = np.array([0.45, 0.9, 0.0, 0.0])
ABOVE = np.array([1.6, 0.5, 0.4, 0.1])
BELOW = np.array([0.6, 0.1, -0.8, 0.0])
HANDLEBAR = np.array([0.8, 0.35, 0.1, 0.0])

CELSIUS = {
    Activity.SLEEP: 33.0,
    Activity.SITTING: 30.5,
    Activity.STANDING: 30.0,
    Activity.WALKING: 28.0,
    Activity.RUNNING: 29.0,
    Activity.STAIRS: 30.0,
    Activity.HOUSEWORK: 30.5,
    Activity.REACHING: 30.0,
    Activity.CYCLING: 25.5,
    Activity.NON_WEAR: 21.0,
}
"""The temperature that the device approaches."""


def draw(bout: Bout, person: Person, rng: np.random.Generator) -> Movement:
    """Draw a person's movement during a bout."""
    skew = float(np.clip(0.7 * person.asymmetry + rng.normal(0, 0.3), -0.9, 0.9))
    movement = _DRAW[bout.activity](bout, person, rng, skew)
    if person.tremor_hz and bout.activity in (Activity.SITTING, Activity.STANDING):
        level = _bursts(rng, bout.duration_s, 0.4, 0.012, 30.0)
        movement = replace(movement, tremor=level, tremor_hz=person.tremor_hz)
    return replace(movement, arm_m=person.arm_m, seed=int(rng.integers(1, 2**63)))


def _bursts(
    rng: np.random.Generator, duration_s: float, share: float, level: float, length_s: float
) -> NDArray[np.float32]:
    """Return a control that is on for `share` of the time, `length_s` at a time, with log-normal strength."""
    on = wander(rng, duration_s, 1.0, length_s) > ndtri(1 - share)
    return (level * np.exp(wander(rng, duration_s, 0.5, length_s)) * on).astype(np.float32)


def _sleep(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    postures = np.stack([rng.normal((0.3, 1.2, 0.0, 0.0), (0.5, 0.5, 1.2, 0.8)) for _ in range(5)])
    turns = gestures(
        rng,
        bout.duration_s,
        pause_s=200 / person.restlessness,
        spread=1.1,
        flurry=0.6,
        length_s=(0.9, 0.5),
        skew=skew,
        anchors=postures,
        scatter=(0.1, 0.15, 0.3, 0.2),
        stay=0.6,
        continued=bout.continued,
    )
    return Movement(bout.duration_s, turns)


def _sitting(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    duration = bout.duration_s
    manner = rng.choice(("still", "desk", "phone", "meal"), p=(0.45, 0.33, 0.12, 0.10))
    anchors, pause, share, level = {
        "still": (np.stack((IN_LAP, ON_ARMREST, IN_LAP, HOLDING, AT_FACE)), 18.0, 0.3, 0.004),
        "desk": (np.stack((ON_DESK, ON_DESK, ON_DESK, ON_ARMREST, AT_FACE)), 10.0, 0.5, 0.012),
        "phone": (np.stack((HOLDING, HOLDING, IN_LAP)), 11.0, 0.5, 0.012),
        "meal": (np.stack((ON_DESK, AT_FACE)), 3.0, 0.5, 0.025),
    }[manner]
    own = rng.normal(0, (0.15, 0.2, 0.4, 0.2))
    moves = gestures(
        rng,
        duration,
        pause_s=pause / person.restlessness,
        spread=1.2,
        flurry=0.35,
        length_s=(0.75 / person.vigour, 0.4),
        skew=skew,
        anchors=anchors + own,
        scatter=(0.03, 0.05, 0.12, 0.06),
        stay=0.85,
        returning=manner == "meal",
        continued=bout.continued,
    )
    return Movement(
        duration, moves, sway=_bursts(rng, duration, share, level * person.vigour, 6.0), sway_hz=rng.uniform(0.8, 2.5)
    )


def _standing(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    own = rng.normal(0, (0.08, 0.15, 0.3, 0.1))
    moves = gestures(
        rng,
        bout.duration_s,
        pause_s=7.0 / person.restlessness,
        spread=1.1,
        flurry=0.35,
        length_s=(0.8 / person.vigour, 0.4),
        skew=skew,
        anchors=np.stack((HANGING, HANGING, HOLDING, AT_WORKTOP, AT_FACE)) + own,
        scatter=(0.06, 0.1, 0.2, 0.1),
        stay=0.75,
    )
    level = 0.009 * np.exp(wander(rng, bout.duration_s, 0.8, 8.0)) * person.vigour
    return Movement(bout.duration_s, moves, sway=level.astype(np.float32), sway_hz=rng.uniform(0.6, 1.2))


def _pose(pose: Array) -> NDArray[np.void]:
    """Return one gesture into a pose that is then held."""
    made = np.zeros(1, dtype=GESTURE)
    made["length_s"], made["pose"] = 0.7, pose
    return made


def _strides(
    rng: np.random.Generator, duration_s: float, strides_per_s: float, stops_each_s: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cadence and strength of a gait, which drifts, stops now and then, and starts slowly."""
    drift = wander(rng, duration_s, 0.025, 6.0) + wander(rng, duration_s, 0.02, 60.0)
    strength = constant(duration_s, 1.0)
    at = rng.exponential(stops_each_s)
    while at < duration_s:
        pause = rng.uniform(1.0, 6.0)
        strength[int(at * CONTROL_HZ) : int((at + pause) * CONTROL_HZ)] = 0.0
        at += pause + rng.exponential(stops_each_s)
    seconds_on = _seconds_since(strength > 0)
    warm = 1 - 0.25 * np.exp(-seconds_on / 1.2)
    return (strides_per_s * (1 + drift) * warm).astype(np.float32), (strength * (0.6 + 0.4 * warm)).astype(np.float32)


def _seconds_since(on: NDArray[np.bool_]) -> Array:
    """Return the seconds since a control was last switched on."""
    index = np.arange(on.size)
    off = np.maximum.accumulate(np.where(on, -1, index))
    return (index - np.maximum(off, -1)) / CONTROL_HZ


def _gait(
    bout: Bout,
    person: Person,
    rng: np.random.Generator,
    skew: float,
    *,
    pose: Array,
    swing: float,
    elbow: float,
    bounce_g: float,
    jolt_g: float,
    stops_each_s: float,
) -> Movement:
    """Draw a gait: arm swing at stride rate, bounce of the body at step rate, and a jolt at every step."""
    shape = np.zeros((CHANNELS, HARMONICS, 2))
    arm = 0.4 * skew
    shape[SHOULDER] = swing * harmonics_of(skewed_cycle(arm))
    shape[ELBOW] = elbow * harmonics_of(skewed_cycle(arm, lead=rng.normal(-0.5, 0.3)))
    shape[ROLL] = 0.5 * swing * harmonics_of(skewed_cycle(-arm, lead=rng.normal(0.8, 0.5)))
    shape[TURN] = 0.2 * swing * harmonics_of(skewed_cycle(arm, lead=rng.normal(0.3, 0.4)))
    step = skewed_cycle(
        float(np.clip(skew + rng.normal(0, 0.3), -0.9, 0.9)), waves_per_cycle=2, lead=rng.normal(2.6, 0.4)
    )
    shape[UP] = bounce_g * harmonics_of(step + 0.15 * skewed_cycle(skew, lead=rng.uniform(0, 6.3)))
    shape[FORWARD] = 0.5 * bounce_g * harmonics_of(skewed_cycle(-skew, waves_per_cycle=2, lead=rng.normal(1.0, 0.4)))
    shape[SIDE] = 0.25 * bounce_g * harmonics_of(skewed_cycle(skew, lead=rng.uniform(0, 6.3)))
    shape *= np.exp(rng.normal(0, 0.2, shape.shape))
    roughness = 0.45 * bounce_g / np.arange(1, HARMONICS + 1)[:, None]
    shape[UP : SIDE + 1] += roughness * rng.standard_normal((3, HARMONICS, 2))
    cycle_hz, strength = _strides(rng, bout.duration_s, bout.cadence / 2, stops_each_s)
    own_side, loose = rng.uniform(1.0, 1.3), 0.1 * rng.lognormal(0.0, 0.5)
    return Movement(
        bout.duration_s,
        _pose(pose + rng.normal(0, (0.05, 0.1, 0.25, 0.05))),
        rhythm=Rhythm(
            cycle_hz=cycle_hz,
            strength=strength,
            harmonics=shape,
            jolt_g=(jolt_g * own_side, jolt_g / own_side),
            jolt_direction=(1.0, rng.normal(0.5, 0.3), rng.normal(0.0, 0.3)),
            jolt_s=rng.uniform(0.01, 0.05),
        ),
        sway=(loose * np.exp(wander(rng, bout.duration_s, 0.4, 5.0))).astype(np.float32),
        sway_hz=0.5,
        wobble_hz=person.wobble_hz,
    )


def _walking(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    pace = bout.cadence / 1.82
    free = rng.random() < 0.75
    return _gait(
        bout,
        person,
        rng,
        skew,
        pose=HANGING if free else HOLDING * (0.6, rng.uniform(0.5, 1.0), 1.0, 1.0),
        swing=person.swing * pace * (rng.uniform(0.8, 1.2) if free else rng.uniform(0.05, 0.3)),
        elbow=person.swing * 0.5 * (1.0 if free else 0.2),
        bounce_g=0.13 * pace,
        jolt_g=2.2 * person.impact_g * pace,
        stops_each_s=90.0,
    )


def _running(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    return _gait(
        bout,
        person,
        rng,
        skew,
        pose=np.array([0.0, 1.6, -0.9, 0.1]),
        swing=0.65 * person.swing,
        elbow=0.2,
        bounce_g=1.0 * person.vigour,
        jolt_g=4.5 * person.impact_g,
        stops_each_s=400.0,
    )


def _stairs(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    down = rng.random() < 0.5
    return _gait(
        bout,
        person,
        rng,
        skew,
        pose=HANGING if rng.random() < 0.7 else AT_WORKTOP,
        swing=person.swing * rng.uniform(0.4, 0.9),
        elbow=0.2,
        bounce_g=0.28 if down else 0.18,
        jolt_g=person.impact_g * (2.6 if down else 1.2),
        stops_each_s=60.0,
    )


def _housework(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    duration = bout.duration_s
    moves = gestures(
        rng,
        duration,
        pause_s=1.6 / person.vigour,
        spread=1.0,
        flurry=0.5,
        length_s=(0.8 / person.vigour, 0.4),
        skew=skew,
        anchors=np.stack((AT_WORKTOP, AT_WORKTOP, HOLDING, BELOW, ABOVE, HANGING)),
        scatter=(0.25, 0.3, 0.5, 0.4),
        stay=0.6,
    )
    shape = np.zeros((CHANNELS, HARMONICS, 2))
    strokes = rng.uniform(1.0, 3.2)
    size = person.vigour * rng.uniform(0.1, 0.25) / strokes**1.5
    for joint, share in ((SHOULDER, 1.0), (ELBOW, rng.uniform(0.3, 1.2)), (ROLL, 0.8), (TURN, rng.uniform(0.2, 1.0))):
        shape[joint] = share * size * harmonics_of(skewed_cycle(0.5 * skew, lead=rng.uniform(0, 6.3)))
    rhythm = Rhythm(
        cycle_hz=(strokes * (1 + wander(rng, duration, 0.08, 4.0))).astype(np.float32),
        strength=np.minimum(_bursts(rng, duration, 0.25, 0.8, 8.0), 1.0),
        harmonics=shape,
    )
    level = 0.04 * np.exp(wander(rng, duration, 0.6, 5.0)) * person.vigour
    return Movement(
        duration, moves, rhythm=rhythm, sway=level.astype(np.float32), sway_hz=1.2, wobble_hz=person.wobble_hz
    )


def _reaching(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    moves = gestures(
        rng,
        bout.duration_s,
        pause_s=0.9 / person.vigour,
        spread=0.6,
        flurry=0.2,
        length_s=(0.75 / person.vigour, 0.25),
        skew=skew,
        anchors=np.stack((AT_WORKTOP, ABOVE, ABOVE, BELOW)),
        scatter=(0.2, 0.2, 0.3, 0.3),
        returning=True,
    )
    level = 0.02 * person.vigour
    return Movement(
        bout.duration_s, moves, sway=constant(bout.duration_s, level), sway_hz=1.0, wobble_hz=person.wobble_hz
    )


def _cycling(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    duration = bout.duration_s
    shape = np.zeros((CHANNELS, HARMONICS, 2))
    shape[SHOULDER] = 0.02 * harmonics_of(skewed_cycle(skew))
    shape[SIDE] = 0.06 * harmonics_of(skewed_cycle(skew, lead=rng.uniform(0, 6.3)))
    shape[UP] = 0.03 * harmonics_of(skewed_cycle(skew, waves_per_cycle=2))
    rhythm = Rhythm(
        cycle_hz=(bout.cadence * (1 + wander(rng, duration, 0.06, 10.0))).astype(np.float32),
        strength=(wander(rng, duration, 1.0, 15.0) > -0.8).astype(np.float32),
        harmonics=shape,
    )
    road = rng.uniform(0.04, 0.10) * np.exp(wander(rng, duration, 0.5, 12.0) + wander(rng, duration, 0.4, 1.0))
    stopped = wander(rng, duration, 1.0, 20.0) > 1.5
    return Movement(
        duration,
        _pose(HANDLEBAR + rng.normal(0, (0.1, 0.1, 0.2, 0.05))),
        rhythm=rhythm,
        sway=constant(duration, 0.015),
        sway_hz=0.7,
        shaking=(road * ~stopped).astype(np.float32),
        wobble_hz=rng.uniform(12, 20),
        wobble_damping=0.5,
    )


def _non_wear(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    lying = np.array([np.pi / 2, 0.0, rng.choice((0.0, np.pi, np.pi / 2)), 0.0]) + rng.normal(0, 0.03, 4)
    return Movement(bout.duration_s, _pose(lying)[bout.continued :])


_DRAW: dict[Activity, Callable[[Bout, Person, np.random.Generator, float], Movement]] = {
    Activity.SLEEP: _sleep,
    Activity.SITTING: _sitting,
    Activity.STANDING: _standing,
    Activity.WALKING: _walking,
    Activity.RUNNING: _running,
    Activity.STAIRS: _stairs,
    Activity.HOUSEWORK: _housework,
    Activity.REACHING: _reaching,
    Activity.CYCLING: _cycling,
    Activity.NON_WEAR: _non_wear,
}
