"""A movement that is known at every instant: slow gravity, and sines below 5 Hz that come and go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Rng = np.random.Generator

MAX_HZ, OF_RATE = 5.0, 0.3
"""Sines are slower than this, and than this share of the lowest rate: the filters pass them within RIPPLE."""
RIPPLE = 0.005
"""Measured from the taps of the filters at 10 to 200 Hz: below 5 Hz they change no sine by more than this share."""
SINES = 4
STAGE_S, EASE_S, TURN_S = 40.0, 4.0, 25.0
"""Every stage begins with a slow turn of gravity, and with the beginning or end of the sines, so many seconds long."""
TREMOR_G, TREMOR_HZ = 0.004, 3.1
_DT = 1e-4


@dataclass(frozen=True)
class Movement:
    """Acceleration in g: gravity by two angles per stage, and sines (hz, amplitude in g, phase) on each axis."""

    angle_2T: Float
    is_active_T: Float
    hz_CK: Float
    size_CK: Float
    phase_CK: Float
    tremor_hz: float

    @property
    def swing_g(self) -> float:
        """The largest sum of the amplitudes of an axis."""
        return float(self.size_CK.sum(axis=1).max()) + TREMOR_G

    def at(self, second_X: Float) -> Float:
        """Return g (3, X)."""
        stage_X = second_X / STAGE_S
        first_X = np.floor(stage_X).astype(np.int64)

        def eased(value_T: Float, length_s: float) -> Float:
            into_X = np.clip((second_X - first_X * STAGE_S) / length_s, 0, 1)
            into_X = into_X**3 * (10 - 15 * into_X + 6 * into_X**2)
            before_X, after_X = value_T[(first_X - 1) % value_T.size], value_T[first_X % value_T.size]
            return np.asarray(before_X + (after_X - before_X) * into_X)

        one_X, two_X = eased(self.angle_2T[0], TURN_S), eased(self.angle_2T[1], TURN_S)
        x_CX = np.stack([np.sin(one_X) * np.cos(two_X), np.sin(one_X) * np.sin(two_X), np.cos(one_X)])
        swing_CX = np.zeros_like(x_CX)
        for c in range(3):
            for hz, size, phase in zip(self.hz_CK[c], self.size_CK[c], self.phase_CK[c], strict=True):
                swing_CX[c] += size * np.sin(2 * np.pi * hz * second_X + phase)
            x_CX[c] += TREMOR_G * np.sin(2 * np.pi * self.tremor_hz * second_X + 2 * c)
        return x_CX + swing_CX * eased(self.is_active_T, EASE_S)

    def slope(self, second_X: Float) -> Float:
        """Return g per second (3, X)."""
        return np.asarray((self.at(second_X + _DT) - self.at(second_X - _DT)) / (2 * _DT))


def draw(rng: Rng, slowest_hz: float, swing_g: float) -> Movement:
    """Draw a movement for rows at this rate or faster, whose sines add to `swing_g` on an axis."""
    top_hz = min(MAX_HZ, OF_RATE * slowest_hz)
    size_CK = rng.dirichlet(np.ones(SINES), 3) * swing_g
    stages = 16
    return Movement(
        angle_2T=np.stack([rng.uniform(0, np.pi, stages), rng.uniform(0, 2 * np.pi, stages)]),
        is_active_T=np.where(np.arange(stages) % 2, 1.0, 0.0),
        hz_CK=rng.uniform(0.2, top_hz, (3, SINES)),
        size_CK=size_CK,
        phase_CK=rng.uniform(0, 2 * np.pi, (3, SINES)),
        tremor_hz=min(TREMOR_HZ, top_hz),
    )
