"""How each activity moves the arm: one function per manner of doing it draws the movement of an interval.

The numbers were tuned against real recordings (docs/simulator.md): motion of a second, spectrum, asymmetry in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

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


def draw(bout: Bout, person: Person, rng: np.random.Generator, manner: str | None = None) -> Movement:
    """Draw a person's movement during a bout.

    manner: one of those in `MANNERS` for the bout's activity; without it, one is drawn.
    """
    skew = float(np.clip(0.7 * person.asymmetry + rng.normal(0, 0.15), 0.0, 0.9))
    manners = MANNERS[bout.activity]
    if manner is None:
        manner = str(rng.choice(list(manners), p=[often for often, _ in manners.values()]))
    movement = manners[manner][1](bout, person, rng, skew)
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


def _sitting(
    bout: Bout,
    person: Person,
    rng: np.random.Generator,
    skew: float,
    *,
    anchors: tuple[Array, ...],
    pause_s: float,
    sway_share: float,
    sway: float,
    contact_g: float,
    returning: bool = False,
) -> Movement:
    """Draw a seat: gestures between anchors, and sway (radians) for a share of the time."""
    own = rng.normal(0, (0.15, 0.2, 0.4, 0.2))
    moves = gestures(
        rng,
        bout.duration_s,
        pause_s=pause_s / person.restlessness,
        spread=1.2,
        flurry=0.35,
        length_s=(0.75 / person.vigour, 0.4),
        skew=skew,
        anchors=np.stack(anchors) + own,
        scatter=(0.03, 0.05, 0.12, 0.06),
        contact_g=contact_g * person.vigour,
        stay=0.85,
        returning=returning,
        continued=bout.continued,
    )
    return Movement(
        bout.duration_s,
        moves,
        sway=_bursts(rng, bout.duration_s, sway_share, sway * person.vigour, 6.0),
        sway_hz=rng.uniform(0.8, 2.5),
        wobble_hz=person.wobble_hz,
        settle_s=person.settle_s,
    )


_still = partial(
    _sitting,
    anchors=(IN_LAP, ON_ARMREST, IN_LAP, HOLDING, AT_FACE),
    pause_s=18.0,
    sway_share=0.3,
    sway=0.006,
    contact_g=0.03,
)
_desk = partial(
    _sitting,
    anchors=(ON_DESK, ON_DESK, ON_DESK, ON_ARMREST, AT_FACE),
    pause_s=10.0,
    sway_share=0.5,
    sway=0.012,
    contact_g=0.05,
)
_phone = partial(_sitting, anchors=(HOLDING, HOLDING, IN_LAP), pause_s=11.0, sway_share=0.5, sway=0.012, contact_g=0.05)
_meal = partial(
    _sitting,
    anchors=(ON_DESK, AT_FACE),
    pause_s=3.0,
    sway_share=0.5,
    sway=0.014,
    contact_g=0.11,
    returning=True,
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
        contact_g=0.06 * person.vigour,
        stay=0.75,
    )
    level = 0.009 * np.exp(wander(rng, bout.duration_s, 0.8, 8.0)) * person.vigour
    return Movement(
        bout.duration_s,
        moves,
        sway=level.astype(np.float32),
        sway_hz=rng.uniform(0.6, 1.2),
        wobble_hz=person.wobble_hz,
        settle_s=person.settle_s,
    )


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
    peak: float,
    roughness: float,
    stops_each_s: float,
) -> Movement:
    """Draw a gait: arm swing at stride rate, bounce of the body at step rate, and a jolt at every step.

    The bounce is strongest at `peak`, a part of the step from 0 to 1; `roughness` is how much all of it varies by bout.
    """
    shape = np.zeros((CHANNELS, HARMONICS, 2))
    arm = 0.4 * skew
    shape[SHOULDER] = swing * harmonics_of(skewed_cycle(arm))
    shape[ELBOW] = elbow * harmonics_of(skewed_cycle(arm, lead=rng.normal(-0.5, 0.3)))
    shape[ROLL] = 0.5 * swing * harmonics_of(skewed_cycle(-arm, lead=rng.normal(0.8, 0.5)))
    shape[TURN] = 0.2 * swing * harmonics_of(skewed_cycle(arm, lead=rng.normal(0.3, 0.4)))
    step = skewed_cycle(skew, waves_per_cycle=2, lead=rng.normal(-2 * np.pi * peak, 0.3))
    shape[UP] = bounce_g * harmonics_of(step + 0.15 * skewed_cycle(skew, lead=rng.uniform(0, 6.3)))
    shape[FORWARD] = 0.5 * bounce_g * harmonics_of(skewed_cycle(-skew, waves_per_cycle=2, lead=rng.normal(1.0, 0.4)))
    shape[SIDE] = 0.25 * bounce_g * harmonics_of(skewed_cycle(skew, lead=rng.uniform(0, 6.3)))
    shape *= np.exp(rng.normal(0, 0.2, shape.shape))
    rough_g = roughness * bounce_g / np.arange(1, HARMONICS + 1)[:, None]
    shape[UP : SIDE + 1] += rough_g * rng.standard_normal((3, HARMONICS, 2))
    cycle_hz, strength = _strides(rng, bout.duration_s, bout.cadence / 2, stops_each_s)
    own_side, loose = rng.uniform(1.0, 1.3), 0.13 * rng.lognormal(0.0, 0.5)
    return Movement(
        bout.duration_s,
        _pose(pose + rng.normal(0, (0.05, 0.1, 0.25, 0.05))),
        rhythm=Rhythm(
            cycle_hz=cycle_hz,
            strength=strength,
            harmonics=shape,
            jolt_g=(jolt_g * own_side, jolt_g / own_side),
            jolt_direction=(1.0, rng.normal(0.5, 0.3), rng.normal(0.0, 0.3)),
        ),
        sway=(loose * np.exp(wander(rng, bout.duration_s, 0.4, 5.0))).astype(np.float32),
        sway_hz=0.5,
        wobble_hz=person.wobble_hz,
        settle_s=person.settle_s,
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
        swing=0.9 * person.swing * pace * (rng.uniform(0.8, 1.2) if free else rng.uniform(0.05, 0.3)),
        elbow=person.swing * 0.4 * (1.0 if free else 0.2),
        bounce_g=0.20 * pace,
        jolt_g=2.0 * person.impact_g * pace,
        peak=0.6,
        roughness=0.45,
        stops_each_s=90.0,
    )


def _running(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    return _gait(
        bout,
        person,
        rng,
        max(skew, 0.4),
        pose=np.array([0.0, 1.6, -0.9, 0.1]),
        swing=0.85 * person.swing,
        elbow=0.2,
        bounce_g=0.98 * person.vigour,
        jolt_g=3.2 * person.impact_g,
        peak=0.31,
        roughness=0.1,
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
        swing=person.swing * rng.uniform(0.45, 0.85),
        elbow=0.2,
        bounce_g=0.42 if down else 0.28,
        jolt_g=person.impact_g * (2.8 if down else 1.5),
        peak=0.4,
        roughness=0.25,
        stops_each_s=60.0,
    )


def _tidying(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    """Draw hands that take and put down: a short approach, the contact, and what it sets ringing."""
    moves = gestures(
        rng,
        bout.duration_s,
        pause_s=1.0 / person.vigour,
        spread=1.0,
        flurry=0.6,
        length_s=(0.7 / person.vigour, 0.4),
        skew=skew,
        anchors=np.stack((AT_WORKTOP, AT_WORKTOP, HOLDING, BELOW, ABOVE, HANGING)),
        scatter=(0.25, 0.3, 0.5, 0.4),
        contact_g=0.65 * person.vigour,
        stay=0.6,
    )
    hz = rng.uniform(1.0, 3.2)
    return _busy(bout, person, rng, moves, _wiping(bout, person, rng, skew, hz, rng.uniform(0.1, 0.25), share=0.2))


def _brushing(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    """Draw short strokes: brushing, wiping, stirring."""
    hz = rng.uniform(2.4, 4.4)
    strokes = _wiping(bout, person, rng, skew, hz, rng.uniform(0.03, 0.09), share=0.85)
    return _busy(bout, person, rng, _some_gestures(bout, person, rng, skew), strokes)


def _pounding(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    """Draw blows of the hand: chopping, kneading, bouncing a ball."""
    hz = rng.uniform(1.1, 1.8)
    blows = _strokes(
        bout,
        person,
        rng,
        skew,
        hz=hz,
        reach=rng.uniform(0.35, 0.7) / hz,
        joints={SHOULDER: 0.4, ELBOW: rng.uniform(0.5, 1.2), TURN: rng.uniform(0.0, 0.3)},
        lead=(2.3, 0.2),
        jolt_g=4.0,
        share=0.9,
    )
    return _busy(bout, person, rng, _some_gestures(bout, person, rng, skew), blows)


def _some_gestures(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> NDArray[np.void]:
    """Draw the gestures of hands that mostly stay in one place."""
    return gestures(
        rng,
        bout.duration_s,
        pause_s=8.0 / person.vigour,
        spread=1.0,
        flurry=0.3,
        length_s=(0.8 / person.vigour, 0.4),
        skew=skew,
        anchors=np.stack((AT_WORKTOP, HOLDING)) + rng.normal(0, (0.15, 0.2, 0.4, 0.2)),
        scatter=(0.05, 0.1, 0.2, 0.1),
        contact_g=0.3 * person.vigour,
        stay=0.9,
    )


def _wiping(
    bout: Bout, person: Person, rng: np.random.Generator, skew: float, hz: float, reach: float, share: float
) -> Rhythm:
    """Draw strokes on a surface: `reach` is that at 1 Hz, in radians."""
    return _strokes(
        bout,
        person,
        rng,
        skew,
        hz=hz,
        reach=reach / hz**1.5,
        joints={SHOULDER: 1.0, ELBOW: rng.uniform(0.3, 1.2), ROLL: 0.8, TURN: rng.uniform(0.2, 1.0)},
        lead=(np.pi, 0.6),
        jolt_g=0.1,
        share=share,
    )


def _strokes(
    bout: Bout,
    person: Person,
    rng: np.random.Generator,
    skew: float,
    *,
    hz: float,
    reach: float,
    joints: Mapping[int, float],
    lead: tuple[float, float],
    jolt_g: float,
    share: float,
) -> Rhythm:
    """Draw strokes for a share of the time: fast forth and down, a jolt, slow back.

    Joints swing by `reach` radians times their factor, with a phase of mean and SD `lead` after the jolt.
    """
    shape = np.zeros((CHANNELS, HARMONICS, 2))
    for joint, factor in joints.items():
        swing = skewed_cycle(-0.5 * skew, lead=rng.normal(*lead))
        shape[joint] = factor * reach * person.vigour * harmonics_of(swing)
    return Rhythm(
        cycle_hz=(hz * (1 + wander(rng, bout.duration_s, 0.08, 4.0))).astype(np.float32),
        strength=np.minimum(_bursts(rng, bout.duration_s, share, 0.85, 8.0), 1.0),
        harmonics=shape,
        jolt_g=(jolt_g * person.vigour, 0.1 * jolt_g * person.vigour),
        jolt_direction=(1.0, rng.normal(0.4, 0.25), rng.normal(0.0, 0.25)),
    )


def _busy(bout: Bout, person: Person, rng: np.random.Generator, moves: NDArray[np.void], rhythm: Rhythm) -> Movement:
    """Return hands at work: gestures, a rhythm for some of the time, and sway."""
    level = 0.04 * np.exp(wander(rng, bout.duration_s, 0.6, 5.0)) * person.vigour
    return Movement(
        bout.duration_s,
        moves,
        rhythm=rhythm,
        sway=level.astype(np.float32),
        sway_hz=1.2,
        wobble_hz=person.wobble_hz,
        settle_s=person.settle_s,
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
        contact_g=0.2 * person.vigour,
        returning=True,
    )
    level = 0.02 * person.vigour
    return Movement(
        bout.duration_s,
        moves,
        sway=constant(bout.duration_s, level),
        sway_hz=1.0,
        wobble_hz=person.wobble_hz,
        settle_s=person.settle_s,
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
        settle_s=0.02,
    )


def _non_wear(bout: Bout, person: Person, rng: np.random.Generator, skew: float) -> Movement:
    lying = np.array([np.pi / 2, 0.0, rng.choice((0.0, np.pi, np.pi / 2)), 0.0]) + rng.normal(0, 0.03, 4)
    return Movement(bout.duration_s, _pose(lying)[bout.continued :])


USUAL = "usual"
Draw = Callable[[Bout, Person, np.random.Generator, float], Movement]
MANNERS: dict[Activity, dict[str, tuple[float, Draw]]] = {
    Activity.SLEEP: {USUAL: (1.0, _sleep)},
    Activity.SITTING: {"still": (0.45, _still), "desk": (0.33, _desk), "phone": (0.12, _phone), "meal": (0.10, _meal)},
    Activity.STANDING: {USUAL: (1.0, _standing)},
    Activity.WALKING: {USUAL: (1.0, _walking)},
    Activity.RUNNING: {USUAL: (1.0, _running)},
    Activity.STAIRS: {USUAL: (1.0, _stairs)},
    Activity.HOUSEWORK: {"tidying": (0.6, _tidying), "brushing": (0.25, _brushing), "pounding": (0.15, _pounding)},
    Activity.REACHING: {USUAL: (1.0, _reaching)},
    Activity.CYCLING: {USUAL: (1.0, _cycling)},
    Activity.NON_WEAR: {USUAL: (1.0, _non_wear)},
}
"""The manners of doing each activity: how often each occurs (sum 1), and what draws its movement."""
