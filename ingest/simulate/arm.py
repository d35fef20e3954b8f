"""From a movement to the acceleration of the wrist: forward kinematics of an arm, sample by sample.

The arm is two equal links that hang from the shoulder. Joint angles give the wrist's position, and second differences
of the position its acceleration, so swing, centripetal force and timing are consistent. The forearm's attitude turns
that plus gravity into the axes of the device: x along the forearm to the hand, y across, z out of the back of the
wrist. Gestures are minimum-jerk movements (Flash & Hogan 1985, doi:10.1523/JNEUROSCI.05-07-01688.1985) with skewed
time, so that rise and fall differ. An impact is a force that begins at once and decays. Impacts and shaking pass
through a resonator: soft tissue and strap.

The state passes from one interval to the next, so that nothing jumps between bouts. While nothing moves the last value
is repeated, which is most of a night.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.simulate.movement import (
    CHANNELS,
    CONTROL_HZ,
    ELBOW,
    FORWARD,
    HARMONICS,
    JOINTS,
    ROLL,
    SHOULDER,
    SIDE,
    TURN,
    UP,
    Movement,
    constant,
)
from pipeline.numerics.jit import njit
from pipeline.units import STANDARD_GRAVITY

QUIET = 1e-8
"""Radians or g below which a part of the movement counts as still."""
STOP_S = 0.6
"""How long before an interval's end all but gestures begin to stop: the next interval starts from the last pose."""
FADE_S = 0.12
"""Time constant of each of the three smoothers in a row that follow a control."""
STRENGTH, SHAKING, TREMOR = range(3)
"""Rows of the smoothers that follow the controls."""


class ArmState(NamedTuple):
    """What one interval passes to the next; the compiled code writes into these arrays."""

    pose: NDArray[np.float64]
    """Joint angles after the last gesture."""
    wobble: NDArray[np.float64]
    """Two past values of the resonator on each of three world axes, and the force of impacts in g."""
    track: NDArray[np.float64]
    """Two past values of the wrist's distance, height and turn."""
    force: NDArray[np.float64]
    """The last acceleration on the device's axes, and the strength of its part that is not gravity."""


class _Controls(NamedTuple):
    """The controls of a movement, zeros for those that it lacks."""

    cycle_hz: NDArray[np.float32]
    strength: NDArray[np.float32]
    sway: NDArray[np.float32]
    shaking: NDArray[np.float32]
    tremor: NDArray[np.float32]


class _Constants(NamedTuple):
    """What stays the same during an interval: the rhythm's shape and the constants of the arm."""

    harmonics: NDArray[np.float64]
    jolt_g: NDArray[np.float64]
    jolt_direction: NDArray[np.float64]
    sway_hz: float
    tremor_hz: float
    wobble_hz: float
    settle_s: float
    link_m: float


def resting() -> ArmState:
    """An arm on a table."""
    return ArmState(
        pose=np.array([0.5, 1.1, 0.0, 0.0]),
        wobble=np.zeros((3, 3)),
        track=np.full((3, 2), np.nan),
        force=np.array([0.0, 0.0, 1.0, 0.0]),
    )


def wrist_acceleration(movement: Movement, samples: int, step_s: float, state: ArmState) -> NDArray[np.float32]:
    """Acceleration and gravity at the wrist in g, (samples, 3), every `step_s` seconds; updates `state`."""
    still = constant(movement.duration_s, 0.0)
    rhythm = movement.rhythm
    controls = _Controls(
        cycle_hz=still if rhythm is None else rhythm.cycle_hz,
        strength=still if rhythm is None else rhythm.strength,
        sway=still if movement.sway is None else movement.sway,
        shaking=still if movement.shaking is None else movement.shaking,
        tremor=still if movement.tremor is None else movement.tremor,
    )
    constants = _Constants(
        harmonics=np.zeros((CHANNELS, HARMONICS, 2)) if rhythm is None else rhythm.harmonics,
        jolt_g=np.array((0.0, 0.0) if rhythm is None else rhythm.jolt_g),
        jolt_direction=np.array((1.0, 0.0, 0.0) if rhythm is None else rhythm.jolt_direction),
        sway_hz=movement.sway_hz,
        tremor_hz=movement.tremor_hz,
        wobble_hz=movement.wobble_hz,
        settle_s=movement.settle_s,
        link_m=movement.arm_m / 2,
    )
    random = np.array([movement.seed], dtype=np.uint64)
    accel_NC = np.empty((samples, 3), dtype=np.float32)
    _simulate(accel_NC, step_s, np.ascontiguousarray(movement.gestures), controls, constants, random, state)
    return accel_NC


