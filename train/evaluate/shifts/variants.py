"""The shifts: each changes test windows as another device, another way of wearing it, or a fault would.

Training windows are never changed. Random numbers depend only on the window's number, so that every row meets the
same noise and the same gaps.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import SAMPLE_RATE_HZ
from train.evaluate.jobs import Change, Variant

Windows = NDArray[np.float32]
Integers = NDArray[np.int64]

ANGLES = (15, 45, 90, 180)
GAINS = (0.9, 1.1)
OFFSET_G = 0.05
NOISE_G = (0.005, 0.02, 0.05)
RATES_HZ = (20, 25, 50)
RAIL_G = 2.0
GAP_SHARE = 0.1
AXES = "xyz"


def shifts() -> list[Variant]:
    """Return all shifts."""
    return [
        *(
            _plain(f"rotated {angle}° about {AXES[axis]}", rotated(axis, angle))
            for axis in range(3)
            for angle in ANGLES
        ),
        *(
            _plain(f"axes {''.join(AXES[a] for a in order)}", reordered(order))
            for order in list(permutations(range(3)))[1:]
        ),
        *(_plain(f"gain {gain:g}", scaled(gain)) for gain in GAINS),
        *(_plain(f"offset {1000 * OFFSET_G:g} mg on {AXES[axis]}", offset(axis)) for axis in range(3)),
        *(Variant(f"noise {1000 * sigma:g} mg", noisy(sigma)) for sigma in NOISE_G),
        *(_plain(f"{rate} Hz and back", resampled(rate)) for rate in RATES_HZ),
        _plain(f"rail of {RAIL_G:g} g", lambda x_NCT: np.clip(x_NCT, -RAIL_G, RAIL_G)),
        Variant(f"gap of {100 * GAP_SHARE:g}%", gaps),
    ]


def _plain(name: str, change: Callable[[Windows], Windows]) -> Variant:
    return Variant(name, lambda split, windows, x_NCT: change(x_NCT))


def rotated(axis: int, degrees: float) -> Callable[[Windows], Windows]:
    """Return a rotation about an axis, right-handed."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[first, first], turn[first, second], turn[second, first], turn[second, second] = cosine, -sine, sine, cosine
    return lambda x_NCT: np.einsum("ij,njt->nit", turn, x_NCT).astype(np.float32)


def reordered(order: tuple[int, ...]) -> Callable[[Windows], Windows]:
    """Return an exchange of axes."""
    return lambda x_NCT: x_NCT[:, list(order)]


def scaled(gain: float) -> Callable[[Windows], Windows]:
    """Return a multiplication of all axes."""
    return lambda x_NCT: (x_NCT * gain).astype(np.float32)


def offset(axis: int) -> Callable[[Windows], Windows]:
    """Return an addition of OFFSET_G to one axis."""
    added = np.zeros((3, 1), np.float32)
    added[axis] = OFFSET_G
    return lambda x_NCT: x_NCT + added


def noisy(sigma_g: float) -> Change:
    """Return white Gaussian noise of `sigma_g` on all axes, its own for each window."""

    def add(split: int, windows: Integers, x_NCT: Windows) -> Windows:
        noise_NCT = np.stack(
            [np.random.default_rng((1, number)).standard_normal(x_NCT.shape[1:]) for number in windows]
        )
        return (x_NCT + sigma_g * noise_NCT).astype(np.float32)

    return add


def resampled(rate_hz: int) -> Callable[[Windows], Windows]:
    """Return resampling to another rate and back, band-limited."""
    from scipy.signal import resample_poly

    def there_and_back(x_NCT: Windows) -> Windows:
        there = resample_poly(x_NCT, rate_hz, SAMPLE_RATE_HZ, axis=2, padtype="line")
        back = resample_poly(there, SAMPLE_RATE_HZ, rate_hz, axis=2, padtype="line")
        return back[:, :, : x_NCT.shape[2]].astype(np.float32)

    return there_and_back


def gaps(split: int, windows: Integers, x_NCT: Windows) -> Windows:
    """Hold the last value through GAP_SHARE of each window, at a random place of its own."""
    ticks = x_NCT.shape[2]
    length = round(GAP_SHARE * ticks)
    start_N = np.array([np.random.default_rng((2, number)).integers(1, ticks - length + 1) for number in windows])
    tick = np.arange(ticks)
    held_NT = (tick >= start_N[:, None]) & (tick < start_N[:, None] + length)
    source_NT = np.where(held_NT, start_N[:, None] - 1, tick)
    return np.take_along_axis(x_NCT, source_NT[:, None, :], 2)
