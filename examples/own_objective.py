"""Pretrain on an objective of your own: this one predicts how a window tilts and how its axes vary.

    python examples/own_objective.py store checkpoints [--windows 200000]
    persondays export --checkpoint checkpoints --out model

The trainer, checkpoints, validation, reports and the export are those of `persondays train`; it also runs by torchrun.
Needs pip install 'persondays[train]'.
"""

from __future__ import annotations

import argparse
import sys

import torch
from torch import Tensor, nn

from train.loop.trainer import train
from train.objectives import OBJECTIVES, Objective
from train.objectives.objective import Figures
from train.random import WindowRandom
from train.recipe import load_recipe
from train.transforms.jitter import jitter


class Moments(Objective):
    """Predict mean and standard deviation of each axis, in g, from a noisy view of the window."""

    def heads(self, features: int) -> dict[str, nn.Module]:
        """Modules on (batch, features), by name."""
        return {"moments": nn.Linear(features, 6)}

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """What the network sees, and the targets; random numbers come from `random` only, so that runs resume."""
        return jitter(x, random, 0.02), torch.cat((x.mean(2), x.std(2)), 1)

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """The loss of a step, and sums for the log."""
        error = nn.functional.mse_loss(outputs["moments"], targets)
        count = torch.tensor(len(targets), dtype=torch.float64)
        return error, {"loss_sum": error.detach().double().cpu() * count, "count": count}


def main() -> int:
    """Train; the same command resumes."""
    arguments = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    arguments.add_argument("store")
    arguments.add_argument("checkpoints")
    arguments.add_argument("--windows", type=int, default=200_000)
    arguments.add_argument("--set", action="append", default=[], help="a setting, such as run.batch=64")
    given = arguments.parse_args()
    OBJECTIVES["moments"] = lambda settings: Moments()
    settings = ["objective.name=moments", f"run.windows={given.windows}", *given.set]
    return train(load_recipe("small", settings), given.store, given.checkpoints, "auto", None)


if __name__ == "__main__":
    sys.exit(main())
