"""SimCLR: match the two views of every window, or of a window and its companion.

After Chen et al. 2020 (arXiv:2002.05709) and, for accelerometers, Tang et al. 2020 (arXiv:2011.11542). A view is the
window as another device might have measured it: scaled, its segments reordered, rotated, with noise. The network's
features go through a projection. For each view, the loss is the cross entropy of finding the window's other view among
all views of the batch, on all processes (normalised temperature-scaled cross entropy, NT-Xent).

The size of the batch decides how hard that is. Validation instead compares a view with the views of its own day, which
is the same problem at any batch and world size, and recognising the day does not help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.grid import AXES, SECONDS_PER_DAY
from train.distributed import collectives
from train.objectives.contrast import Contrast, figures, same_day, unit
from train.objectives.objective import Figures, Objective
from train.random import Purpose, WindowRandom
from train.transforms.axes import permute_axes
from train.transforms.jitter import jitter
from train.transforms.parts import in_parts
from train.transforms.permutation import MAX_SEGMENTS, permute
from train.transforms.rotation import rotate
from train.transforms.scaling import rescale
from train.windows.companions.kind import Companions
from train.windows.companions.nearby import Nearby
from train.windows.companions.other_day import OtherDay
from train.windows.companions.same_time import SameTime


@dataclass(frozen=True)
class SimclrSettings:
    """The temperature of the loss, the size of the projection, and the transforms of a view."""

    temperature: float = 0.1
    projection: int = 128
    scaling: float = 0.2
    """A factor for each axis, uniform on 1 - scaling to 1 + scaling; 0 is off."""
    permutation: int = 4
    """The number of segments that are reordered; 0 is off."""
    axis_permutation: bool = True
    rotation: float = 1.0
    """1: a rotation uniform on SO(3); less: that share of its angle; 0 is off."""
    jitter_g: float = 0.02
    """The standard deviation of white noise, in g; 0 is off."""
    positive: Literal["same", "nearby", "other_day", "same_time"] = "same"
    """The second view is of the window itself (same), of another window of its day (nearby), of another day of the
    participant (other_day), or of another device at the same time (same_time)."""
    nearby_s: float = 30.0
    """Largest distance between the starts of a window and a nearby one, in seconds."""
    hardness: float = 0.0
    """How much more similar negatives count (`train.objectives.contrast`); 0 counts all alike."""
    prior: float = 0.0
    """The expected share of negatives that are of the positive's kind; 0 takes all as true negatives."""
    loss: Literal["infonce", "sigmoid"] = "infonce"
    """Cross entropy over all views of the batch (NT-Xent), or a sigmoid for each pair of views (SigLIP)."""

    def __post_init__(self) -> None:
        segments = self.permutation == 0 or 2 <= self.permutation <= MAX_SEGMENTS
        for name, valid, expected in (
            ("projection", self.projection >= 1, "at least 1"),
            ("scaling", 0 <= self.scaling < 1, "0 to below 1"),
            ("permutation", segments, f"0 or 2 to {MAX_SEGMENTS} segments"),
            ("rotation", 0 <= self.rotation <= 1, "0 to 1"),
            ("jitter_g", 0 <= self.jitter_g < float("inf"), "a standard deviation in g, 0 or more"),
            ("nearby_s", 0 < self.nearby_s <= SECONDS_PER_DAY, "seconds above 0, at most a day"),
        ):
            if not valid:
                raise ValueError(f"{name}: expected {expected}, found {getattr(self, name)}")
        for name, expected in self.contrast.wrong():
            raise ValueError(f"{name}: expected {expected}, found {getattr(self, name)}")

    @property
    def contrast(self) -> Contrast:
        """The settings of the loss."""
        return Contrast(self.temperature, self.hardness, self.prior, self.loss)


