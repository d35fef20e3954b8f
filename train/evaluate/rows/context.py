"""What all rows share: the labelled set, the network, features computed once, and random networks."""

from __future__ import annotations

import copy
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from train.evaluate.dataset import LabelledSet
from train.evaluate.rows.features import estimate_statistics, extract, features_of
from train.evaluate.rows.handmade import handmade
from train.evaluate.rows.row import Inputs
from train.networks import Encoder, NetworkSettings, make_network

RANDOM_NETWORKS = 5


def random_network(like: Encoder, seed: int) -> Encoder:
    """Return a network of the same shape with random weights; torch's global generator is left unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_network(NetworkSettings(like.preset, like.width))


@dataclass
class Context:
    """A labelled set, the backbone, the pool of workers and the seed; inputs are computed when first asked for.

    `epochs` is the most that a network is trained for.
    """

    data: LabelledSet
    network: Encoder
    pool: Executor
    seed: int
    epochs: int

    def of_network(self, network: Encoder) -> Inputs:
        """Return the features of a frozen network."""
        return Inputs(extract(network, self.data.x_NCT, self.pool), lambda x_NCT: features_of(network, x_NCT))

    @cached_property
    def backbone(self) -> Inputs:
        """The features of the backbone."""
        return self.of_network(self.network)

    @cached_property
    def handmade(self) -> Inputs:
        """The hand-made features."""
        return Inputs(handmade(self.data.x_NCT), handmade)

    @cached_property
    def both(self) -> Inputs:
        """The features of the backbone and the hand-made ones, side by side."""
        parts = self.backbone, self.handmade
        return Inputs(
            np.hstack([part.set_N for part in parts]), lambda x_NCT: np.hstack([part.of(x_NCT) for part in parts])
        )

    @property
    def windows(self) -> Inputs:
        """The windows themselves."""
        return Inputs(self.data.x_NCT, lambda x_NCT: x_NCT)

    def random(self, draw: int) -> list[Inputs]:
        """Return the features of a random network, with BatchNorm statistics as initialised and of these windows.

        The statistics need no labels. A head chooses between the two (docs/evaluation.md).
        """
        network = random_network(self.network, self.seed + draw)
        estimated = copy.deepcopy(network)
        estimate_statistics(estimated, self.data.x_NCT, self.seed)
        return [self.of_network(network), self.of_network(estimated)]
