"""How a movement shows at other places of the body than the wrist: the hip and the other wrist.

All devices of a person share the diary, gait with its jolts, and the shaking of the road. The hip shows the trunk: its
posture, which follows the arms a little, but no gestures, strokes or contacts of the hands. The other arm swings half a
cycle later, and its gestures are its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ingest.simulate.activities import draw
from ingest.simulate.diary import Activity, Bout
from ingest.simulate.movement import (
    ELBOW,
    HARMONICS,
    ROLL,
    SHOULDER,
    SIDE,
    UP,
    Movement,
    Rhythm,
)
from ingest.simulate.population import Person, Place

LEAN = 0.07
"""How far the trunk follows an arm, as a share of the joint's angle."""
PITCH = {Activity.SLEEP: np.pi / 2, Activity.CYCLING: 0.6, Activity.SITTING: 0.25}
"""Angle of the trunk in radians; upright in other activities."""


def movement_at(place: Place, movement: Movement, bout: Bout, person: Person, rng: np.random.Generator) -> Movement:
    """Return the movement at a place, from that of the wrist during a bout; `rng` is the place's own."""
    if place == "wrist" or bout.activity == Activity.NON_WEAR:
        return movement
    return _hip(movement, bout, rng) if place == "hip" else _other_wrist(movement, bout, person, rng)


def _is_of_the_body(rhythm: Rhythm | None) -> bool:
    """Whether a rhythm moves the whole body, as gait and cycling do, and not only a hand."""
    return rhythm is not None and bool(rhythm.harmonics[UP : SIDE + 1].any())


def _hip(movement: Movement, bout: Bout, rng: np.random.Generator) -> Movement:
    """An arm without length: joint angles are attitudes of the trunk, and only the body's channels accelerate it."""
    turns = movement.gestures.copy()
    share = 0.8 if bout.activity == Activity.SLEEP else LEAN
    turns["pose"] = 0.0
    turns["pose"][:, SHOULDER] = PITCH.get(bout.activity, 0.05) + LEAN * movement.gestures["pose"][:, SHOULDER]
    turns["pose"][:, ROLL] = share * movement.gestures["pose"][:, ROLL]
    turns["contact_g"] *= 0.03
    rhythm = movement.rhythm if _is_of_the_body(movement.rhythm) else None
    if rhythm is not None:
        shape = rhythm.harmonics.copy()
        shape[:UP] *= LEAN
        shape[ELBOW] = 0.0
        rhythm = replace(rhythm, harmonics=shape)
    return replace(
        movement,
        gestures=turns,
        rhythm=rhythm,
        sway=None if movement.sway is None else 0.1 * movement.sway,
        shaking=None if movement.shaking is None else 0.7 * movement.shaking,
        tremor=None,
        wobble_hz=rng.uniform(10.0, 20.0),
        settle_s=0.03,
        arm_m=0.0,
        seed=int(rng.integers(1, 2**63)),
    )


def _other_wrist(movement: Movement, bout: Bout, person: Person, rng: np.random.Generator) -> Movement:
    own = draw(bout, person, rng)
    rhythm = movement.rhythm
    if rhythm is None or not _is_of_the_body(rhythm):
        return own
    shape = rhythm.harmonics.copy()
    shape[:UP] *= (-1.0) ** np.arange(1, HARMONICS + 1)[:, None]
    return replace(own, rhythm=replace(rhythm, harmonics=shape), shaking=movement.shaking)