@njit(cache=True)
def _simulate(accel_NC, step_s, gestures, controls, constants, random, state):  # type: ignore[no-untyped-def]
    """Write the acceleration of every sample.

    Arrays are unpacked before the loop, and functions that are called for every sample are inlined: numba counts a
    reference for each array that a call or an attribute passes on, which took a third of the time.
    """
    rate_hz = 1 / step_s
    pose, wobble, track, force = state
    cycle_hz, strength, sway, shaking, tremor = controls
    harmonics, jolt_heights_g = constants.harmonics, constants.jolt_g
    jolt_direction, tremor_hz, link_m = constants.jolt_direction, constants.tremor_hz, constants.link_m
    fade_share = 1 - np.exp(-step_s / FADE_S)
    sway_share = 1 - np.exp(-step_s * 2 * np.pi * constants.sway_hz)
    sway_gain = 5 / np.sqrt(constants.sway_hz)  # held uniform noise through the smoothers has SD 0.2 sqrt(sway_hz)
    resonator = _resonator(constants, step_s)
    end_s = (accel_NC.shape[0] - 1) * step_s
    next_gesture, still_samples, previous_control, asleep = 0, 0, -1, False
    fades, sways, sway_target = np.zeros((3, 3)), np.zeros((JOINTS, 3)), np.zeros(JOINTS)
    phase, tremor_phase = 0.0, 0.0
    angle = pose.copy()
    wave = np.zeros(CHANNELS)
    for i in range(accel_NC.shape[0]):
        now = i * step_s
        control = int(now * CONTROL_HZ)
        if control != previous_control:
            asleep = (
                strength[control] == 0
                and shaking[control] == 0
                and tremor[control] == 0
                and sway[control] == 0
                and still_samples > 3
                and force[3] < 1e-4
                and (next_gesture >= gestures.size or gestures[next_gesture].start_s > (control + 1) / CONTROL_HZ)
            )
            for joint in range(JOINTS):
                sway_target[joint] = sway[control] * sway_gain * _uniform(random)
            previous_control = control
        if asleep:
            accel_NC[i, 0], accel_NC[i, 1], accel_NC[i, 2] = force[0], force[1], force[2]
            continue
        closing = _minimum_jerk(min(1.0, (end_s - now) / STOP_S))

        next_gesture, moving = _gesture(gestures, next_gesture, now, pose, angle, wobble)
        for joint in range(JOINTS):
            swayed = closing * _follow(sways, joint, sway_target[joint], sway_share)
            angle[joint] += swayed
            moving = moving or abs(swayed) > QUIET

        beat = closing * _follow(fades, STRENGTH, strength[control], fade_share)
        if beat > QUIET:
            before = phase
            phase += 2 * np.pi * cycle_hz[control] * step_s
            if jolt_heights_g[0] > 0 and int(phase / np.pi) != int(before / np.pi):
                half = int(phase / np.pi) % 2
                jolt_g = beat * jolt_heights_g[half] * (1 + 0.4 * _uniform(random))
                for axis in range(3):
                    wobble[axis, 2] += jolt_g * jolt_direction[axis]
            if phase > 200 * np.pi:
                phase -= 200 * np.pi
            _cycle(harmonics, phase, wave)
            for joint in range(JOINTS):
                angle[joint] += beat * wave[joint]
            moving = True

        shiver = closing * _follow(fades, TREMOR, tremor[control], fade_share)
        if shiver > QUIET:
            tremor_phase += 2 * np.pi * tremor_hz * (1 + 0.3 * _uniform(random)) * step_s
            tremor_phase %= 2 * np.pi
            angle[ROLL] += shiver * np.sin(tremor_phase)
            angle[ELBOW] += 0.4 * shiver * np.sin(tremor_phase + 0.7)
            moving = True

        shake = closing * _follow(fades, SHAKING, shaking[control], fade_share)
        if shake > QUIET:
            moving = True
        still_samples = 0 if moving else still_samples + 1

        fore = angle[SHOULDER] + angle[ELBOW]
        sin_fore, cos_fore = np.sin(fore), np.cos(fore)
        out = link_m * (np.sin(angle[SHOULDER]) + sin_fore)
        height = -link_m * (np.cos(angle[SHOULDER]) + cos_fore)
        up, forward, side = _linear_acceleration(out, height, angle[TURN], rate_hz, track)
        up += beat * wave[UP]
        forward += beat * wave[FORWARD]
        side += beat * wave[SIDE]
        linear = abs(forward) + abs(side) + abs(up)
        noise = 0.08 * linear + 1.7 * shake
        ringing = _ring(noise, random, resonator, wobble)
        up += wobble[0, 0]
        forward += wobble[1, 0]
        side += wobble[2, 0]
        _device_axes(sin_fore, cos_fore, angle[ROLL], up, forward, side, force)
        force[3] = linear + ringing
        accel_NC[i, 0], accel_NC[i, 1], accel_NC[i, 2] = force[0], force[1], force[2]


