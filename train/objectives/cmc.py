"""Contrastive multiview coding (CMC): one encoder per location, which match windows of the same time.

After Tian, Krishnan and Isola 2020 (arXiv:1906.05849) and, for body-worn sensors, Brinzea, Khaertdinov and Asteriadis
2022 (arXiv:2205.10071). A window of a device at one location and the simultaneous window of another device on the same
person are two views of one movement. Each location has an encoder and a projection of its own. A window looks for the
simultaneous one among those of the other location in the whole batch, in both directions. Windows are not transformed:
the other device is the other view.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from train.distributed import collectives
from train.networks.several import InTurn
from train.objectives.contrast import Contrast, figures, same_day, unit
from train.objectives.objective import Figures, Objective
from train.objectives.simclr import Projection
from train.random import WindowRandom
from train.windows.companions.same_time import SameTime, is_at

VIEWS = 2
LOCATION = re.compile("[a-z]+(?:[ -][a-z]+)*")


@dataclass(frozen=True)
class CmcSettings:
    """The two locations, and the loss."""

    locations: tuple[str, ...] = ("wrist", "hip")
    """The last words of the locations of two devices: "wrist" is a left and a right one, "left wrist" only that."""
    temperature: float = 0.1
    projection: int = 128
    hardness: float = 0.0
    """How much more similar negatives count (`train.objectives.contrast`)."""
    prior: float = 0.0
    """The expected share of negatives that are of the positive's kind."""
    loss: Literal["infonce", "sigmoid"] = "infonce"
    """Cross entropy over all windows of the other location, or a sigmoid for each pair (SigLIP)."""

    def __post_init__(self) -> None:
        wrong = list(self.contrast.wrong())
        if self.projection < 1:
            wrong.append(("projection", "at least 1"))
        if expected := self._expected_locations():
            wrong.append(("locations", expected))
        for name, expected in wrong:
            raise ValueError(f"{name}: expected {expected}, found {getattr(self, name)}")

    def _expected_locations(self) -> str | None:
        """Return what is expected of the locations if they are wrong."""
        if not all(LOCATION.fullmatch(name) for name in self.locations):
            return "words of lower-case letters, with single spaces or hyphens, such as non-dominant left wrist"
        if len(self.locations) != VIEWS or any(map(is_at, self.locations, self.locations[::-1])):
            return "two that no device can both be at, such as wrist and hip"
        return None if len(set(self.encoders)) == VIEWS else "two that differ in more than hyphens"

    @property
    def encoders(self) -> tuple[str, ...]:
        """The names of the encoders: the locations with `_` for spaces and hyphens."""
        return tuple(re.sub("[ -]", "_", name) for name in self.locations)

    @property
    def contrast(self) -> Contrast:
        """The settings of the loss."""
        return Contrast(self.temperature, self.hardness, self.prior, self.loss)


class Cmc(Objective):
    """Contrastive multiview coding. Views 2 i and 2 i + 1 are of group i, from the first and the second location.

    Targets are int64, the slot of the first window's day.
    """

    whole_batch = True

    def __init__(self, settings: CmcSettings) -> None:
        self.settings = settings
        self.companions: SameTime = SameTime(locations=settings.locations)
        self.encoders = settings.encoders

    def heads(self, features: int) -> dict[str, nn.Module]:
        """Return a projection for each encoder, and scale and bias of the pairwise sigmoid."""
        projections = {name: Projection(features, self.settings.projection) for name in self.encoders}
        return {"projection": InTurn(projections), **self.settings.contrast.heads()}

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """Return the windows as they are, (2 batch, 3, ticks) in g, and the slots of the first ones."""
        return x.flatten(0, 1), random.slot

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """Return the mean loss of this process's windows, compared with those of all processes."""
        z_VD = unit(outputs["projection"])
        all_ND = collectives.gather(z_VD)
        own_G = collectives.rank() * len(targets) + torch.arange(len(targets), device=targets.device)
        compared_GN = torch.ones(len(targets), len(all_ND) // VIEWS, dtype=torch.bool, device=targets.device)
        losses_V, correct_V = self._match(z_VD, all_ND, own_G, compared_GN, outputs)
        return losses_V.mean(), figures(losses_V, correct_V, 1 / compared_GN.sum(1).repeat(VIEWS), VIEWS)

    def score(self, outputs: dict[str, Tensor], targets: Tensor) -> Figures:
        """Return the figures with each window compared with those of its day; a day of one window is left out."""
        z_VD = unit(outputs["projection"])
        same_GG, kept_G = same_day(targets)
        own_G = torch.arange(len(targets), device=targets.device)
        losses_V, correct_V = self._match(z_VD, z_VD, own_G, same_GG, outputs)
        count_V, kept_V = same_GG.sum(1).repeat(VIEWS), kept_G.repeat(VIEWS)
        return figures(losses_V[kept_V], correct_V[kept_V], 1 / count_V[kept_V], VIEWS)

    def _match(
        self, z_VD: Tensor, all_ND: Tensor, own_G: Tensor, compared_GN: Tensor, outputs: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return loss and success of each window: all of the first location, then all of the second."""
        found = [
            self.settings.contrast.match(z_VD[view::VIEWS], all_ND[1 - view :: VIEWS], own_G, compared_GN, outputs)
            for view in range(VIEWS)
        ]
        losses_V, correct_V = (torch.cat(each) for each in zip(*found, strict=True))
        return losses_V, correct_V
