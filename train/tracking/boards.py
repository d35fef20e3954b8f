"""Boards that show a run: TensorBoard, and MLflow or Weights & Biases where installed and asked for (`--track`).

Where these send things is theirs to know, from their own variables (MLFLOW_TRACKING_URI, WANDB_API_KEY, WANDB_MODE).
A run that goes on goes on there too: it is known by its folder of checkpoints.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol

from pipeline.errors import UserError

PROJECT = "persondays"
KEY = "persondays.checkpoints"
Tracked = Literal["mlflow", "wandb"]


class Board(Protocol):
    """Where numbers of a run go to be looked at."""

    def write(self, numbers: dict[str, float], step: int) -> None:
        """Numbers by name, of a step."""
        ...

    def close(self) -> None:
        """The run has ended."""
        ...


class Tensorboard:
    """TensorBoard's files in a folder; what an earlier try wrote beyond `step` is not shown."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=step + 1 if step else 0)

    def write(self, numbers: dict[str, float], step: int) -> None:
        """See `Board`."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See `Board`."""
        self.writer.close()


class Mlflow:
    """A run of MLflow in the experiment `persondays`."""

    def __init__(self, name: str, settings: dict[str, Any], key: str) -> None:
        import mlflow

        self.mlflow = mlflow
        experiment = mlflow.set_experiment(PROJECT).experiment_id
        found = mlflow.MlflowClient().search_runs([experiment], f"tags.`{KEY}` = '{key}'")
        known = found[0].info.run_id if found else None
        mlflow.start_run(run_id=known, run_name=name, tags=None if known else {KEY: key})
        mlflow.log_dict(settings, "settings.json")

    def write(self, numbers: dict[str, float], step: int) -> None:
        """See `Board`; sent in the background."""
        self.mlflow.log_metrics(numbers, step=step, synchronous=False)

    def close(self) -> None:
        """See `Board`."""
        self.mlflow.flush_async_logging()
        self.mlflow.end_run()


class Wandb:
    """A run of Weights & Biases in the project `persondays`; it sends in the background by itself."""

    def __init__(self, name: str, settings: dict[str, Any], key: str) -> None:
        import wandb

        self.run: Any = wandb.init(project=PROJECT, name=name, id=key, resume="allow", config=settings)

    def write(self, numbers: dict[str, float], step: int) -> None:
        """See `Board`."""
        self.run.log(numbers, step=step)

    def close(self) -> None:
        """See `Board`."""
        self.run.finish()


class BestEffort:
    """A board that a run does without once it fails: training does not stop because nobody can look at it."""

    def __init__(self, board: Board, name: str) -> None:
        self.board: Board | None = board
        self.name = name

    def write(self, numbers: dict[str, float], step: int) -> None:
        """See `Board`."""
        self._try(lambda board: board.write(numbers, step))

    def close(self) -> None:
        """See `Board`."""
        self._try(lambda board: board.close())

    def _try(self, work: Callable[[Board], None]) -> None:
        if self.board is None:
            return
        try:
            work(self.board)
        except Exception as error:
            print(f"warning: {self.name} fails ({error}); the run goes on without it.", file=sys.stderr)
            self.board = None


_TRACKERS: dict[Tracked, Callable[[str, dict[str, Any], str], Board]] = {"mlflow": Mlflow, "wandb": Wandb}


def make_tracker(name: Tracked, run_name: str, settings: dict[str, Any], checkpoints_url: str) -> Board:
    """The tracker asked for; raises UserError where it is not installed or cannot be reached."""
    key = sha256(checkpoints_url.encode()).hexdigest()[:16]
    try:
        return BestEffort(_TRACKERS[name](run_name, settings, key), name)
    except ImportError as error:
        raise UserError(
            f"--track {name}: {name} cannot be imported here ({error}). pip install {name}, or leave it out."
        ) from None
    except Exception as error:
        raise UserError(f"--track {name}: {name} refuses ({error}). Check where it is told to send things.") from None
