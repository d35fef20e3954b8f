"""From a movement to what an accelerometer on the wrist feels: forward kinematics of an arm, sample by sample.

The arm is two equal links that hang from the shoulder. Joint angles give the wrist's position, second
differences its acceleration (so swing, centripetal force and timing belong together), and the forearm's
attitude turns that plus gravity into the axes of the device: x along the forearm to the hand, y across,
z out of the back of the wrist. Gestures are minimum-jerk movements (Flash & Hogan 1985,
doi:10.1523/JNEUROSCI.05-07-01688.1985) whose time is skewed, so that rise and fall differ. Jolts and
shaking pass through a resonator: soft tissue and strap.

The kernel carries its state from one stretch to the next, so that nothing jumps between bouts. While
nothing moves it repeats the last value, which is most of a night.
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

STANDARD_GRAVITY = 9.80665
QUIET = 1e-8
"""Radians or g below which a part of the movement counts as still."""
STOP_S = 0.6
"""How long before a stretch's end all but gestures begin to stop: the next one starts from the last pose."""
FADE_S = 0.12
"""Time constant of each of three smoothers in a row that follow a control."""


class ArmState(NamedTuple):
    """What one stretch hands to the next; the kernel writes into these arrays."""

    pose: NDArray[np.float64]
    """Angles after the last gesture."""
    wobble: NDArray[np.float64]
    """Three world axes x two past values of the resonator."""
    track: NDArray[np.float64]
    """(out, up, turn) of the wrist, two past values each."""
    force: NDArray[np.float64]
    """The last value given, and the strength of the last linear acceleration."""


def resting() -> ArmState:
    """An arm on a table."""
    pose = np.array([0.5, 1.1, 0.0, 0.0])
    return ArmState(
        pose=pose,
        wobble=np.zeros((3, 2)),
        track=np.full((3, 2), np.nan),
        force=np.array([0.0, 0.0, 1.0, 0.0]),
    )


def feel(movement: Movement, samples: int, step_s: float, state: ArmState) -> NDArray[np.float32]:
    """What the device feels in g, (samples, 3), at steps of `step_s` seconds; `state` moves on."""
    still = constant(movement.duration_s, 0.0)
    rhythm = movement.rhythm
    felt = np.empty((samples, 3), dtype=np.float32)
    _feel(
        felt,
        step_s,
        np.ascontiguousarray(movement.gestures["start_s"]),
        np.ascontiguousarray(movement.gestures["length_s"]),
        np.ascontiguousarray(movement.gestures["skew"]),
        np.ascontiguousarray(movement.gestures["pose"]),
        still if rhythm is None else rhythm.cycle_hz,
        still if rhythm is None else rhythm.strength,
        np.zeros((CHANNELS, HARMONICS, 2)) if rhythm is None else rhythm.harmonics,
        np.array((0.0, 0.0) if rhythm is None else rhythm.jolt_g),
        np.array((1.0, 0.0, 0.0) if rhythm is None else rhythm.jolt_direction),
        0.02 if rhythm is None else rhythm.jolt_s,
        still if movement.sway is None else movement.sway,
        movement.sway_hz,
        still if movement.shaking is None else movement.shaking,
        still if movement.tremor is None else movement.tremor,
        movement.tremor_hz,
        movement.wobble_hz,
        movement.wobble_damping,
        movement.arm_m,
        np.array([movement.seed], dtype=np.uint64),
        *state,
    )
    return felt


