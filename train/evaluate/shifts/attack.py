"""A transfer attack: test windows changed so that another network errs, then shown to the rows.

Iterated gradient signs with momentum (Dong et al. 2018, arXiv:1710.06081), within a largest change of each value. The
attacked network is frozen, with a linear head trained on the same training people as the rows; the attacker knows the
true labels, but no row. Random signs of the same size are the control: what they cost is not due to the attack.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from train.evaluate.dataset import LabelledSet
from train.evaluate.jobs import Change, Variant
from train.evaluate.protocols import Split
from train.evaluate.rows.features import BATCH, device, features_of
from train.evaluate.rows.head import LinearHead
from train.evaluate.rows.linear import learn_linear
from train.evaluate.rows.row import Lesson
from train.networks import Encoder

LARGEST_G = (0.02, 0.05, 0.1)
STEPS = 10
MOMENTUM = 1.0


@dataclass
class Attack:
    """An attack on `network`; heads and changed windows of a split are made when a row first needs them.

    `name` identifies the network that is attacked.
    """

    network: Encoder
    name: str
    data: LabelledSet
    splits: Sequence[Split]
    seed: int
    heads: dict[int, LinearHead] = field(default_factory=dict)
    changed: dict[tuple[int, float], NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.locks = [threading.Lock() for _ in self.splits]

    def variants(self) -> list[Variant]:
        """Return the attacks and their controls."""
        return [
            *(Variant(f"attack {1000 * largest:g} mg on {self.name}", self.of(largest)) for largest in LARGEST_G),
            *(Variant(f"random signs {1000 * largest:g} mg", random_signs(largest)) for largest in LARGEST_G),
        ]

    def of(self, largest_g: float) -> Change:
        """Return the change of a split's test windows by at most `largest_g` each value."""

        def change(split: int, windows: NDArray[np.int64], x_NCT: NDArray[np.float32]) -> NDArray[np.float32]:
            with self.locks[split]:
                if (split, largest_g) not in self.changed:
                    if split not in self.heads:
                        self.heads[split] = self._head(self.splits[split])
                    y_N = self.data.y_N[windows]
                    self.changed[split, largest_g] = attacked(self.network, self.heads[split], x_NCT, y_N, largest_g)
            return self.changed[split, largest_g]

        return change

    def _head(self, split: Split) -> LinearHead:
        features_NF = features_of(self.network, self.data.x_NCT[split.train_N])
        lesson = Lesson(
            [features_NF], self.data.y_N[split.train_N], split.held_out_N, len(self.data.classes), self.seed
        )
        head = learn_linear(lesson).head
        assert isinstance(head, LinearHead)
        return head


def attacked(
    network: Encoder, head: LinearHead, x_NCT: NDArray[np.float32], y_N: NDArray[np.int64], largest_g: float
) -> NDArray[np.float32]:
    """Return windows in g, each value changed by at most `largest_g`, so that the network with the head errs."""
    network = network.to(device()).eval()
    parts = [
        _attack_batch(
            network,
            head,
            torch.from_numpy(x_NCT[start : start + BATCH]),
            torch.from_numpy(y_N[start : start + BATCH]),
            largest_g,
        )
        for start in range(0, len(x_NCT), BATCH)
    ]
    return np.concatenate(parts)


def _attack_batch(
    network: Encoder, head: LinearHead, x_BCT: Tensor, y_B: Tensor, largest_g: float
) -> NDArray[np.float32]:
    weight_FK, bias_K, mean_F, scale_F = (
        torch.from_numpy(part).to(device()) for part in (head.weight_FK, head.bias_K, head.mean_F, head.scale_F)
    )
    x_BCT, y_B = x_BCT.to(device()), y_B.to(device())
    low_BCT, high_BCT = x_BCT - largest_g, x_BCT + largest_g
    changed_BCT, momentum_BCT = x_BCT.clone(), torch.zeros_like(x_BCT)
    for _ in range(STEPS):
        changed_BCT = changed_BCT.detach().requires_grad_()
        features_BF = network(changed_BCT).flatten(1)
        loss = F.cross_entropy((features_BF - mean_F) / scale_F @ weight_FK + bias_K, y_B, reduction="sum")
        (gradient_BCT,) = torch.autograd.grad(loss, changed_BCT)
        size_B11 = gradient_BCT.abs().mean((1, 2), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        momentum_BCT = MOMENTUM * momentum_BCT + gradient_BCT / size_B11
        stepped_BCT = changed_BCT.detach() + largest_g / STEPS * momentum_BCT.sign()
        changed_BCT = torch.minimum(torch.maximum(stepped_BCT, low_BCT), high_BCT)
    result: NDArray[np.float32] = changed_BCT.cpu().numpy()
    return result


def random_signs(largest_g: float) -> Change:
    """Return a change of every value by `largest_g`, up or down at random."""

    def change(split: int, windows: NDArray[np.int64], x_NCT: NDArray[np.float32]) -> NDArray[np.float32]:
        signs_NCT = [np.random.default_rng((3, number)).choice((-1.0, 1.0), x_NCT.shape[1:]) for number in windows]
        return (x_NCT + largest_g * np.stack(signs_NCT)).astype(np.float32)

    return change
