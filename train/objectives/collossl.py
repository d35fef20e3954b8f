"""Collaborative contrast (ColloSSL): match simultaneous windows of several devices on one person.

After Jain et al. 2022 (arXiv:2202.00758). The device whose acceleration is distributed most like that of a window's own
gives the positive: its window of the same time. Every other device, that one too, gives a negative: a window of another
time, which counts more the more alike the devices are. The loss is that of the paper. (The released code takes minus
the cosine as the similarity, so that training pushes simultaneous windows apart.)

`loss = "infonce"` and `"sigmoid"` are the plain variants: simultaneous windows are partners, and the windows of all
other groups of the batch are negatives, in both directions.

In the paper, a batch holds the windows of one person. Here it holds many people; docs/objectives.md says what this
changes. Validation compares the windows of one day with each other, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from train.autocast import autocast
from train.distributed import collectives
from train.objectives.contrast import Contrast, figures, info_nce, unit
from train.objectives.objective import Figures, Objective
from train.objectives.simclr import Projection
from train.random import Purpose, WindowRandom
from train.windows.companions.kind import Bound, Companions
from train.windows.companions.same_time import SameTime, SameTimeChooser
from train.windows.members import Members
from train.windows.settings import DataSettings

if TYPE_CHECKING:
    from pipeline.store.store import Store

VARIANCES = (1e-4, 1e-3, 0.01, 0.1, 1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 100.0)
"""Of the twelve Gaussian kernels, whose sum compares two windows: exp(-distance^2 / (2 variance))."""
LEAST_MMD = 1e-4
SCALE_G = 3.0
"""Accelerations are divided by this before they are compared: the authors' 30 m/s2."""
SAMPLE = 256
"""The most windows of a location by which its distribution is known."""


@dataclass(frozen=True)
class ColloSettings:
    """The loss, and what it compares."""

    devices: int = 2
    """Devices of a group: the drawn window's own, and others that were worn at the same time."""
    loss: Literal["multiview", "infonce", "sigmoid"] = "multiview"
    """That of the paper, or one of the plain variants."""
    temperature: float = 0.05
    projection: int = 0
    """Outputs of a projection in which windows are compared; 0 compares the features themselves, as in the paper."""
    hardness: float = 0.0
    """With infonce: how much more similar negatives count (`train.objectives.contrast`)."""
    prior: float = 0.0
    """With infonce: the expected share of negatives that are of the positive's kind."""

    def __post_init__(self) -> None:
        if self.loss == "multiview" and (self.hardness or self.prior):
            raise ValueError("hardness and prior: expected 0 with loss = multiview, which weights negatives by device")
        wrong = list(self.contrast.wrong())
        if self.devices < 2:
            wrong.append(("devices", "2 or more"))
        if self.projection < 0:
            wrong.append(("projection", "0 or more"))
        for name, expected in wrong:
            raise ValueError(f"{name}: expected {expected}, found {getattr(self, name)}")

    @property
    def contrast(self) -> Contrast:
        """The settings of the plain variants."""
        loss: Literal["infonce", "sigmoid"] = "sigmoid" if self.loss == "sigmoid" else "infonce"
        return Contrast(self.temperature, self.hardness, self.prior, loss)


class Devices(Companions):
    """The same time on other devices, with the location of each device of a group."""

    def __init__(self, others: int) -> None:
        self.same_time = SameTime(others)
        self.count = 1 + others
        """Number of locations, which are numbered from 0."""
        self._slot_M = torch.zeros(0, dtype=torch.int64)
        self._location_MD = torch.zeros(0, 1 + others, dtype=torch.int64)

    def facts(self, store: Store) -> dict[str, Any]:
        """See `SameTime`."""
        return self.same_time.facts(store)

    def bind(self, members: Members, store: Store, data: DataSettings, facts: Mapping[str, Any]) -> Bound:
        """See `SameTime`; reads the locations of all days."""
        bound = self.same_time.bind(members, store, data, facts)
        assert isinstance(bound.chooser, SameTimeChooser)
        table = store.person_days.read(["slot", "location"])
        names = [name or "" for name in table["location"].to_pylist()]
        numbers = {name: number for number, name in enumerate(sorted(set(names)))}
        location = {slot: numbers[name] for slot, name in zip(table["slot"].to_pylist(), names, strict=True)}
        groups = [(slot, *bound.chooser.aligned_to(slot)) for slot in bound.members.slots.tolist()]
        self.set_locations({group[0]: [location[slot] for slot in group] for group in groups}, len(numbers))
        return bound

    def set_locations(self, locations: Mapping[int, Sequence[int]], count: int) -> None:
        """Set the location, below `count`, of each device of a group, by the slot of the drawn window's day."""
        self.count = count
        self._slot_M = torch.tensor(sorted(locations))
        self._location_MD = torch.tensor([locations[slot] for slot in sorted(locations)])

    def locations(self, slot_B: Tensor) -> Tensor:
        """Return the location of each device of a group, as numbers (batch, device), by the drawn window's day.

        Before `set_locations`, the place in the group.
        """
        if not len(self._slot_M):
            return torch.arange(self._location_MD.shape[1], device=slot_B.device).expand(len(slot_B), -1)
        if self._slot_M.device != slot_B.device:  # once: a copy in every step would wait for the GPU
            self._slot_M, self._location_MD = self._slot_M.to(slot_B.device), self._location_MD.to(slot_B.device)
        return self._location_MD[torch.searchsorted(self._slot_M, slot_B.contiguous())]


