"""What a run says: lines of its log as values, and words for people."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import torch

from pipeline.storage.folder import Folder
from train.loop.meter import Broken, Stretch, hex_of
from train.loop.setup import Run
from train.optim.schedule import rate_at
from train.tracking.log import told

SLOTS_TOLD = 20


def training_line(stretch: Stretch, run: Run) -> dict[str, Any]:
    """The values of a line `train`: what the last steps of all processes gave."""
    settings, batch = run.recipe.optimizer, run.recipe.run.batch
    return {
        "seen": run.seen,
        "epoch": run.seen / run.epoch_windows,
        "rate": rate_at(settings, batch, run.seen - batch, run.recipe.run.windows),
        "windows_per_s": stretch.steps * batch / stretch.seconds,
        "data_wait": stretch.waited_s / stretch.seconds,
        "distinct_seconds": run.stream.coverage,
        "gradient_norm": stretch.norm,
        "memory_gb": memory_gb(run.processes.device),
        "windows_digest": hex_of(run.digest),
        **told(stretch.figures),
    }


def memory_gb(device: torch.device) -> float:
    """The most memory that this process has held on its GPU; of the machine, where it trains on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def progress_text(values: dict[str, Any]) -> str:
    """A line `train` for people."""
    tasks = ", ".join(
        f"{name} {value['accuracy']:.0%}" + (f" at {value['loss']:.3f}" if "loss" in value else "")
        for name, value in values.items()
        if isinstance(value, dict)
    )
    loss = f"loss {values['loss']:.3f}" + (f" ({tasks})" if tasks else "")
    return (
        f"epoch {values['epoch']:.2f}, {values['windows_per_s']:,.0f} windows/s, data wait {values['data_wait']:.0%}, "
        f"{loss}, rate {values['rate']:.1e}, {values['memory_gb']:.1f} GB"
    )


def non_finite_message(broken: Broken, run: Run) -> tuple[str, dict[str, Any]]:
    """Of the first step that was not finite, for people and for the log."""
    batch, processes = run.recipe.run.batch, run.processes.world_size
    some = ", ".join(map(str, broken.slots[:SLOTS_TOLD])) + (" ..." if len(broken.slots) > SLOTS_TOLD else "")
    if processes > 1 and len(broken.processes) == processes:
        where = f"on all {processes} processes at once, so the weights are to blame rather than windows; they came"
    elif processes > 1 and broken.processes:
        where = f"on process {', '.join(map(str, broken.processes))} of {processes}, whose windows came"
    else:
        where = "with windows"
    before = "" if broken.norm_before is None else f", {broken.norm_before:.3g} in the step before"
    values = {
        "seen": run.seen,
        "broken_step": broken.step,
        "loss_told": str(broken.loss),
        "norm_told": str(broken.norm),
        "processes": broken.processes,
        "slots": broken.slots,
    }
    return (
        f"the loss is {broken.loss} at step {broken.step} (windows {(broken.step - 1) * batch:,} to "
        f"{broken.step * batch:,}), {where} from slots {some}. The gradient's norm is {broken.norm:.3g}{before}. Lower "
        "the learning rate (optimizer.rate_per_512) or set optimizer.clip_norm, and begin anew in another folder."
    ), values


def end_message(run: Run, folder: Folder, logs: Path, number: int) -> str:
    """How the run ended, by a signal or (0) not, and where its results lie."""
    own = run.recipe.own_windows
    last, like = run.last[own], "" if own == "real" else f" (as {own})"
    tasks = ", ".join(
        f"{name} {value['accuracy']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
        for name, value in last.items()
        if isinstance(value, dict)
    )
    tasks = f", accuracy {tasks} (99% interval)" if tasks else ""
    ended = "done"
    if number:
        ended = f"stopped by signal {number}; run the same command again to go on"
    elif run.seen < run.recipe.run.windows:
        ended = f"no better for {run.seen - run.best[1]:,} windows (run.patience)"
    return (
        f"{ended}: {run.seen:,} windows seen. Validation on people held out{like}: loss {last['loss']:.3f}"
        f"{tasks}.\ncheckpoints: {folder.url}\nlogs: {logs} (tensorboard --logdir {logs})"
    )
