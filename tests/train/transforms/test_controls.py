"""The controls keep the documented properties of windows and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from train.random import Purpose, WindowRandom
from train.transforms.controls import noise_only, phase_randomised

TICKS = pytest.mark.parametrize("ticks", [150, 300, 900, 301])


def randoms(count: int) -> WindowRandom:
    index = torch.arange(count)
    return WindowRandom.of(9, index % 64, index // 64, index * 31 % 5000, index * 17 % 86400)


def bursts(count: int, ticks: int) -> torch.Tensor:
    """Windows with information in their phases: a few sharp impacts on one side of gravity."""
    generator = torch.Generator().manual_seed(4)
    x = 0.02 * torch.randn(count, 3, ticks, generator=generator) + torch.randn(count, 3, 1, generator=generator)
    x[:, :, ::50] += torch.tensor([2.0, 1.0, 0.5])[:, None]
    return x


@TICKS
def test_noise_has_the_mean_and_deviation_of_each_axis(ticks: int) -> None:
    x, random = bursts(200, ticks), randoms(200)
    noise = noise_only(x, random).double()
    mean, std = x.double().mean(-1), x.double().std(-1, correction=0)
    normal = random.normal(Purpose.CONTROL, 3 * ticks).double().view(200, 3, ticks)
    torch.testing.assert_close(noise, mean[..., None] + std[..., None] * normal, atol=1e-5, rtol=0)
    standard = (noise - mean[..., None]) / std[..., None]
    assert abs(standard.mean()) < 4 / standard.numel() ** 0.5
    assert abs(standard.std() - 1) < 4 / (2 * standard.numel()) ** 0.5
    assert abs((standard[..., 1:] * standard[..., :-1]).mean()) < 4 / standard.numel() ** 0.5


@TICKS
def test_phase_randomised_keeps_spectra_cross_spectra_and_mean(ticks: int) -> None:
    x = bursts(50, ticks)
    control = phase_randomised(x, randoms(50))
    before, after = np.fft.rfft(x.double().numpy()), np.fft.rfft(control.double().numpy())
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-3)
    cross = [spectrum[:, [0, 1, 2]] * spectrum[:, [1, 2, 0]].conj() for spectrum in (before, after)]
    np.testing.assert_allclose(cross[1], cross[0], atol=1e-3 * np.abs(cross[0])[..., 1:].max())
    torch.testing.assert_close(control.mean(-1), x.mean(-1), atol=1e-5, rtol=0)
    assert control.dtype == torch.float32


def test_phase_randomised_equals_numpy() -> None:
    x, random = bursts(20, 300), randoms(20)
    angle = np.zeros((20, 151))
    angle[:, 1:150] = 2 * np.pi * random.uniform(Purpose.CONTROL, 149).numpy()
    expected = np.fft.irfft(np.fft.rfft(x.double().numpy()) * np.exp(1j * angle)[:, None], 300)
    np.testing.assert_allclose(phase_randomised(x, random), expected, atol=1e-5)


def test_phase_randomised_has_no_impacts_left() -> None:
    def skew(x: torch.Tensor) -> float:
        standard = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
        return float((standard**3).mean())

    x = bursts(400, 300)
    assert skew(x) > 3
    assert abs(skew(phase_randomised(x, randoms(400)))) < 0.3


@pytest.mark.parametrize("control", [noise_only, phase_randomised])
def test_a_window_does_not_depend_on_its_batch(control: Any) -> None:
    x, random = bursts(60, 300), randoms(60)
    whole = control(x, random)
    for chosen in torch.randperm(60, generator=torch.Generator().manual_seed(1)).split(25):
        part = WindowRandom(random.key0[chosen], random.key1[chosen], random.slot[chosen], random.start[chosen])
        torch.testing.assert_close(control(x[chosen], part), whole[chosen], rtol=0, atol=2e-6)