class Groups(NamedTuple):
    """Simultaneous windows of several devices (group, device): embeddings of length 1, and what is known of them."""

    z_GDF: Tensor
    slot_G: Tensor
    """Slot of the first device's day."""
    location_GD: Tensor
    number_GD: Tensor
    """A random number for each window, between 0 and 1."""
    movement_GDT: Tensor
    """Magnitude of the acceleration over SCALE_G."""


class Collo(Objective):
    """Collaborative contrast. The views of a group, one for each device, follow each other.

    Targets are float64 (group, 1 + devices x (2 + ticks)): slot of the drawn window's day; for each device location,
    random number and magnitudes.
    """

    whole_batch = True

    def __init__(self, settings: ColloSettings) -> None:
        self.settings = settings
        self.companions: Devices = Devices(settings.devices - 1)

    def heads(self, features: int) -> dict[str, nn.Module]:
        """Return the projection, without weights if features are compared themselves."""
        size = self.settings.projection
        projection = Projection(features, size) if size else nn.Identity()
        return {"projection": projection, **self.settings.contrast.heads()}

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """Return one view of each window, (batch x device, 3, ticks) in g, unchanged, and what is known of them."""
        devices = range(self.settings.devices)
        numbers = [random.of_view(device).uniform(Purpose.NEGATIVES, 2).double() for device in devices]
        number_BD = torch.stack([two_B2[:, 0] + two_B2[:, 1] * 2.0**-23 for two_B2 in numbers], 1)
        known = (
            self.companions.locations(random.slot)[:, :, None],
            number_BD[:, :, None],
            magnitude(x.double()) / SCALE_G,
        )
        facts_BE = torch.cat([each.double() for each in known], 2).flatten(1)
        return x.flatten(0, 1), torch.cat((random.slot.double()[:, None], facts_BE), 1)

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """Return the mean loss of this process's groups, compared with those of all processes."""
        z_VF = unit(outputs["projection"])
        own_G = collectives.rank() * len(targets) + torch.arange(len(targets), device=targets.device)
        groups = self._groups(collectives.gather(z_VF), collectives.gather(targets))
        everyone_GN = torch.ones(len(own_G), len(groups.slot_G), dtype=torch.bool, device=own_G.device)
        losses, figures_ = self._compare(groups, own_G, everyone_GN, outputs)
        return losses.mean(), figures_

    def score(self, outputs: dict[str, Tensor], targets: Tensor) -> Figures:
        """Return the figures with each window compared with those of its day; a day of one window is left out."""
        groups = self._groups(unit(outputs["projection"]), targets)
        slots, count = groups.slot_G.unique(return_counts=True)
        nobody_G = groups.z_GDF[:0, 0, 0]
        total = figures(nobody_G, nobody_G, nobody_G, 1)
        for slot in slots[count > 1].tolist():
            day = Groups(*(each[groups.slot_G == slot] for each in groups))
            all_G = torch.arange(len(day.slot_G), device=targets.device)
            for name, value in self._compare(day, all_G, torch.ones_like(all_G[:, None] == all_G), outputs)[1].items():
                total[name] = total[name] + value
        return total

    def _groups(self, z_VF: Tensor, targets: Tensor) -> Groups:
        devices = self.settings.devices
        facts_GDE = targets[:, 1:].unflatten(1, (devices, -1))
        location_GD, number_GD = facts_GDE[:, :, 0].long(), facts_GDE[:, :, 1]
        return Groups(
            z_VF.unflatten(0, (-1, devices)), targets[:, 0].long(), location_GD, number_GD, facts_GDE[..., 2:]
        )

    def _compare(
        self, groups: Groups, own_G: Tensor, compared_GN: Tensor, outputs: dict[str, Tensor]
    ) -> tuple[Tensor, Figures]:
        """Return the losses of the groups `own_G` among all of `groups`, and their figures."""
        if self.settings.loss == "multiview":
            with autocast(own_G.device, bfloat16=False):
                distance_LL = mmd_of_locations(groups, self.companions.count)
                losses_V, correct_V = multiview(groups, own_G, distance_LL, self.settings.temperature)
            rows = 1
        else:
            first_NF, contrast = groups.z_GDF[:, 0], self.settings.contrast
            found = [
                contrast.match(seeking_NF[own_G], among_NF, own_G, compared_GN, outputs)
                for other_NF in groups.z_GDF.unbind(1)[1:]
                for seeking_NF, among_NF in ((first_NF, other_NF), (other_NF, first_NF))
            ]
            losses_V, correct_V = (torch.cat(each) for each in zip(*found, strict=True))
            rows = len(found)
        guessing_V = torch.full_like(losses_V, 1 / max(len(groups.slot_G), 1)).detach()
        return losses_V, figures(losses_V, correct_V, guessing_V, rows)


