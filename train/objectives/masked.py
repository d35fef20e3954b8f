"""Masked reconstruction: predict the log-spectrum of hidden parts of a window, or of another sensor's window.

After SelfPAB (Logacjov et al. 2024, doi:10.1007/s10489-024-05322-3), which masks spectrograms of accelerometers, and
He et al. 2022 (arXiv:2111.06377). A window is cut into patches. Some are hidden from the network, which sees the mean
of the rest in their place; a head predicts their spectra from the features of the whole window. A spectrum says how
much there was of each frequency and not when, so the network need not guess the phase of every step. With `source =
"same_time"` it sees all of one sensor's window and predicts the spectra of another sensor on the same person.

Every score stands beside a prediction that learns nothing: the mean spectrum of the patches that are not hidden, or
the spectrum of the sensor that is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.grid import AXES, TICKS_PER_SECOND
from train.objectives.objective import Figures, Objective
from train.random import Purpose, WindowRandom
from train.transforms.parts import in_parts
from train.windows.companions.same_time import SameTime

SHORTEST = 5 * TICKS_PER_SECOND
"""Ticks of the shortest window; all others are a multiple."""
FLOOR_G = 0.004
"""The amplitude from which a log-spectrum rises: about the noise of a sensor."""


@dataclass(frozen=True)
class MaskedSettings:
    """What is hidden, and how its spectrum is described."""

    source: Literal["same", "same_time"] = "same"
    """Predict hidden patches of the window itself (same), or all patches of another device's window at the same time
    (same_time)."""
    patches: int = 5
    """Equal parts of a window."""
    masked: float = 0.4
    """The share of patches that are hidden, with source = same."""
    bands: int = 15
    """Equal parts of 0 to 15 Hz."""

    def __post_init__(self) -> None:
        ticks = SHORTEST // max(self.patches, 1)
        for name, valid, expected in (
            ("patches", self.patches >= 2 and SHORTEST % self.patches == 0, f"2 or more that divide {SHORTEST} ticks"),
            ("masked", 0 < self.hidden < self.patches, f"a share that hides 1 to {self.patches - 1} patches"),
            ("bands", 1 <= self.bands <= ticks // 2, f"1 to {ticks // 2} for {self.patches} patches"),
        ):
            if not valid:
                raise ValueError(f"{name}: expected {expected}, found {getattr(self, name)}")

    @property
    def hidden(self) -> int:
        """Number of patches that are hidden."""
        return round(self.masked * self.patches) if 0 < self.masked < 1 else 0


class Decoder(nn.Module):
    """Spectra of all patches from the features of a window: a hidden layer as wide as the features, ReLU."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(features, features)
        self.linear2 = nn.Linear(features, size)

    def forward(self, features_BF: Tensor) -> Tensor:
        spectra: Tensor = self.linear2(F.relu(self.linear1(features_BF)))
        return spectra