@njit(cache=True)
def _uniform(word):  # type: ignore[no-untyped-def]
    """The next number of an xorshift64* generator (Vigna 2016), uniform in (-1, 1); `word` is its state."""
    x = word[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    word[0] = x
    return np.int64(x * np.uint64(2685821657736338717)) * 2.0**-63


@njit(cache=True)
def _follow(smoothers, row, target, share):  # type: ignore[no-untyped-def]
    """Three smoothers in a row (`row` of `smoothers`) move towards `target` by a share each sample; their output."""
    first = smoothers[row, 0] + share * (target - smoothers[row, 0])
    second = smoothers[row, 1] + share * (first - smoothers[row, 1])
    third = smoothers[row, 2] + share * (second - smoothers[row, 2])
    smoothers[row, 0], smoothers[row, 1], smoothers[row, 2] = first, second, third
    return third


@njit(cache=True)
def _minimum_jerk(part):  # type: ignore[no-untyped-def]
    """How much of a way is done after a part (0 to 1) of its time."""
    return part * part * part * (10 + part * (6 * part - 15))


@njit(cache=True)
def _cycle(harmonics, phase, wave):  # type: ignore[no-untyped-def]
    """The channels of a rhythm at a phase, into `wave`; harmonics by the angle sum."""
    cosine, sine = np.cos(phase), np.sin(phase)
    c, s = cosine, sine
    wave[:] = 0.0
    for k in range(HARMONICS):
        for channel in range(CHANNELS):
            wave[channel] += harmonics[channel, k, 0] * c + harmonics[channel, k, 1] * s
        c, s = c * cosine - s * sine, s * cosine + c * sine


@njit(cache=True)
def _feel(  # type: ignore[no-untyped-def]
    felt, step_s, start_s, length_s, skew, target, cycle_hz, strength, harmonics, jolt_g, jolt_direction, jolt_s,
    sway_sd, sway_hz, shaking, tremor_size, tremor_hz, wobble_hz, wobble_damping, arm_m, word,
    pose, wobble, track, force,
):  # fmt: skip
    link = arm_m / 2
    rate = 1 / step_s
    fade_share = 1 - np.exp(-step_s / FADE_S)
    sway_share = 1 - np.exp(-step_s * 2 * np.pi * sway_hz)
    sway_gain = 5 / np.sqrt(sway_hz)  # held uniform noise through the smoothers has SD 0.2 sqrt(sway_hz)
    decay = np.exp(-2 * np.pi * wobble_hz * wobble_damping * step_s)
    turn = 2 * np.pi * wobble_hz * step_s
    near, far, push = 2 * decay * np.cos(turn), -decay * decay, 1.3 * np.sin(turn)
    jolt_left, jolt_now = 0, 0.0
    jolt_samples = max(1, int(jolt_s * rate))
    end_s = (felt.shape[0] - 1) * step_s
    gesture, held, previous_control, asleep = 0, 0, -1, False
    fades, sway, sway_target, phase = np.zeros((3, 3)), np.zeros((JOINTS, 3)), np.zeros(JOINTS), np.zeros(2)
    angle = pose.copy()
    wave = np.zeros(CHANNELS)
    for i in range(felt.shape[0]):
        now = i * step_s
        control = int(now * CONTROL_HZ)
        if control != previous_control:
            asleep = (
                strength[control] == 0 and shaking[control] == 0 and tremor_size[control] == 0 and sway_sd[control] == 0
                and held > 3 and force[3] < 1e-4
                and (gesture >= start_s.size or start_s[gesture] > (control + 1) / CONTROL_HZ)
            )  # fmt: skip
            for joint in range(JOINTS):
                sway_target[joint] = sway_sd[control] * sway_gain * _uniform(word)
            previous_control = control
        if asleep:
            felt[i, 0], felt[i, 1], felt[i, 2] = force[0], force[1], force[2]
            continue
        moving = False
        closing = _minimum_jerk(min(1.0, (end_s - now) / STOP_S))

        while gesture < start_s.size and now >= start_s[gesture] + length_s[gesture]:
            pose[:] = target[gesture]
            gesture += 1
            moving = True
        for joint in range(JOINTS):
            angle[joint] = pose[joint]
        if gesture < start_s.size and now > start_s[gesture]:
            part = (now - start_s[gesture]) / length_s[gesture]
            part += skew[gesture] * part * (1 - part)
            done = _minimum_jerk(part)
            for joint in range(JOINTS):
                angle[joint] += done * (target[gesture, joint] - pose[joint])
            moving = True

        for joint in range(JOINTS):
            swayed = closing * _follow(sway, joint, sway_target[joint], sway_share)
            angle[joint] += swayed
            moving = moving or abs(swayed) > QUIET

        beat = closing * _follow(fades, 0, strength[control], fade_share)
        if beat > QUIET:
            before = phase[0]
            phase[0] += 2 * np.pi * cycle_hz[control] * step_s
            if jolt_g[0] > 0 and int(phase[0] / np.pi) != int(before / np.pi):
                half = int(phase[0] / np.pi) % 2
                jolt_now = beat * jolt_g[half] * (1 + 0.4 * _uniform(word)) / jolt_samples
                jolt_left = jolt_samples
            if phase[0] > 200 * np.pi:
                phase[0] -= 200 * np.pi
            _cycle(harmonics, phase[0], wave)
            for joint in range(JOINTS):
                angle[joint] += beat * wave[joint]
            moving = True

        shiver = closing * _follow(fades, 2, tremor_size[control], fade_share)
        if shiver > QUIET:
            phase[1] = (phase[1] + 2 * np.pi * tremor_hz * (1 + 0.3 * _uniform(word)) * step_s) % (2 * np.pi)
            angle[ROLL] += shiver * np.sin(phase[1])
            angle[ELBOW] += 0.4 * shiver * np.sin(phase[1] + 0.7)
            moving = True

        shake = closing * _follow(fades, 1, shaking[control], fade_share)
        if shake > QUIET or jolt_left > 0:
            moving = True
        held = 0 if moving else held + 1

        upper, fore = angle[SHOULDER], angle[SHOULDER] + angle[ELBOW]
        sin_fore, cos_fore = np.sin(fore), np.cos(fore)
        out = link * (np.sin(upper) + sin_fore)
        up = -link * (np.cos(upper) + cos_fore)
        if track[0, 0] != track[0, 0]:
            track[0, :], track[1, :], track[2, :] = out, up, angle[TURN]
        out_speed = (out - track[0, 1]) * rate / 2
        turn_speed = (angle[TURN] - track[2, 1]) * rate / 2
        out_pull = (out - 2 * track[0, 0] + track[0, 1]) * rate * rate
        up_pull = (up - 2 * track[1, 0] + track[1, 1]) * rate * rate
        turn_pull = (angle[TURN] - 2 * track[2, 0] + track[2, 1]) * rate * rate
        forward = (out_pull - out * turn_speed * turn_speed) / STANDARD_GRAVITY + beat * wave[FORWARD]
        side = (out * turn_pull + 2 * out_speed * turn_speed) / STANDARD_GRAVITY + beat * wave[SIDE]
        upward = up_pull / STANDARD_GRAVITY + beat * wave[UP]
        track[0, 1], track[1, 1], track[2, 1] = track[0, 0], track[1, 0], track[2, 0]
        track[0, 0], track[1, 0], track[2, 0] = out, up, angle[TURN]

        strong = abs(forward) + abs(side) + abs(upward)
        jolt = 0.0
        if jolt_left > 0:
            jolt = jolt_now
            jolt_left -= 1
        loose = 0.08 * strong + 1.7 * shake
        ring = 0.0
        for axis in range(3):
            drive = jolt * jolt_direction[axis] + loose * _uniform(word)
            rung = near * wobble[axis, 0] + far * wobble[axis, 1] + push * drive
            wobble[axis, 1], wobble[axis, 0] = wobble[axis, 0], rung
            ring += abs(rung)
        upward += wobble[0, 0]
        forward += wobble[1, 0]
        side += wobble[2, 0]
        force[3] = strong + ring

        over = forward * cos_fore + (upward + 1) * sin_fore
        sin_roll, cos_roll = np.sin(angle[ROLL]), np.cos(angle[ROLL])
        force[0] = forward * sin_fore - (upward + 1) * cos_fore
        force[1] = cos_roll * side + sin_roll * over
        force[2] = cos_roll * over - sin_roll * side
        felt[i, 0], felt[i, 1], felt[i, 2] = force[0], force[1], force[2]