@njit(cache=True, inline="always")
def _gesture(gestures, number, now, pose, angle, wobble):  # type: ignore[no-untyped-def]
    """Set the joint angles by the gestures at a time; returns the next gesture to end, and whether one moves the arm.

    `pose` is that after the last gesture that ended; its contact is added to the force in `wobble`.
    """
    moving = False
    while number < gestures.size and now >= gestures[number].start_s + gestures[number].length_s:
        for joint in range(JOINTS):
            pose[joint] = gestures[number].pose[joint]
        for axis in range(3):
            wobble[axis, 2] += gestures[number].contact_g[axis]
        number += 1
        moving = True
    for joint in range(JOINTS):
        angle[joint] = pose[joint]
    if number < gestures.size and now > gestures[number].start_s:
        part = (now - gestures[number].start_s) / gestures[number].length_s
        part += gestures[number].skew * part * (1 - part)
        done = _minimum_jerk(part)
        for joint in range(JOINTS):
            angle[joint] += done * (gestures[number].pose[joint] - pose[joint])
        moving = True
    return number, moving


@njit(cache=True)
def _minimum_jerk(part):  # type: ignore[no-untyped-def]
    """The share of a path that is covered after a share (0 to 1) of its time."""
    return part * part * part * (10 + part * (6 * part - 15))


@njit(cache=True)
def _uniform(random):  # type: ignore[no-untyped-def]
    """The next number of an xorshift64* generator (Vigna 2016), uniform in (-1, 1); `random` is its state."""
    x = random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    random[0] = x
    return np.int64(x * np.uint64(2685821657736338717)) * 2.0**-63


@njit(cache=True)
def _follow(smoothers, row, target, share):  # type: ignore[no-untyped-def]
    """Move three smoothers in a row (`row` of `smoothers`) towards `target` by a share; returns their output."""
    first = smoothers[row, 0] + share * (target - smoothers[row, 0])
    second = smoothers[row, 1] + share * (first - smoothers[row, 1])
    third = smoothers[row, 2] + share * (second - smoothers[row, 2])
    smoothers[row, 0], smoothers[row, 1], smoothers[row, 2] = first, second, third
    return third


