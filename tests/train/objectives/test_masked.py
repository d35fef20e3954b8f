"""Masked reconstruction: views, spectra and loss against plain NumPy, and a network that beats the mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.settings import build
from tests.train.plain import at, impacts, movement, numbers, randoms
from train.networks.model import Model
from train.objectives import ObjectiveSettings, make_objective
from train.objectives.masked import FLOOR_G, Masked, MaskedSettings, log_spectra
from train.random import Purpose, WindowRandom
from train.tracking.log import summarise
from train.transforms.parts import PART
from train.windows.companions.same_time import SameTime

Array = NDArray[np.float64]


def plain_spectrum(x_T: Array, bands: int) -> list[float]:
    """The log-spectrum of one axis of one patch, bin by bin."""
    ticks = len(x_T)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(ticks) / ticks)
    powers: list[list[float]] = [[] for _ in range(bands)]
    for k in range(1, ticks // 2 + 1):
        wave = np.exp(-2j * np.pi * k * np.arange(ticks) / ticks)
        amplitude = 2 * abs(np.sum(taper * (x_T - x_T.mean()) * wave)) / taper.sum()
        powers[(k - 1) * bands // (ticks // 2)].append(amplitude**2)
    return [0.5 * math.log(1 + np.mean(power) / FLOOR_G**2) for power in powers]


def plain_spectra(x_CT: Array, settings: MaskedSettings) -> Array:
    """Spectra of all patches (patches, 3 bands)."""
    patches = np.split(x_CT, settings.patches, 1)
    return np.array([[value for x_T in patch for value in plain_spectrum(x_T, settings.bands)] for patch in patches])


@pytest.mark.parametrize(("ticks", "patches", "bands"), [(150, 5, 15), (300, 5, 15), (300, 3, 7), (900, 10, 7)])
@pytest.mark.parametrize("windows", [movement, impacts])
def test_views_and_targets_equal_numpy(windows: Any, ticks: int, patches: int, bands: int) -> None:
    x, random, settings = windows(6, ticks), randoms(6), MaskedSettings(patches=patches, bands=bands)
    shown, targets = Masked(settings).views(x, random)
    assert shown.shape == x.shape
    assert shown.dtype == targets.dtype == torch.float32
    number_BP = numbers(random, Purpose.MASK, patches)
    for window, x_CT in enumerate(x.double().numpy()):
        hidden = sorted(range(patches), key=lambda patch: number_BP[window, patch])[: settings.hidden]
        seen = [patch for patch in range(patches) if patch not in hidden]
        parts = np.split(x_CT, patches, 1)
        mean = np.concatenate([parts[patch] for patch in seen], 1).mean(1)[:, None]
        expected = [np.broadcast_to(mean, part.shape) if n in hidden else part for n, part in enumerate(parts)]
        np.testing.assert_allclose(shown[window], np.concatenate(expected, 1), rtol=0, atol=2e-6)
        spectra = plain_spectra(x_CT, settings)
        baseline = np.broadcast_to(spectra[seen].mean(0), spectra.shape)
        asked = np.isin(np.arange(patches), hidden)[:, None]
        np.testing.assert_allclose(targets[window], np.hstack((spectra, baseline, asked)), rtol=0, atol=1e-4)


def test_a_sine_has_its_amplitude_in_its_band_and_rest_is_0() -> None:
    sine = 0.5 * torch.sin(2 * torch.pi * 3 * torch.arange(300, dtype=torch.float64) / 30)
    x = torch.stack((sine, sine + 0.7, torch.full_like(sine, 1.0)))[None]
    spectra = log_spectra(x, 5, 30).view(5, 3, 30)
    torch.testing.assert_close(spectra[:, 0], spectra[:, 1], rtol=0, atol=1e-9)
    assert (spectra[:, 0].argmax(1) == 5).all(), "bands of half a hertz, the sixth begins at 3 Hz"
    assert spectra[0, 0, 5].item() == pytest.approx(math.log(0.5 / FLOOR_G), abs=1e-3)
    assert spectra[:, 2].abs().max() < 1e-9


def plain_loss(predicted: Array, targets: Array, settings: MaskedSettings) -> tuple[list[float], list[float]]:
    """Errors of the prediction and of the baseline, window by window."""
    size, errors = 3 * settings.bands, ([], [])  # type: ignore[var-annotated]
    for guess, target in zip(predicted, targets, strict=True):
        asked = [patch for patch in range(settings.patches) if target[patch, -1]]
        guesses = guess.reshape(settings.patches, size), target[:, size : 2 * size]
        for error, spectra in zip(errors, guesses, strict=True):
            error.append(np.mean([(spectra[patch] - target[patch, :size]) ** 2 for patch in asked]))
    return errors


@pytest.mark.parametrize("source", ["same", "same_time"])
def test_loss_equals_numpy_in_float64(source: Any) -> None:
    settings = MaskedSettings(source=source)
    objective, x = Masked(settings), movement(24, 300)
    assert objective.companions == (SameTime() if source == "same_time" else None)
    _, targets = objective.views(x.unflatten(0, (12, 2)) if objective.companions else x[:12], randoms(12))
    generator = torch.Generator().manual_seed(3)
    close = targets[:, :, :45].flatten(1).double() + torch.randn(12, 225, dtype=torch.float64, generator=generator)
    loss, figures = objective.loss({"decoder": close}, targets.double())
    errors, plain = plain_loss(close.numpy(), targets.double().numpy(), settings)
    assert loss.item() == pytest.approx(np.mean(errors), rel=1e-12)
    better = sum(error < other for error, other in zip(errors, plain, strict=True))
    expected = {
        "loss_sum": sum(errors),
        "count": 12,
        "masked/correct": better,
        "masked/count": 12,
        "masked/loss_sum": sum(errors),
        "masked/baseline_sum": sum(plain),
    }
    assert {name: value.item() for name, value in figures.items()} == pytest.approx(expected, rel=1e-9)
    assert all(figure.dtype == torch.float64 and not figure.requires_grad for figure in figures.values())
    parts = [objective.score({"decoder": close[part]}, targets[part]) for part in (slice(0, 5), slice(5, 12))]
    for name, figure in figures.items():
        assert sum(part[name].item() for part in parts) == pytest.approx(figure.item(), rel=1e-6), name
    summary = summarise({name: float(value) for name, value in figures.items()})
    assert summary["masked"]["baseline"] == pytest.approx(np.mean(plain))


def test_the_other_sensor_is_predicted_from_the_one_that_is_seen() -> None:
    """Nothing of the window to be predicted is in the input, and the baseline is the spectrum of the other."""
    objective, x = Masked(MaskedSettings(source="same_time")), movement(20, 300).unflatten(0, (10, 2))
    shown, targets = objective.views(x, randoms(10))
    assert torch.equal(shown, x[:, 0])
    torch.testing.assert_close(targets[:, :, :45], log_spectra(x[:, 1], 5, 15))
    torch.testing.assert_close(targets[:, :, 45:90], log_spectra(x[:, 0], 5, 15))
    assert (targets[:, :, 90] == 1).all()


def test_nothing_of_a_hidden_patch_is_shown() -> None:
    x, random, objective = movement(40, 300), randoms(40), Masked(MaskedSettings())
    shown, targets = objective.views(x, random)
    hidden_BT = targets[:, :, -1].bool().repeat_interleave(60, 1)[:, None]
    assert (hidden_BT.sum(2) == 120).all()
    again, _ = objective.views(torch.where(hidden_BT, 5.0, x), random)
    assert torch.equal(again, shown)
    assert torch.equal(torch.where(hidden_BT, 0.0, shown), torch.where(hidden_BT, 0.0, x))


def test_a_window_does_not_depend_on_its_batch_or_its_part_of_a_large_one() -> None:
    objective, count = Masked(MaskedSettings()), PART + 40
    x, random = movement(count, 150), randoms(count)
    shown, targets = objective.views(x, random)
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(1))[:50]
    part, part_targets = objective.views(x[chosen], at(random, chosen))
    torch.testing.assert_close(part, shown[chosen], rtol=0, atol=1e-6)
    torch.testing.assert_close(part_targets, targets[chosen], rtol=0, atol=1e-5)


def test_views_compile_without_a_graph_break() -> None:
    views = Masked(MaskedSettings()).views
    x, random = movement(8, 150), randoms(8)
    compiled = torch.compile(views, backend="eager", fullgraph=True)
    for got, expected in zip(compiled(x, random), views(x, random), strict=True):
        assert torch.equal(got, expected)


def test_a_small_network_beats_the_mean_of_what_it_sees_on_windows_it_has_not_seen() -> None:
    """Windows grow louder, so the mean of the visible patches is a poor guess, and the place of a patch helps."""
    torch.manual_seed(0)
    objective = Masked(MaskedSettings())
    extractor: Any = torch.nn.Sequential(
        torch.nn.Conv1d(3, 16, 15, stride=3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(10)
    )
    model = Model(extractor, objective.heads(160))
    grows = torch.linspace(-3, 1, 300).exp()
    x = movement(256, 300).diff(dim=2, prepend=torch.zeros(256, 3, 1)) * grows
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)

    def scored() -> dict[str, Any]:
        views, targets = objective.views(x[192:], randoms(64))
        with torch.no_grad():
            return summarise({name: float(value) for name, value in objective.score(model(views), targets).items()})

    before = scored()
    assert before["masked"]["accuracy"] < 0.5
    for step in range(150):
        views, targets = objective.views(x[:192], WindowRandom.of(step, *torch.arange(4 * 192).view(4, 192)))
        loss, _ = objective.loss(model(views), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = scored()
    assert after["masked"]["low"] > 0.5
    assert after["loss"] < after["masked"]["baseline"] == before["masked"]["baseline"]


def test_settings_are_checked() -> None:
    built = build(ObjectiveSettings, {"name": "masked", "masked": {"patches": 3}}, "objective")
    assert isinstance(make_objective(built), Masked)
    for table, message in (
        ({"patches": 1}, "patches: expected 2 or more that divide 150 ticks, found 1"),
        ({"patches": 0}, "patches: expected 2 or more"),
        ({"patches": 4}, "patches: expected 2 or more that divide 150 ticks, found 4"),
        ({"masked": 0.0}, "masked: expected a share that hides 1 to 4 patches, found 0.0"),
        ({"masked": 0.95}, "masked: expected a share that hides 1 to 4 patches"),
        ({"masked": math.nan}, "masked"),
        ({"bands": 16}, "bands: expected 1 to 15 for 5 patches, found 16"),
        ({"bands": 0}, "bands"),
        ({"source": "other_day"}, "source: expected one of same, same_time, found 'other_day'"),
    ):
        with pytest.raises(UserError, match=message):
            build(ObjectiveSettings, {"masked": table}, "objective")
