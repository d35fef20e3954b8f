"""The rows of the table, by name. A row is an entry in `ROWS`: an input, a learner, and how both are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from train.evaluate.rows.context import RANDOM_NETWORKS, Context, random_network
from train.evaluate.rows.kept import tuning, tuning_from_scratch
from train.evaluate.rows.linear import learn_linear
from train.evaluate.rows.networks import fine_tuning, from_scratch, two_layer_head
from train.evaluate.rows.row import Inputs, Learner
from train.evaluate.rows.trees import learn_boosting, learn_forest

__all__ = ["RANDOM_NETWORKS", "ROWS", "Context", "Row", "random_network"]


@dataclass(frozen=True)
class Row:
    """A row: its title, its inputs and learner for a random draw, and what it depends on.

    `cost` is a guess at its share of the time; `uses_model` says whether results change with the backbone,
    `random` whether they change with the draw, `epochs` whether they change with the limit on epochs, and `package`
    names an optional package that it needs.
    """

    title: str
    inputs: Callable[[Context, int], list[Inputs]]
    learner: Callable[[Context, int], Learner]
    cost: float
    uses_model: bool = True
    random: bool = False
    epochs: bool = False
    draws: int = 1
    package: str = ""


def _linear(context: Context, draw: int) -> Learner:
    return learn_linear


def _weighted(context: Context, draw: int) -> Learner:
    return partial(learn_linear, weighted=True)


def _forest(context: Context, draw: int) -> Learner:
    return learn_forest


def _boosting(context: Context, draw: int) -> Learner:
    return learn_boosting


ROWS = {
    "linear": Row("frozen backbone, linear head", lambda c, d: [c.backbone], _linear, 2),
    "weighted": Row("frozen backbone, linear head, classes weighted", lambda c, d: [c.backbone], _weighted, 2),
    "mlp": Row(
        "frozen backbone, two-layer head", lambda c, d: [c.backbone], two_layer_head, 4, random=True, epochs=True
    ),
    "finetuned": Row(
        "backbone fine-tuned, all layers", lambda c, d: [c.windows], fine_tuning, 400, random=True, epochs=True
    ),
    "scratch": Row(
        "same network trained from scratch", lambda c, d: [c.windows], from_scratch, 400, random=True, epochs=True
    ),
    "tuned": Row(
        "backbone fine-tuned, orientation kept", lambda c, d: [c.windows], tuning, 200, random=True, epochs=True
    ),
    "tuned-scratch": Row(
        "the same from scratch", lambda c, d: [c.windows], tuning_from_scratch, 200, random=True, epochs=True
    ),
    "random": Row(
        "frozen random weights, linear head", lambda c, d: c.random(d), _linear, 6, random=True, draws=RANDOM_NETWORKS
    ),
    "handmade": Row("hand-made features, linear head", lambda c, d: [c.handmade], _linear, 1, uses_model=False),
    "forest": Row(
        "hand-made features, random forest",
        lambda c, d: [c.handmade],
        _forest,
        8,
        uses_model=False,
        random=True,
        package="sklearn",
    ),
    "boosting": Row(
        "hand-made features, gradient boosting",
        lambda c, d: [c.handmade],
        _boosting,
        30,
        uses_model=False,
        package="sklearn",
    ),
    "both": Row("backbone and hand-made features, linear head", lambda c, d: [c.both], _linear, 2),
    "both-forest": Row(
        "backbone and hand-made features, random forest",
        lambda c, d: [c.both],
        _forest,
        20,
        random=True,
        package="sklearn",
    ),
}
