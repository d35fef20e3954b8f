"""The arm: compared with a pendulum in plain NumPy, quiet when still, smooth from bout to bout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ingest.simulate.activities import draw
from ingest.simulate.arm import resting, wrist_acceleration
from ingest.simulate.diary import Activity, Bout
from ingest.simulate.movement import (
    CHANNELS,
    GESTURE,
    HARMONICS,
    JOINTS,
    SHOULDER,
    Movement,
    Rhythm,
    constant,
    gestures,
    harmonics_of,
    skewed_cycle,
)
from ingest.simulate.population import person

ACTIVITIES = [activity for activity in Activity if activity != Activity.GAP]
CADENCE = {Activity.WALKING: 1.8, Activity.RUNNING: 2.7, Activity.STAIRS: 1.6, Activity.CYCLING: 1.2}
HZ = 100


def simulate(activity: Any, seconds: Any, participant: int = 1, seed: int = 0, arm: Any = None) -> Any:
    bout = Bout(0.0, seconds, activity, CADENCE.get(activity, 0.0))
    movement = draw(bout, person(0, participant), np.random.default_rng(seed))
    return wrist_acceleration(movement, int(seconds * HZ), 1 / HZ, arm or resting())


def test_a_swinging_arm_is_a_pendulum() -> None:
    """Along the arm: gravity and centripetal force; across: gravity and tangential force."""
    amplitude, hertz, seconds, arm_m = 0.4, 0.9, 20.0, 0.6
    shape = np.zeros((CHANNELS, HARMONICS, 2))
    shape[SHOULDER, 0, 0] = amplitude
    hang = np.zeros(1, dtype=GESTURE)
    hang["length_s"] = 1.0
    rhythm = Rhythm(constant(seconds, hertz), constant(seconds, 1.0), shape)
    accel_NC = wrist_acceleration(Movement(seconds, hang, rhythm=rhythm, arm_m=arm_m), 2000, 1 / HZ, resting())[
        800:1800
    ]
    seconds_t = np.arange(len(accel_NC)) / HZ
    angle = amplitude * np.cos(2 * np.pi * hertz * seconds_t)
    speed = -amplitude * 2 * np.pi * hertz * np.sin(2 * np.pi * hertz * seconds_t)
    along = np.cos(angle) + arm_m * speed**2 / 9.80665
    across = np.sin(angle) - arm_m * (2 * np.pi * hertz) ** 2 * angle / 9.80665

    def sizes(signal: Any, cycles: Any) -> Any:
        turns = np.exp(-2j * np.pi * hertz * seconds_t[:, None] * np.array(cycles))
        return np.abs(turns.T @ (signal - signal.mean())) * 2 / len(signal)

    assert sizes(-accel_NC[:, 0].astype(float), [2]) == pytest.approx(sizes(along, [2]), rel=0.05)
    assert sizes(accel_NC[:, 2].astype(float), [1]) == pytest.approx(sizes(across, [1]), rel=0.1)
    assert accel_NC[:, 0].mean() == pytest.approx(-along.mean(), abs=0.01)


def test_a_still_arm_measures_gravity_alone() -> None:
    accel_NC = simulate(Activity.NON_WEAR, 60.0)[200:]
    assert np.allclose(np.linalg.norm(accel_NC, axis=1), 1.0, atol=1e-6)
    assert np.all(accel_NC == accel_NC[0])


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_attitude_dominates_over_a_minute(activity: Any) -> None:
    """The mean square of acceleration is at least that of gravity, and plausible for a person."""
    accel_NC = simulate(activity, 120.0)
    assert np.all(np.isfinite(accel_NC))
    assert 0.95 < np.mean(accel_NC.astype(float) ** 2) * 3 < 12


@pytest.mark.parametrize("seed", range(6))
def test_nothing_jumps_from_bout_to_bout(seed: Any) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.repeat(np.array(ACTIVITIES, dtype=object), 4))
    arm = resting()
    lengths = rng.uniform(2, 15, len(order))
    accel_NC = [simulate(a, s, 1 + seed, int(rng.integers(10**6)), arm) for a, s in zip(order, lengths, strict=True)]
    edges = np.cumsum([len(part) for part in accel_NC])[:-1]
    joined = np.concatenate(accel_NC)
    jumps = np.linalg.norm(np.diff(joined, axis=0), axis=1)
    around_edges = np.concatenate([jumps[edge - 3 : edge + 3] for edge in edges])
    assert np.linalg.norm(joined, axis=1).max() < 16
    assert around_edges.max() < 1.0


def test_walking_shows_stride_and_step() -> None:
    """In the median over people: some carry something and hardly swing their arm."""
    bout = Bout(0.0, 120.0, Activity.WALKING, 1.8)
    shares = []
    for participant in range(1, 13):
        who = replace(person(0, participant), swing=0.4)
        accel_NC = wrist_acceleration(draw(bout, who, np.random.default_rng(participant)), 12_000, 1 / HZ, resting())
        power = (np.abs(np.fft.rfft(accel_NC - accel_NC.mean(axis=0), axis=0)) ** 2).sum(axis=1)
        hertz = np.fft.rfftfreq(len(accel_NC), 1 / HZ)
        bands = ((0.75, 1.05), (1.6, 2.0), (1.1, 1.4))
        shares.append([power[(hertz > low) & (hertz < high)].sum() / power[hertz > 0.3].sum() for low, high in bands])
    stride, step, between = np.median(shares, axis=0)
    assert stride + step > 0.4
    assert stride > 3 * between
    assert step > 3 * between


def test_skew_makes_rise_and_fall_differ_and_reverses_with_its_sign() -> None:
    def skewness(wave: Any) -> Any:
        step = np.diff(wave, append=wave[:1])
        return (step**3).mean() / (step**2).mean() ** 1.5

    for skew in (0.2, 0.5, 0.9):
        wave = skewed_cycle(skew)
        back = (harmonics_of(wave) @ np.array([1, 0])).sum()
        assert abs(back - wave[0] + wave.mean()) < 0.1
        assert np.sign(skewness(wave)) == -np.sign(skewness(skewed_cycle(-skew)))
        assert abs(skewness(wave)) > 0.1
    assert abs(skewness(skewed_cycle(0.0))) < 1e-9


def test_harmonics_rebuild_the_cycle() -> None:
    phase = 2 * np.pi * np.arange(256) / 256
    wave = 0.3 * np.cos(phase) - 0.2 * np.sin(3 * phase)
    shape = harmonics_of(wave)
    order = np.arange(1, HARMONICS + 1)[:, None]
    rebuilt = (shape[:, :1] * np.cos(order * phase) + shape[:, 1:] * np.sin(order * phase)).sum(axis=0)
    assert np.allclose(rebuilt, wave)


@pytest.mark.parametrize("continued", [False, True])
def test_gestures_follow_each_other_and_end_in_time(continued: bool) -> None:
    made = gestures(
        np.random.default_rng(0),
        600.0,
        pause_s=3.0,
        spread=1.0,
        flurry=0.4,
        length_s=(0.7, 0.4),
        skew=0.3,
        anchors=np.zeros((2, JOINTS)),
        scatter=(0.1, 0.1, 0.1, 0.1),
        continued=continued,
    )
    ends = made["start_s"] + made["length_s"]
    assert len(made) > 50
    assert np.all(made["start_s"][1:] >= ends[:-1])
    assert ends[-1] < 600.0
    assert (made["start_s"][0] == 0) is not continued
