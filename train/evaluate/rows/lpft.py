"""Fine-tuning from the linear head: first the head on frozen features, then all layers (Kumar et al., ICLR 2022).

Training starts where the row `linear` ends, so that a head with random weights does not spoil the features. Windows
keep their orientation. BatchNorm keeps the statistics of pretraining. The number of epochs is chosen on the people held
out, and the network is then trained for so many epochs on all training windows, as the linear head is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from train.evaluate.rows.context import Context
from train.evaluate.rows.head import LinearHead, choose, fit_head
from train.evaluate.rows.row import Learned, Learner, Lesson
from train.evaluate.rows.training import EPOCHS_ALONE, train_network
from train.networks import Encoder
from train.random import WindowRandom
from train.transforms.rotation import rotate

RATE = 1e-4
TURN = 0.05
"""Share of the angle of a uniform rotation by which training windows are turned: 6 degrees in the mean."""


class WithLinear(nn.Module):
    """A linear head on a backbone: windows (batch, 3, ticks) to logits (batch, classes); BatchNorm stays frozen."""

    def __init__(self, backbone: Encoder, head: LinearHead) -> None:
        super().__init__()
        self.backbone = backbone
        weight_FK = head.weight_FK / head.scale_F[:, None]
        self.linear = nn.Linear(*weight_FK.shape)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weight_FK.T))
            self.linear.bias.copy_(torch.from_numpy(head.bias_K - head.mean_F @ weight_FK))

    def forward(self, x_BCT: Tensor) -> Tensor:
        logits_BK: Tensor = self.linear(self.backbone(x_BCT).flatten(1))
        return logits_BK

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all layers but BatchNorm, which always uses its running statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def slightly_turned(x_BCT: Tensor, random: WindowRandom) -> Tensor:
    """Return windows, each turned a little about an axis of its own."""
    return rotate(x_BCT, random, TURN)


def linear_then_all(context: Context, draw: int) -> Learner:
    """Return a learner of two inputs, the features of the backbone and the windows; what it learns takes windows."""

    def learn(lesson: Lesson) -> Learned:
        features_NF, x_NCT = lesson.inputs_VN
        _, c, head = choose([features_NF], lesson.y_N, lesson.held_out_N, lesson.classes)
        epochs = min(EPOCHS_ALONE, context.epochs)
        if head is not None:
            half = replace(lesson, inputs_VN=[x_NCT], report=lambda share, note: lesson.report(share / 2, note))
            stopped = train_network(WithLinear(context.network, head), half, slightly_turned, RATE, context.epochs)
            epochs = stopped.facts["best_epoch"]
        whole = WithLinear(context.network, fit_head(features_NF, lesson.y_N, lesson.classes, c, head))
        everybody = replace(
            lesson,
            inputs_VN=[x_NCT],
            held_out_N=np.zeros_like(lesson.held_out_N),
            report=lambda share, note: lesson.report((1 + share) / 2, f"all people, {note}"),
        )
        learned = train_network(whole, everybody, slightly_turned, RATE, epochs_alone=epochs)
        return Learned(learned.head, 1, {"c": c, "epochs": epochs})

    return learn
