"""The learning rate as a pure function of windows seen."""

from __future__ import annotations

import math

from train.optim.settings import OptimizerSettings

REFERENCE_BATCH = 512


def peak_rate(settings: OptimizerSettings, batch: int) -> float:
    """Scale the rate of a batch of 512 to the global batch, and cap it (Goyal et al. 2017, arXiv:1706.02677)."""
    ratio = batch / REFERENCE_BATCH
    rate = settings.rate_per_512 * (ratio if settings.scaling == "linear" else math.sqrt(ratio))
    return rate if settings.rate_cap is None else min(rate, settings.rate_cap)


def rate_at(settings: OptimizerSettings, batch: int, seen: int, total: int) -> float:
    """Return the rate of the step that starts after `seen` of `total` windows.

    Linear warm-up, then constant, or a cosine to 0.
    """
    peak = peak_rate(settings, batch)
    if seen < settings.warmup_windows:
        return peak * (seen + batch) / (settings.warmup_windows + batch)
    if settings.schedule == "constant":
        return peak
    done = (seen - settings.warmup_windows) / max(total - settings.warmup_windows, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