def multiview(groups: Groups, own_G: Tensor, distance_LL: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the multi-view contrastive loss of the groups `own_G`, and whether each finds its positive.

    The loss is -log p / (p + sum_n w_n u_n), with p and u_n = exp(cosine / temperature) of the positive and the
    negatives, and w_n = 1 / MMD. A positive is found if it is the most similar of the positives of all groups.
    """
    mmd_GD, z_GDF = distance_LL[groups.location_GD[:, :1], groups.location_GD[:, 1:]], groups.z_GDF
    nearest_G = 1 + mmd_GD.argmin(1)
    positive_GF = z_GDF[torch.arange(len(z_GDF), device=z_GDF.device), nearest_G]
    first_OF = z_GDF[own_G, 0]
    cosine_OG = first_OF @ positive_GF.T
    other_OD = other_times(groups)[own_G, 1:]
    negative_ODF = z_GDF.flatten(0, 1)[other_OD.clamp(min=0)]
    negative_OD = (first_OF[:, None] * negative_ODF).sum(2) / temperature - mmd_GD[own_G].log()
    negative_OD = negative_OD.to(cosine_OG.dtype).masked_fill(other_OD < 0, -torch.inf)
    positive_O = (first_OF * positive_GF[own_G]).sum(1) / temperature
    return info_nce(positive_O, negative_OD, temperature), cosine_OG.argmax(1) == own_G


def mmd_of_locations(groups: Groups, count: int) -> Tensor:
    """Return the MMD between every two of `count` locations, float64 (location, location), NaN if one has no window.

    It is the maximum mean discrepancy (Gretton et al. 2012), at least LEAST_MMD: as in the authors' code, the biased
    estimate of its square, with the sum of twelve Gaussian kernels. A location is known by its windows with the lowest
    random numbers, at most SAMPLE. Shapes do not depend on which locations the windows have, so that a GPU need not
    be waited for.
    """
    location_V, movement_VT = groups.location_GD.flatten(), groups.movement_GDT.flatten(0, 1)
    number_LV = groups.number_GD.flatten().expand(count, -1)
    there_LV = location_V == torch.arange(count, device=location_V.device)[:, None]
    chosen_LS = number_LV.masked_fill(~there_LV, torch.inf).argsort(dim=1, stable=True)[:, :SAMPLE]
    weight_LS = there_LV.gather(1, chosen_LS).double()
    return mmd(movement_VT[chosen_LS], weight_LS / weight_LS.sum(1, keepdim=True))


def mmd(x_LST: Tensor, weight_LS: Tensor) -> Tensor:
    """Return the MMD between every two of some samples, whose weights sum to 1 each."""
    square_LLSS = torch.cdist(x_LST[:, None], x_LST[None], compute_mode="donot_use_mm_for_euclid_dist").square()
    kernel_LLSS = torch.zeros_like(square_LLSS)
    for variance in VARIANCES:
        kernel_LLSS += (-square_LLSS / (2 * variance)).exp()
    mean_LL = (weight_LS[:, None, :, None] * weight_LS[None, :, None, :] * kernel_LLSS).sum((2, 3))
    own_L = mean_LL.diagonal()
    return (own_L[:, None] + own_L - 2 * mean_LL).clamp(min=LEAST_MMD)


def other_times(groups: Groups) -> Tensor:
    """Return for each window one of the same location from another group, -1 if there is none, (group, device).

    It is the index of (group, device) in the flattened windows: the next by random numbers. So all windows of a
    location are permuted in one cycle, in the same way at any world size.
    """
    location_V, devices = groups.location_GD.flatten(), groups.location_GD.shape[1]
    order_V = (location_V + groups.number_GD.flatten()).argsort(stable=True)
    sorted_V = location_V[order_V]
    is_last_V = sorted_V != sorted_V.roll(-1)
    is_last_V[-1:] = True
    following_V = torch.where(is_last_V, order_V[torch.searchsorted(sorted_V, sorted_V)], order_V.roll(-1))
    next_V = torch.empty_like(order_V)
    next_V[order_V] = following_V
    own_V = torch.arange(len(next_V), device=next_V.device) // devices
    return torch.where(next_V // devices == own_V, -1, next_V).view_as(groups.location_GD)


def magnitude(x_BDCT: Tensor) -> Tensor:
    """Return the length of the acceleration, (batch, device, ticks)."""
    return x_BDCT.square().sum(2).sqrt()