class Projection(nn.Module):
    """Maps features to `size` outputs, in which views are compared; a hidden layer as wide as the features, ReLU."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(features, features)
        self.linear2 = nn.Linear(features, size)

    def forward(self, features_BF: Tensor) -> Tensor:
        projected: Tensor = self.linear2(F.relu(self.linear1(features_BF)))
        return projected


class Simclr(Objective):
    """The SimCLR objective. Views 2 i and 2 i + 1 are of window i, or of it and its companion.

    Targets are int64, the slot of the window's day for both views.
    """

    whole_batch = True

    def __init__(self, settings: SimclrSettings) -> None:
        self.settings = settings
        kinds: dict[str, Companions] = {
            "nearby": Nearby(settings.nearby_s),
            "other_day": OtherDay(),
            "same_time": SameTime(),
        }
        self.companions = kinds.get(settings.positive)

    def heads(self, features: int) -> dict[str, nn.Module]:
        """Return the projection, and scale and bias of the pairwise sigmoid; neither is used after pretraining."""
        return {"projection": Projection(features, self.settings.projection), **self.settings.contrast.heads()}

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """Return two views of each window, (2 batch, 3, ticks) in g, and the slots of their days."""
        return in_parts(self._pairs, x, random)

    def _pairs(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        settings = self.settings
        counts = {
            Purpose.RESCALING: AXES if settings.scaling > 0 else 0,
            Purpose.PERMUTATION: settings.permutation,
            Purpose.AXES: 1 if settings.axis_permutation else 0,
            Purpose.ROTATION: 3 if settings.rotation > 0 else 0,
            Purpose.JITTER: AXES * x.shape[-1] if settings.jitter_g > 0 else 0,
        }
        if any(counts.values()):
            random = random.together({purpose: count for purpose, count in counts.items() if count}, views=(1, 2))
        two_BCT = x.unbind(1) if self.companions else (x, x)
        pairs = torch.stack([self._view(x_BCT, random.of_view(view)) for view, x_BCT in enumerate(two_BCT, 1)], 1)
        return pairs.flatten(0, 1), random.slot.repeat_interleave(2)

    def _view(self, x_BCT: Tensor, random: WindowRandom) -> Tensor:
        settings = self.settings
        if settings.scaling > 0:
            x_BCT = rescale(x_BCT, random, settings.scaling)
        if settings.permutation:
            x_BCT = permute(x_BCT, random, None, settings.permutation)
        if settings.axis_permutation:
            x_BCT = permute_axes(x_BCT, random)
        if settings.rotation > 0:
            x_BCT = rotate(x_BCT, random, settings.rotation)
        if settings.jitter_g > 0:
            x_BCT = jitter(x_BCT, random, settings.jitter_g)
        return x_BCT

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """Return the mean NT-Xent of this process's views, each compared with the views of all processes."""
        z_VD = unit(outputs["projection"])
        all_ND = collectives.gather(z_VD)
        own_V = collectives.rank() * len(z_VD) + torch.arange(len(z_VD), device=z_VD.device)
        rivals_VN = own_V[:, None] != torch.arange(len(all_ND), device=z_VD.device)
        losses_V, correct_V = self.settings.contrast.match(z_VD, all_ND, own_V ^ 1, rivals_VN, outputs)
        return losses_V.mean(), figures(losses_V, correct_V, 1 / rivals_VN.sum(1), 2)

    def score(self, outputs: dict[str, Tensor], targets: Tensor) -> Figures:
        """Return the figures with each view compared with those of its day; a day of one window is left out."""
        z_VD = unit(outputs["projection"])
        own_V = torch.arange(len(z_VD), device=z_VD.device)
        same_VV, kept_V = same_day(targets, 2)
        rivals_VV = same_VV & (own_V[:, None] != own_V)
        losses_V, correct_V = self.settings.contrast.match(z_VD, z_VD, own_V ^ 1, rivals_VV, outputs)
        return figures(losses_V[kept_V], correct_V[kept_V], 1 / rivals_VV.sum(1)[kept_V], 2)