class Masked(Objective):
    """Masked reconstruction. Targets are float32 (batch, patches, 2 x 3 bands + 1).

    For each patch: its log-spectrum, what the prediction without learning says, and 1 if the patch is to be predicted.
    """

    def __init__(self, settings: MaskedSettings) -> None:
        self.settings = settings
        self.companions = SameTime() if settings.source == "same_time" else None

    def heads(self, features: int) -> dict[str, nn.Module]:
        """Return the decoder, which is not used after pretraining."""
        return {"decoder": Decoder(features, self.settings.patches * AXES * self.settings.bands)}

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """Return one view of each window, (batch, 3, ticks) in g, and the targets."""
        return in_parts(self._from_other if self.companions else self._masked, x, random)

    def _masked(self, x_BCT: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        patches = self.settings.patches
        order_BP = random.uniform(Purpose.MASK, patches).argsort(dim=1, stable=True).argsort(dim=1)
        hidden_BP = order_BP < self.settings.hidden
        spectra_BPS = self._spectra(x_BCT)
        seen_BP1 = (~hidden_BP)[:, :, None]
        mean_BPS = _mean(spectra_BPS, seen_BP1, 1).expand_as(spectra_BPS)
        x_BCPT = x_BCT.unflatten(2, (patches, -1))
        rest_BCPT = _mean(x_BCPT, seen_BP1[:, None], (2, 3))
        shown_BCPT = torch.where(hidden_BP[:, None, :, None], rest_BCPT, x_BCPT)
        return shown_BCPT.flatten(2), torch.cat((spectra_BPS, mean_BPS, hidden_BP[:, :, None]), 2)

    def _from_other(self, x_BDCT: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        seen_BPS, asked_BPS = (self._spectra(x_BCT) for x_BCT in x_BDCT.unbind(1))
        return x_BDCT[:, 0], torch.cat((asked_BPS, seen_BPS, torch.ones_like(seen_BPS[:, :, :1])), 2)

    def _spectra(self, x_BCT: Tensor) -> Tensor:
        return log_spectra(x_BCT, self.settings.patches, self.settings.bands)

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """Return the mean squared error of the log-spectra to be predicted, and its figures.

        `masked/correct` counts the windows whose error is below that of the prediction without learning;
        `masked/baseline_sum` is the sum of the latter's errors.
        """
        predicted_BS = outputs["decoder"]
        predicted_BS = predicted_BS.to(torch.promote_types(predicted_BS.dtype, torch.float32))
        size = AXES * self.settings.bands
        spectra_BPS, plain_BPS, asked_BP1 = targets.to(predicted_BS.dtype).split((size, size, 1), 2)
        predicted_BPS = predicted_BS.unflatten(1, (self.settings.patches, size))
        error_B, plain_B = (
            _mean((guess_BPS - spectra_BPS).square(), asked_BP1, (1, 2))[:, 0, 0]
            for guess_BPS in (predicted_BPS, plain_BPS)
        )
        count = torch.full((), len(error_B), dtype=torch.float64, device=error_B.device)
        loss_sum = error_B.detach().double().sum()
        figures = {
            "masked/correct": (error_B < plain_B).sum().double(),
            "masked/count": count,
            "masked/loss_sum": loss_sum,
            "masked/baseline_sum": plain_B.double().sum(),
        }
        return error_B.mean(), figures | {"loss_sum": loss_sum, "count": count}


def log_spectra(x_BCT: Tensor, patches: int, bands: int) -> Tensor:
    """Return the log-spectrum of every patch, (batch, patches, 3 bands): ln(1 + (amplitude / FLOOR_G)^2) / 2.

    A patch without its mean gets a Hann window; a bin's amplitude is that of a sine which gives its power. The square
    in a band is the mean over the bins in it. 0 is a sensor at rest, 1 about 10 mg, 3 about 80 mg, 5.5 about 1 g.
    """
    x_BCPT = x_BCT.unflatten(2, (patches, -1))
    ticks = x_BCPT.shape[3]
    taper_T = torch.hann_window(ticks, dtype=x_BCT.dtype, device=x_BCT.device)
    spectrum = torch.fft.rfft((x_BCPT - x_BCPT.mean(3, keepdim=True)) * taper_T)[..., 1:]
    power_BCPK = (spectrum.real.square() + spectrum.imag.square()) * (4 / taper_T.sum() ** 2)
    edges = [-(-band * (ticks // 2) // bands) for band in range(bands + 1)]
    mean_BCPS = torch.stack([power_BCPK[..., first:end].mean(3) for first, end in pairwise(edges)], 3)
    return torch.log1p(mean_BCPS / FLOOR_G**2).transpose(1, 2).flatten(2) / 2


def _mean(x: Tensor, counted: Tensor, axes: int | tuple[int, ...]) -> Tensor:
    """The mean over axes, of the elements where `counted` (broadcast) is not 0; the axes stay, with length 1."""
    counted = counted.to(x.dtype).expand_as(x)
    return (x * counted).sum(axes, keepdim=True) / counted.sum(axes, keepdim=True)