@njit(cache=True)
def _cycle(harmonics, phase, wave):  # type: ignore[no-untyped-def]
    """Write the channels of a rhythm at a phase into `wave`; harmonics follow by the angle sum."""
    cosine, sine = np.cos(phase), np.sin(phase)
    c, s = cosine, sine
    wave[:] = 0.0
    for k in range(HARMONICS):
        for channel in range(CHANNELS):
            wave[channel] += harmonics[channel, k, 0] * c + harmonics[channel, k, 1] * s
        c, s = c * cosine - s * sine, s * cosine + c * sine


@njit(cache=True, inline="always")
def _linear_acceleration(out, height, turn, rate_hz, track):  # type: ignore[no-untyped-def]
    """Acceleration of the wrist up, forward and to the side in g, by second differences of its place.

    `out` is its distance from the body in metres; `track` is updated.
    """
    if track[0, 0] != track[0, 0]:  # NaN: the first sample
        track[0, :], track[1, :], track[2, :] = out, height, turn
    out_speed = (out - track[0, 1]) * rate_hz / 2
    turn_speed = (turn - track[2, 1]) * rate_hz / 2
    out_pull = (out - 2 * track[0, 0] + track[0, 1]) * rate_hz * rate_hz
    up_pull = (height - 2 * track[1, 0] + track[1, 1]) * rate_hz * rate_hz
    turn_pull = (turn - 2 * track[2, 0] + track[2, 1]) * rate_hz * rate_hz
    track[0, 1], track[1, 1], track[2, 1] = track[0, 0], track[1, 0], track[2, 0]
    track[0, 0], track[1, 0], track[2, 0] = out, height, turn
    forward = (out_pull - out * turn_speed * turn_speed) / STANDARD_GRAVITY
    side = (out * turn_pull + 2 * out_speed * turn_speed) / STANDARD_GRAVITY
    return up_pull / STANDARD_GRAVITY, forward, side


@njit(cache=True)
def _resonator(constants, step_s):  # type: ignore[no-untyped-def]
    """Coefficients of the resonator: of its last value, of the one before, of shaking; and the decay of a force.

    It follows a constant force exactly. It rings at a quarter of the sample rate at most: nearer to half of it, an
    impact's first sample would overshoot.
    """
    decay = np.exp(-step_s / constants.settle_s)
    turn = 2 * np.pi * min(constants.wobble_hz * step_s, 0.25)
    return 2 * decay * np.cos(turn), -decay * decay, 1.3 * np.sin(turn), decay


@njit(cache=True, inline="always")
def _ring(noise, random, resonator, wobble):  # type: ignore[no-untyped-def]
    """Drive the resonator by the force of impacts and by noise; returns the sum of all magnitudes."""
    last, one_before, drive, decay = resonator
    gain = 1 - last - one_before
    total = 0.0
    for axis in range(3):
        push = gain * wobble[axis, 2] + drive * noise * _uniform(random)
        value = last * wobble[axis, 0] + one_before * wobble[axis, 1] + push
        total += abs(value) + abs(wobble[axis, 0]) + abs(wobble[axis, 2])
        wobble[axis, 1], wobble[axis, 0] = wobble[axis, 0], value
        wobble[axis, 2] *= decay
    return total


@njit(cache=True, inline="always")
def _device_axes(sin_fore, cos_fore, roll, up, forward, side, force):  # type: ignore[no-untyped-def]
    """Write acceleration and gravity on the device's axes into `force`."""
    sin_roll, cos_roll = np.sin(roll), np.cos(roll)
    over = forward * cos_fore + (up + 1) * sin_fore
    force[0] = forward * sin_fore - (up + 1) * cos_fore
    force[1] = cos_roll * side + sin_roll * over
    force[2] = cos_roll * over - sin_roll * side
