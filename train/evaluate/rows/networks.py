"""Learners that train networks: a two-layer head on frozen features, or a network with that head, all layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from train.evaluate.rows import training
from train.evaluate.rows.context import Context, random_network
from train.evaluate.rows.row import Learned, Learner, Lesson
from train.evaluate.rows.training import HEAD_RATE, TrainedNetwork, train_network, turned
from train.networks.downstream import Classifier, DownstreamNetwork


@dataclass(frozen=True)
class Standardised:
    """A head on features that are standardised first."""

    mean_F: NDArray[np.float32]
    scale_F: NDArray[np.float32]
    head: TrainedNetwork

    def predict(self, inputs_N: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the most likely class of each window, int64 (windows,)."""
        return self.head.predict((inputs_N - self.mean_F) / self.scale_F)


def two_layer_head(context: Context, draw: int) -> Learner:
    """Return a learner of a hidden layer of 512 with ReLU and a logit for each class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed + draw)
        start = Classifier(context.backbone.set_N.shape[1], len(context.data.classes))

    def learn(lesson: Lesson) -> Learned:
        features_NF = lesson.inputs_VN[0]
        mean_F, sd_F = features_NF.mean(0), features_NF.std(0)
        scale_F = np.where(sd_F > 1e-6 * np.abs(mean_F), sd_F, np.inf).astype(np.float32)
        standard = replace(lesson, inputs_VN=[(features_NF - mean_F) / scale_F])
        learned = train_network(start, standard, None, HEAD_RATE, context.epochs)
        assert isinstance(learned.head, TrainedNetwork)
        return replace(learned, head=Standardised(mean_F, scale_F, learned.head))

    return learn


def fine_tuning(context: Context, draw: int) -> Learner:
    """Return a learner that trains the backbone with a two-layer head, all layers."""
    return _all_layers(context, draw, fresh=False)


def from_scratch(context: Context, draw: int) -> Learner:
    """Return a learner that trains the same network in the same way, from random weights."""
    return _all_layers(context, draw, fresh=True)


def _all_layers(context: Context, draw: int, fresh: bool) -> Learner:
    start = start_of(context, draw, fresh)
    return lambda lesson: train_network(start, lesson, turned, training.RATE, context.epochs)


def start_of(context: Context, draw: int, fresh: bool) -> DownstreamNetwork:
    """Return the backbone, or the same network with random weights, and a two-layer head, for a random draw."""
    encoder = random_network(context.network, context.seed + draw) if fresh else context.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed + draw)
        return DownstreamNetwork(encoder, len(context.data.classes))
