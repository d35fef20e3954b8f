"""ENMO compared with its definition."""

from __future__ import annotations

import numpy as np

from pipeline.grid import COUNTS_PER_G
from pipeline.numerics.enmo import enmo


def test_enmo_is_its_definition() -> None:
    signal = np.random.default_rng(1).normal(600, 500, (3, 30 * 4000)).astype(np.int16)
    x = signal.astype(float) / COUNTS_PER_G
    plain = np.maximum(np.sqrt((x**2).sum(0)) - 1, 0).reshape(-1, 30).mean(1)
    np.testing.assert_allclose(enmo(signal, COUNTS_PER_G), plain, rtol=1e-5, atol=1e-6)
