"""The arrow of time: movements rise faster than they settle, in everybody, as in real people (docs/simulator.md)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from ingest.simulate.activities import MANNERS, USUAL, draw
from ingest.simulate.arm import resting, wrist_acceleration
from ingest.simulate.diary import Activity, scripted
from ingest.simulate.movement import GESTURE, JOINTS, Movement, gestures
from ingest.simulate.population import person
from ingest.simulate.streams import StreamPurpose, stream

HZ, WATCH_HZ, SECONDS = 100, 20, 60
PEOPLE = range(1, 25)


def magnitude(number: int, activity: Activity, manner: str) -> NDArray[np.float64]:
    """The length of the acceleration in g, at the rate of a watch."""
    who, rng = person(0, number), stream(0, number, StreamPurpose.MOVEMENT)
    (bout,) = scripted(who, [(activity, SECONDS)], rng)
    accel_NC = wrist_acceleration(draw(bout, who, rng, manner), SECONDS * HZ, 1 / HZ, resting())
    return np.linalg.norm(resample_poly(accel_NC[2 * HZ :], WATCH_HZ, HZ, axis=0, padtype="line"), axis=1)


def skewness(x: NDArray[np.float64]) -> float:
    """Of the first differences: positive where `x` rises faster than it falls, and negated when it runs backwards."""
    step = np.diff(x)
    return float((step**3).mean() / (step**2).mean() ** 1.5)


@pytest.mark.parametrize(
    ("activity", "manner", "least", "most"),
    [
        (Activity.RUNNING, USUAL, 0.8, 1.0),
        (Activity.STAIRS, USUAL, 0.75, 1.0),
        (Activity.HOUSEWORK, "pounding", 0.85, 1.0),
        (Activity.HOUSEWORK, "brushing", 0.75, 1.0),
        (Activity.HOUSEWORK, "tidying", 0.75, 1.0),
        (Activity.REACHING, USUAL, 0.75, 1.0),
        (Activity.WALKING, USUAL, 0.35, 0.85),
    ],
)
def test_magnitude_rises_faster_than_it_falls_in_most_people(
    activity: Activity, manner: str, least: float, most: float
) -> None:
    """In nearly all people where impacts are strong, in half of them in walking: as in real people."""
    rising = np.mean([skewness(magnitude(number, activity, manner)) > 0 for number in PEOPLE])
    assert least <= rising <= most


def touching(contact_g: float, wobble_hz: float, settle_s: float) -> Movement:
    """A gesture of a second without a path, and what the hand touches at its end."""
    touch = np.zeros(1, dtype=GESTURE)
    touch["length_s"], touch["pose"], touch["contact_g"] = 1.0, resting().pose, (contact_g, 0.0, 0.0)
    return Movement(3.0, touch, wobble_hz=wobble_hz, settle_s=settle_s)


@settings(max_examples=40)
@given(st.floats(0.05, 4.0), st.floats(8.0, 20.0), st.floats(0.03, 0.08), st.sampled_from([30.0, 50.0, 100.0, 97.3]))
def test_an_impact_rises_at_once_and_rings_out(contact_g: float, wobble_hz: float, settle_s: float, hz: float) -> None:
    samples = int(3 * hz)
    accel_NC = wrist_acceleration(touching(contact_g, wobble_hz, settle_s), samples, 1 / hz, resting())
    moved = np.linalg.norm(accel_NC - accel_NC[0], axis=1)
    begin = int(np.ceil(hz))
    assert moved[:begin].max() < 1e-6
    peak = int(moved.argmax())
    assert peak - begin <= 1 + 0.5 / wobble_hz * hz
    assert 0.5 * contact_g < moved[peak] < 2 * contact_g
    assert moved[peak] == pytest.approx(moved[: begin + int(5 * settle_s * hz)].max())
    assert moved[begin + int(12 * settle_s * hz) :].max() < 0.01 * contact_g


@settings(max_examples=20)
@given(st.floats(0.05, 4.0), st.floats(8.0, 20.0), st.floats(0.03, 0.08))
def test_an_impact_rises_faster_than_it_falls(contact_g: float, wobble_hz: float, settle_s: float) -> None:
    accel_NC = wrist_acceleration(touching(contact_g, wobble_hz, settle_s), 3 * HZ, 1 / HZ, resting())
    assert skewness(np.linalg.norm(accel_NC - accel_NC[0], axis=1)) > 0.2


@pytest.mark.parametrize("activity", [Activity.SLEEP, Activity.NON_WEAR])
def test_rest_has_no_impacts(activity: Activity) -> None:
    for number in PEOPLE:
        who, rng = person(0, number), np.random.default_rng(number)
        (bout,) = scripted(who, [(activity, 3600)], rng)
        assert not draw(bout, who, rng).gestures["contact_g"].any()


def test_contacts_end_some_gestures_and_push_upward() -> None:
    made = gestures(
        np.random.default_rng(0),
        3600.0,
        pause_s=1.0,
        spread=0.5,
        flurry=0.0,
        length_s=(0.7, 0.3),
        skew=0.3,
        anchors=np.zeros((2, JOINTS)),
        scatter=(0.1, 0.1, 0.1, 0.1),
        contact_g=0.5,
    )["contact_g"]
    touches = made.any(axis=1)
    assert touches.mean() == pytest.approx(2 / 3, abs=0.05)
    assert np.median(made[touches, 0]) == pytest.approx(0.5, rel=0.15)
    assert (made[touches, 0] > 0).mean() > 0.95


def test_the_chances_of_manners_sum_to_one() -> None:
    for manners in MANNERS.values():
        assert sum(often for often, _ in manners.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("manner", list(MANNERS[Activity.HOUSEWORK]))
def test_a_manner_can_be_asked_for(manner: str) -> None:
    who = person(0, 1)
    (bout,) = scripted(who, [(Activity.HOUSEWORK, 60)], np.random.default_rng(0))
    made = draw(bout, who, np.random.default_rng(1), manner)
    other = draw(
        bout, who, np.random.default_rng(1), next(name for name in MANNERS[Activity.HOUSEWORK] if name != manner)
    )
    assert made.rhythm is not None
    assert other.rhythm is not None
    assert not np.array_equal(made.rhythm.harmonics, other.rhythm.harmonics)
