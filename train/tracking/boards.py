"""Boards that show a run: TensorBoard, and with `--track` MLflow or Weights & Biases.

MLflow and Weights & Biases are configured by their own variables (MLFLOW_TRACKING_URI, WANDB_API_KEY, WANDB_MODE). A
resumed run continues there too: its key is the URL of its checkpoints.
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
TrackerName = Literal["mlflow", "wandb"]


class Board(Protocol):
    """Shows the numbers of a run."""

    def write(self, numbers: dict[str, float], step: int) -> None:
        """Write numbers by name for a step."""
        ...

    def close(self) -> None:
        """Finish, at the end of the run."""
        ...


class Tensorboard:
    """TensorBoard files in a folder; what an earlier attempt wrote after `step` is hidden."""

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
    """An MLflow run in the experiment `persondays`."""

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
    """A Weights & Biases run in the project `persondays`; it sends in the background."""

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
    """A board that is dropped when it fails, so that training continues without it."""

    def __init__(self, board: Board, name: str) -> None:
        self.board: Board | None = board
        self.name = name

    def write(self, numbers: dict[str, float], step: int) -> None:
        """See `Board`."""
        self._attempt(lambda board: board.write(numbers, step))

    def close(self) -> None:
        """See `Board`."""
        self._attempt(lambda board: board.close())

    def _attempt(self, work: Callable[[Board], None]) -> None:
        if self.board is None:
            return
        try:
            work(self.board)
        except Exception as error:
            print(f"warning: {self.name} failed ({error}); the run continues without it.", file=sys.stderr)
            self.board = None


_TRACKERS: dict[TrackerName, Callable[[str, dict[str, Any], str], Board]] = {"mlflow": Mlflow, "wandb": Wandb}


def make_tracker(name: TrackerName, run_name: str, settings: dict[str, Any], checkpoints_url: str) -> Board:
    """Make a tracker; raises UserError if it is not installed or cannot be reached."""
    key = sha256(checkpoints_url.encode()).hexdigest()[:16]
    try:
        return BestEffort(_TRACKERS[name](run_name, settings, key), name)
    except ImportError as error:
        raise UserError(
            f"--track {name}: {name} cannot be imported ({error}). Run pip install {name}, or leave out --track."
        ) from None
    except Exception as error:
        raise UserError(
            f"--track {name}: {name} cannot start ({error}). Check its configuration, usually environment variables."
        ) from None
