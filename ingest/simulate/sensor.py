"""From acceleration at the wrist to stored counts: mounting, gain, offset, temperature, noise, steps and rail.

Coloured noise is the sum of white noise and two slower processes (0.1 s and 30 s), whose spectrum falls towards high
frequencies like the 1/f noise of real sensors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingest.devices.axivity.cwa_format import COUNTS_PER_G
from ingest.simulate.population import Device, Person, Place, location_of
from pipeline.numerics.jit import njit

RANGE_G = 8
REFERENCE_CELSIUS = 25.0
WARMING_S = 600.0
"""Time constant with which the device follows the temperature around it."""


def mounting(person: Person, wearing: int, rng: np.random.Generator, place: Place = "wrist") -> NDArray[np.float64]:
    """Return the matrix (3, 3) from arm axes to device axes: mirrored on the right, turned by half for a flip.

    Only the strap of the wrist flips. Every wearing is off by a few degrees.
    """
    side = np.diag((1.0, -1.0 if location_of(person, place).startswith("right") else 1.0, 1.0))
    flips = place == "wrist" and person.flips_strap and wearing % 2
    flip = np.diag((-1.0, -1.0, 1.0)) if flips else np.eye(3)
    return flip @ _small_turn(rng.normal(0, 0.08, 3)) @ side


def _small_turn(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation by a vector of radians (Rodrigues)."""
    size = float(np.linalg.norm(angle))
    x, y, z = angle / max(size, 1e-12)
    cross = np.array(((0, -z, y), (z, 0, -x), (-y, x, 0)))
    turn: NDArray[np.float64] = np.eye(3) + np.sin(size) * cross + (1 - np.cos(size)) * cross @ cross
    return turn


class Sensor:
    """A device in use; keeps its temperature and slow noise from one interval to the next."""

    def __init__(self, device: Device, rng: np.random.Generator, celsius: float) -> None:
        self.device = device
        self.celsius = celsius
        self._rng = rng
        self._slow = np.zeros((2, 3))
        self._step = 4 if device.packing == "packed, 8 g step" else 1

    def counts(
        self, accel_NC: NDArray[np.float32], mount: NDArray[np.float64], around_celsius: float, step_s: float
    ) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        """Return what the device stores for acceleration in g on the arm's axes: counts (N, 3), celsius (N)."""
        white = self._rng.standard_normal(accel_NC.shape, dtype=np.float32)
        counts = np.empty(accel_NC.shape, dtype=np.int16)
        celsius = np.empty(len(accel_NC), dtype=np.float32)
        device = self.device
        self.celsius = _sense(
            accel_NC,
            white,
            counts,
            celsius,
            device.gain_C[:, None] * mount,
            device.offset_C,
            device.drift_C,
            device.noise_g,
            self._slow,
            self.celsius,
            around_celsius,
            step_s / WARMING_S,
            self._step,
        )
        return counts, celsius


@njit(cache=True)
def _sense(  # type: ignore[no-untyped-def]
    accel_NC, white, counts, celsius, axes, offset, drift, noise_g, slow, warmth, around, warming, step
):
    for i in range(accel_NC.shape[0]):
        warmth += warming * (around - warmth)
        celsius[i] = warmth
        for axis in range(3):
            noise = white[i, axis]
            slow[0, axis] += 0.1 * (noise - slow[0, axis])
            slow[1, axis] += 0.0003 * (noise - slow[1, axis])
            true_g = axes[axis, 0] * accel_NC[i, 0] + axes[axis, 1] * accel_NC[i, 1] + axes[axis, 2] * accel_NC[i, 2]
            coloured_g = noise_g * (noise + 2.5 * slow[0, axis] + 40.0 * slow[1, axis])
            value = true_g + offset[axis] + drift[axis] * (warmth - REFERENCE_CELSIUS) + coloured_g
            level = np.floor(value * COUNTS_PER_G / step + 0.5) * step
            highest = RANGE_G * COUNTS_PER_G
            counts[i, axis] = min(max(level, -highest), highest - step)
    return warmth
