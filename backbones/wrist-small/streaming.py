"""Features of a live signal: samples at any rate in, features every hop out, equal to those of the whole recording.

Every exported folder contains a copy of this file, which needs nothing but torch. Samples are resampled to 30 Hz with
the filters that persondays ingests with (Kaiser's windowed sinc, 14-bit taps; 12 Hz pass within 0.1 dB, 18 Hz stop
40 dB), so that features equal those of the ingested recording if that was not calibrated.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

RATE_HZ = 30
AXES = 3
TAP_BITS = 14
PASS_HZ, STOP_HZ, STOP_DB = 12.0, 18.0, 43.0
NO_LOWPASS_BELOW_HZ = 33.0
INTERPOLATION_TAPS, INTERPOLATION_DB = 32, 50.0
TIME_RESOLUTION_HZ = 100_000
PHASES = (64, 8_192)
LANES = 16


def taps(rate_hz: float) -> Tensor:
    """Return the filters from `rate_hz` to 30 Hz, float32 (phases, taps): each adds to one, each for a phase."""
    phases = min(max(PHASES[0], 1 << max(0, math.ceil(math.log2(TIME_RESOLUTION_HZ / rate_hz)))), PHASES[1])
    if rate_hz < NO_LOWPASS_BELOW_HZ:
        count, attenuation, cutoff = INTERPOLATION_TAPS, INTERPOLATION_DB, 0.5
    else:
        slope = 2.285 * 2 * math.pi * (STOP_HZ - PASS_HZ) / rate_hz
        count = LANES * math.ceil(((STOP_DB - 7.95) / slope + 1) / LANES)
        attenuation, cutoff = (count - 1) * slope + 7.95, (PASS_HZ + STOP_HZ) / 2 / rate_hz
    beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    phase_P1 = torch.arange(phases, dtype=torch.float64)[:, None] / phases
    away_PL = torch.arange(count, dtype=torch.float64) - (count // 2 - 1) - phase_P1
    window_PL = torch.special.i0(beta * (1 - (2 * away_PL / count) ** 2).clamp(min=0).sqrt())
    taps_PL = torch.sinc(2 * cutoff * away_PL) * window_PL
    unity = 1 << TAP_BITS
    whole_PL = (taps_PL * (unity / taps_PL.sum(1, keepdim=True))).round()
    largest_P1 = whole_PL.argmax(1, keepdim=True)
    whole_PL.scatter_add_(1, largest_P1, unity - whole_PL.sum(1, keepdim=True))
    return (whole_PL / unity).float()


class Resampler:
    """Samples at a constant rate to 30 Hz. A tick comes out as soon as all samples that it needs are there.

    Tick 0 is the first sample. Before that, the first sample is repeated.
    """

    def __init__(self, rate_hz: float) -> None:
        if not 10 <= rate_hz <= 10_000:
            raise ValueError(f"rate_hz: expected 10 to 10,000, found {rate_hz}")
        self.step = rate_hz / RATE_HZ
        self.taps_PL = taps(rate_hz)
        self.held_CN = torch.zeros((AXES, 0))
        self.first, self.tick = 0, 0
        """Number of the first sample that is held, and of the next tick."""

    def push(self, samples_NC: Tensor) -> Tensor:
        """Take samples (samples, 3) and return the ticks that are ready, float32 (3, ticks)."""
        self.held_CN = torch.cat((self.held_CN, samples_NC.T), 1)
        phases, count = self.taps_PL.shape
        seen = self.first + self.held_CN.shape[1]
        possible_T = torch.arange(self.tick, max(self.tick, math.ceil(seen / self.step)), dtype=torch.float64)
        nearest_T = (possible_T * self.step * phases + 0.5).floor().long()
        base_T = nearest_T // phases
        ready_T = base_T + count // 2 < seen
        nearest_T, base_T = nearest_T[ready_T], base_T[ready_T]
        if not len(base_T):
            return torch.zeros((AXES, 0))
        sample_TL = (base_T[:, None] + torch.arange(count) - (count // 2 - 1)).clamp(min=0) - self.first
        ticks_CT = (self.held_CN[:, sample_TL] * self.taps_PL[nearest_T - base_T * phases]).sum(2)
        self.tick += len(base_T)
        unused = max(0, math.floor(self.tick * self.step) - count // 2 - self.first)
        self.held_CN, self.first = self.held_CN[:, unused:], self.first + unused
        return ticks_CT


class Features(NamedTuple):
    """Features of a window: seconds from the first sample to its begin, and float32 (features,)."""

    start_s: float
    vector_F: Tensor


class Streaming:
    """Features of windows that begin every `hop_s` seconds (default: the length of a window), as soon as each is there.

    `network` maps float32 (batch, 3, ticks) in g at 30 Hz to features, or to logits, such as a classifier. Samples come
    `rate_hz` a second. Raises ValueError for a rate or hop that does not fit.
    """

    def __init__(self, network: nn.Module, ticks: int, rate_hz: float, hop_s: float | None = None) -> None:
        hop = ticks if hop_s is None else round(hop_s * RATE_HZ)
        if hop < 1 or (hop_s is not None and not math.isclose(hop, hop_s * RATE_HZ, abs_tol=1e-6)):
            raise ValueError(f"hop_s: expected a multiple of 1/{RATE_HZ} s above 0, found {hop_s}")
        self.network, self.ticks, self.rate_hz, self.hop = network.eval(), ticks, rate_hz, hop
        self.reset()

    def reset(self) -> None:
        """Begin anew: call it after a gap. The next sample is the first, at 0 s."""
        self._resampler = Resampler(self.rate_hz)
        self._held_CT = torch.zeros((AXES, 0))
        self._first = self._skip = 0
        """Tick at which the next window begins, and how many of the ticks to come are before it."""

    def push(self, samples: Any) -> list[Features]:
        """Take samples in g (samples, 3), in any number, and return the features of the windows that are complete.

        Raises ValueError for another shape, and for values that are not finite.
        """
        samples_NC = torch.as_tensor(samples, dtype=torch.float32)
        if samples_NC.dim() != 2 or samples_NC.shape[1] != AXES:
            raise ValueError(f"samples: expected the shape (samples, {AXES}) in g, found {tuple(samples_NC.shape)}")
        if not bool(samples_NC.isfinite().all()):
            raise ValueError("samples: expected finite values in g, found NaN or infinity. Leave them out and reset()")
        ticks_CT = self._resampler.push(samples_NC)
        skipped = min(self._skip, ticks_CT.shape[1])
        self._skip -= skipped
        self._held_CT = torch.cat((self._held_CT, ticks_CT[:, skipped:]), 1)
        count = max(0, (self._held_CT.shape[1] - self.ticks) // self.hop + 1)
        if not count:
            return []
        window_BCT = self._held_CT.unfold(1, self.ticks, self.hop)[:, :count].transpose(0, 1)
        with torch.inference_mode():
            device = next((parameter.device for parameter in self.network.parameters()), torch.device("cpu"))
            vector_BF = self.network(window_BCT.contiguous().to(device)).flatten(1).cpu()
        first, self._first = self._first, self._first + count * self.hop
        self._skip = max(0, count * self.hop - self._held_CT.shape[1])
        self._held_CT = self._held_CT[:, count * self.hop :].clone()
        return [Features((first + n * self.hop) / RATE_HZ, vector_F) for n, vector_F in enumerate(vector_BF)]
