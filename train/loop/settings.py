"""Settings of the run itself: its length, its batch, how often it validates and saves; and of the linear probe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from train.distributed.settings import Precision


@dataclass(frozen=True)
class RunSettings:
    """Length, batch, and how often to validate and save, in windows seen; precision and processes."""

    windows: int = 100_000_000
    batch: int = 512
    validate_every: int = 1_000_000
    save_every: int = 1_000_000
    keep: int = 3
    patience: int | None = None
    """Stop when the validation loss has not improved for this many windows."""
    precision: Precision = "float32"
    """tf32: convolutions and matrix products on a GPU round their inputs to 10 bits; bfloat16: by autocast, weights and
    the products of contrastive losses stay float32."""
    accumulate: int = 1
    """Number of pieces that a process cuts its share of a batch into, to save memory."""
    compile: bool = False
    """Compile a step, from windows in counts to the loss, with torch.compile."""
    graphs: bool = False
    """With compile: record the compiled step as CUDA graphs, which launches it in a few operations."""
    deterministic: bool = False
    """On a GPU: use only algorithms that give the same bits every time."""
    threads: int | None = None
    """Torch threads of a process; None: an equal share of the cores."""
    timeout_s: float = 1800.0
    """A process that takes no step for this long prints its stacks and exits."""

    def __post_init__(self) -> None:
        for name in ("windows", "batch", "validate_every", "save_every", "keep", "patience", "accumulate", "threads"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if self.graphs and (not self.compile or self.accumulate > 1):
            raise ValueError("graphs: expected compile = true and accumulate = 1 with graphs = true")
        if not 0 < self.timeout_s < float("inf"):
            raise ValueError(f"timeout_s: expected seconds above 0, found {self.timeout_s}")


@dataclass(frozen=True)
class ProbeSettings:
    """A linear probe of the features during training (`train.loop.probe`)."""

    data: Path | None = None
    """A labelled set, as `persondays labelled` writes it; None: no probe."""
    every: int | None = None
    """Windows between probes; None: with every validation."""

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise ValueError(f"every: expected at least 1, found {self.every}")
