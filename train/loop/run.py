"""The state of a run while it trains."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from pipeline.store.day_reader import DayReader
from train.checkpoint.state import RunFacts, StreamFacts
from train.distributed.engines import Engine
from train.distributed.processes import Processes
from train.evaluate.dataset import LabelledSet
from train.networks.batch_norm import running_statistics
from train.networks.model import Model
from train.objectives import Objective
from train.optim.averaging import Average
from train.recipe import Recipe
from train.windows.feed import Feed
from train.windows.members import HeldOut
from train.windows.pool import Windows
from train.windows.stream import Stream
from train.windows.withdrawn import Substitutes


@dataclass
class Run:
    """All that a run consists of, and how far it is."""

    recipe: Recipe
    processes: Processes
    counts_per_g: float
    objective: Objective
    model: Model
    optimizer: torch.optim.Optimizer
    engine: Engine
    days: DayReader
    stream: Stream
    substitutes: Substitutes
    validation: Windows
    held_out: HeldOut
    fixed_facts: RunFacts
    """What does not change while the run trains."""
    epoch_windows: int
    previous_stream: StreamFacts | None = None
    """The stream of the checkpoint, if withdrawals have deleted its version of the tables since."""
    average: Average | None = None
    """The running mean of the weights, if the recipe asks for it."""
    labelled: LabelledSet | None = None
    """Data of the linear probe, on the first process."""
    step: int = 0
    best: tuple[float, int] = (float("inf"), 0)
    """Lowest validation loss, and the windows seen then."""
    last_validation: dict[str, Any] = field(default_factory=dict)
    digest: int = 0
    """Digest of all windows seen and the steps that they came in: the same at any world size (`meter.digest`)."""

    def __post_init__(self) -> None:
        self.feed = Feed(self.stream, self.processes.device)
        self.statistics = running_statistics(self.model)

    @property
    def seen(self) -> int:
        """Windows seen by all processes."""
        return self.step * self.recipe.run.batch

    def facts(self) -> RunFacts:
        """What checkpoints and logs say about the run; names nobody who has withdrawn by now."""
        self.held_out.update()
        return replace(
            self.fixed_facts,
            validation_participants=sorted(self.held_out.participants),
            validation_slots_withdrawn=sorted(self.held_out.withdrawn_slots),
        )

    def take_new_gone(self) -> dict[str, list[int]]:
        """Return the slots that turned out "withdrawn" or "damaged" since the last call, on any process.

        All processes have to call this.
        """
        new = sorted(each for own in self.processes.all(self.substitutes.take_new()) for each in own)
        withdrawn = [slot for slot, damaged in new if not damaged]
        damaged_ = [slot for slot, damaged in new if damaged]
        return {reason: slots for reason, slots in (("withdrawn", withdrawn), ("damaged", damaged_)) if slots}
