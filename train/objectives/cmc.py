"""Contrastive multiview coding (CMC): one encoder per location, which match windows of the same time.

After Tian, Krishnan and Isola 2020 (arXiv:1906.05849) and, for body-worn sensors, Brinzea, Khaertdinov and Asteriadis
2022 (arXiv:2205.10071). A window of a device at one location and the simultaneous window of another device on the same
person are two views of one movement. Each location has an encoder and a projection of its own. A window looks for the
simultaneous one among those of the other location in the whole batch, in both directions. Windows are not transformed:
the other device is the other view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from train.distributed import collectives
from train.networks.several import InTurn
from train.objectives.contrast import Contrast, figures, unit
from train.objectives.objective import Figures, Objective
from train.objectives.simclr import Projection
from train.random import WindowRandom
from train.windows.companions.same_time import SameTime, is_at

VIEWS = 2


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
        if not self._differ():
            wrong.append(("locations", "two that no device can both be at, such as wrist and hip"))
        for name, expected in wrong:
            raise ValueError(f"{name}: expected {expected}, found {getattr(self, name)}")

    def _differ(self) -> bool:
        if len(self.locations) != VIEWS or not all(name.replace(" ", "").isidentifier() for name in self.locations):
            return False
        first, second = self.locations
        return not is_at(first, second) and not is_at(second, first)

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
        self.encoders = tuple(name.replace(" ", "_") for name in settings.locations)

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
        same_GG = targets[:, None] == targets
        own_G = torch.arange(len(targets), device=targets.device)
        losses_V, correct_V = self._match(z_VD, z_VD, own_G, same_GG, outputs)
        count_V = same_GG.sum(1).repeat(VIEWS)
        kept_V = count_V > 1
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
