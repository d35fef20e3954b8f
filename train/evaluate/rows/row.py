"""The parts of a row of the table: what it sees of a window, and what learns activities from that.

A row is a kind of input (features of a network, hand-made features, the raw window) and a learner. Every row gets the
same training windows and the same people to choose its settings on, and never sees a test person's labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Inputs:
    """What a learner sees: an array for all windows of the set, and how it is computed for other windows.

    set_N has the windows as its first axis. `of` maps windows in g (windows, 3, ticks) to such an array.
    """

    set_N: Array
    of: Callable[[Array], Array]


class Head(Protocol):
    """What was learnt."""

    def predict(self, inputs_N: Array) -> Integers:
        """Return the class of each window, int64 (windows,)."""
        ...


class LogitHead(Head, Protocol):
    """A head whose classes are those of the largest logits."""

    def logits(self, inputs_N: Array) -> Array:
        """Return float32 logits (windows, classes)."""
        ...


@dataclass(frozen=True)
class Learned:
    """A head, which of several inputs it needs, and facts for results.json.

    Logits divided by `temperature` give probabilities (`rows/calibrate.py`). It is None where everybody was trained on,
    so that nobody is left to fit it on.
    """

    head: Head
    view: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    temperature: float | None = None


@dataclass(frozen=True)
class Lesson:
    """What a learner gets: arrays of training windows, one for each input; labels; the windows to choose settings on.

    held_out_N is False everywhere when there is nobody to choose on. Long work calls `report` now and then, with a
    guess at the share that is done and a note; it raises an exception when the run was interrupted.
    """

    inputs_VN: list[Array]
    y_N: Integers
    held_out_N: NDArray[np.bool_]
    classes: int
    seed: int
    report: Callable[[float, str], None] = lambda share, note: None


Learner = Callable[[Lesson], Learned]


@dataclass(frozen=True)
class Fitted:
    """A row after training on one split: predicts any windows."""

    learned: Learned
    inputs: Inputs

    def of_set(self, windows: Integers) -> Integers:
        """Return the classes of windows of the set, by their numbers."""
        return self.learned.head.predict(self.inputs.set_N[windows])

    def logits_of_set(self, windows: Integers) -> Array:
        """Return the logits of windows of the set, float32 (windows, classes); the head must be a LogitHead."""
        return cast(LogitHead, self.learned.head).logits(self.inputs.set_N[windows])

    def of(self, x_NCT: Array) -> Integers:
        """Return the classes of windows in g (windows, 3, ticks)."""
        return self.learned.head.predict(self.inputs.of(x_NCT))
