"""Training in the study: supervised, SimCLR for a modality, CMC for two. Adam at 1e-3; the last weights are kept.

CMC is contrastive multiview coding (Tian et al. 2020, arXiv:1906.05849): each trial's features of one modality find
those of the same trial in the other, among the trials of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.objectives.contrast import Contrast, unit
from train.optim.optimizer import make_optimizer
from train.optim.settings import OptimizerSettings
from train.studies.utd_mhad.networks import MODALITIES, Classifier, Encoders, projection
from train.studies.utd_mhad.trials import Trials
from train.studies.utd_mhad.views import inertial_view, skeleton_view

ADAM = OptimizerSettings(name="adam", rate_per_512=1e-3, amsgrad=False)
PATIENCE = 20
"""SimCLR halves its rate when the training loss has not fallen for so many epochs."""
FITTED = 0.01
"""Supervised training ends early when the mean loss of an epoch is below this: nothing is left to learn from."""
LEAST_STEPS = 120
"""But not before so many steps: BatchNorm's running statistics lag behind weights that change fast, and a network that
fits its trials after 60 steps is 5 to 10 points worse with them than after 100 (`bench.utd_mhad.least_steps`)."""
SUPERVISED_BATCH = 64

Report = Callable[[int, float], None]
"""Is given the epochs done and the mean loss of the last one."""


@dataclass(frozen=True)
class Pretraining:
    """How encoders are pretrained: on one modality by SimCLR, on two by CMC."""

    modalities: tuple[str, ...]
    batch: int
    temperature: float
    views: Literal["plain", "augmented", "as released"]
    """`as released`: augmented, inertial trials as the authors' released code does."""

    def rows(self, inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], ...]:
        """Return what the encoders see of a batch: inputs for two passes of one encoder, or for one pass of two."""
        passes = (inputs, inputs) if len(self.modalities) == 1 else (inputs,)
        if self.views == "plain":
            return passes
        return tuple(
            tuple(self._view(modality, x) for modality, x in zip(self.modalities, each, strict=True)) for each in passes
        )

    def _view(self, modality: str, x: Tensor) -> Tensor:
        return inertial_view(x, self.views == "as released") if modality == "inertial" else skeleton_view(x)


SIMCLR = {
    "inertial": Pretraining(("inertial",), 128, 0.05, "augmented"),
    "skeleton": Pretraining(("skeleton",), 32, 0.5, "augmented"),
}
SIMCLR_AS_RELEASED = Pretraining(("inertial",), 128, 0.05, "as released")
CMC = Pretraining(MODALITIES, 64, 0.1, "plain")


def batches(trials: int, size: int) -> Iterator[Tensor]:
    """Yield the numbers of all trials in a random order, in batches of nearly equal size, at most `size`."""
    yield from torch.randperm(trials).tensor_split(-(-trials // size))


def pretrain(settings: Pretraining, trials: Trials, epochs: int, report: Report) -> Encoders:
    """Return encoders pretrained on trials without their classes, in evaluation mode; projections are left out."""
    encoders = Encoders(settings.modalities)
    heads = nn.ModuleList(projection(features) for features in encoders.features)
    optimizer = make_optimizer(ADAM, nn.ModuleList([encoders, heads]))
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=PATIENCE)
    plateau = len(settings.modalities) == 1

    def loss_of(chosen_B: Tensor) -> Tensor:
        passes = settings.rows(trials.of(settings.modalities, chosen_B))
        if len(passes) == 2:  # two views of a modality, which share BatchNorm's statistics
            passes = (tuple(torch.cat(pair) for pair in zip(*passes, strict=True)),)
        projected = [head(each) for head, each in zip(heads, encoders(passes[0]), strict=True)]
        if len(projected) == 1:
            return nt_xent(projected[0], settings.temperature)
        return cmc_loss(projected[0], projected[1], settings.temperature)

    for epoch in range(1, epochs + 1):
        encoders.train()
        loss = one_epoch(loss_of, optimizer, len(trials), settings.batch)
        if plateau:
            schedule.step(loss)
        report(epoch, loss)
    return encoders.eval()


def one_epoch(loss_of: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, trials: int, size: int) -> float:
    """Take a step for each batch, and return the mean loss."""
    total = 0.0
    for chosen_B in batches(trials, size):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(chosen_B)
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(chosen_B)
    return total / trials


def nt_xent(z_VD: Tensor, temperature: float) -> Tensor:
    """Return the mean NT-Xent of 2 N rows, of which row i and row i + N are views of one trial."""
    z_VD = unit(z_VD)
    own_V = torch.arange(len(z_VD))
    partner_V = (own_V + len(z_VD) // 2) % len(z_VD)
    return Contrast(temperature).match(z_VD, z_VD, partner_V, own_V[:, None] != own_V, {})[0].mean()


def cmc_loss(one_BD: Tensor, other_BD: Tensor, temperature: float) -> Tensor:
    """Return the mean InfoNCE of both directions: each row finds the row of the same number on the other side."""
    one_BD, other_BD = unit(one_BD), unit(other_BD)
    own_B = torch.arange(len(one_BD))
    compared_BB = torch.ones(len(one_BD), len(one_BD), dtype=torch.bool)
    both = ((one_BD, other_BD), (other_BD, one_BD))
    return torch.stack(
        [Contrast(temperature).match(rows, among, own_B, compared_BB, {})[0].mean() for rows, among in both]
    ).mean()


def train_supervised(
    modalities: tuple[str, ...], trials: Trials, classes: int, epochs: int, report: Report
) -> tuple[Encoders, Classifier]:
    """Return encoders and a classifier trained together from random weights."""
    encoders = Encoders(modalities)
    classifier = Classifier(encoders.features, classes)
    optimizer = make_optimizer(ADAM, nn.ModuleList([encoders, classifier]))

    def loss_of(chosen_B: Tensor) -> Tensor:
        return F.cross_entropy(classifier(encoders(trials.of(modalities, chosen_B))), trials.y_N[chosen_B])

    fit(loss_of, optimizer, (encoders, classifier), len(trials), epochs, report)
    return encoders.eval(), classifier.eval()


def train_head(features: tuple[Tensor, ...], y_N: Tensor, classes: int, epochs: int, report: Report) -> Classifier:
    """Return a classifier trained on the features of frozen encoders, (trials, features) for each."""
    classifier = Classifier(tuple(each_NF.shape[1] for each_NF in features), classes)
    optimizer = make_optimizer(ADAM, classifier)

    def loss_of(chosen_B: Tensor) -> Tensor:
        return F.cross_entropy(classifier(tuple(each_NF[chosen_B] for each_NF in features)), y_N[chosen_B])

    fit(loss_of, optimizer, (classifier,), len(y_N), epochs, report)
    return classifier.eval()


def fit(
    loss_of: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    modules: tuple[nn.Module, ...],
    trials: int,
    epochs: int,
    report: Report,
) -> None:
    """Train until all epochs are done, or the mean loss of one is below FITTED."""
    for module in modules:
        module.train()
    for epoch in range(1, epochs + 1):
        loss = one_epoch(loss_of, optimizer, trials, SUPERVISED_BATCH)
        report(epoch, loss)
        if loss < FITTED and epoch * -(-trials // SUPERVISED_BATCH) >= LEAST_STEPS:
            return


@torch.no_grad()
def measure_batch_norm(encoders: Encoders, trials: Trials) -> None:
    """Set BatchNorm's running statistics to those of the trials. Random weights have none of their own."""
    norms = [module for module in encoders.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over batches
        norm.train()
    for chosen_B in batches(len(trials), SUPERVISED_BATCH):
        encoders(trials.of(encoders.modalities, chosen_B))
    encoders.eval()


@torch.inference_mode()
def features_of(encoders: Encoders, trials: Trials) -> tuple[Tensor, ...]:
    """Return the frozen encoders' features of all trials, (trials, features) for each modality."""
    parts = [encoders(trials.of(encoders.modalities, part)) for part in torch.arange(len(trials)).split(128)]
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))
