"""What a run prints, and the values of its log lines."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import torch

from pipeline.storage.folder import Folder
from train.checkpoint.state import StreamFacts
from train.loop.meter import NonFinite, Reading, digest_text
from train.loop.run import Run
from train.optim.schedule import rate_at
from train.tracking.log import summarise

MAX_SLOTS_SHOWN = 20


def setup_message(run: Run) -> str:
    """Data, network and processes of a run, printed before its first step."""
    network, stream = run.recipe.network, run.fixed_facts.stream
    assert stream is not None
    parameters = sum(parameter.numel() for parameter in run.model.feature_extractor.parameters())
    start = f"resuming after {run.seen:,} windows" if run.step else "starting a new run"
    return (
        f"{stream.members:,} person-days of {run.fixed_facts.participants:,} participants in {stream.lanes} lanes, "
        f"{run.epoch_windows:,} windows an epoch; {len(run.held_out.participants):,} participants held out.\n"
        f"{network.preset} at width {network.width:g}: {parameters:,} parameters; "
        f"{run.processes.world_size} process(es) on {run.processes.device.type}, engine {run.recipe.engine.name}; "
        f"{start}."
    )


def tables_message(before: StreamFacts, now: StreamFacts) -> str:
    """Printed by a run that resumes with a newer version of the tables than its checkpoint has."""
    return (
        f"withdrawn: participants have withdrawn, and version {before.table_version} of the tables was deleted with "
        f"their data. This run continues with version {now.table_version}: {before.members:,} person-days before, "
        f"{now.members:,} now; {before.lanes} lanes before, {now.lanes} now. From here on, it is not exactly the same "
        "as a run that never stopped."
    )


def training_line(reading: Reading, run: Run) -> dict[str, Any]:
    """The values of a log line `train`."""
    settings, batch = run.recipe.optimizer, run.recipe.run.batch
    seen = reading.last * batch
    return {
        "seen": seen,
        "epoch": seen / run.epoch_windows,
        "rate": rate_at(settings, batch, seen - batch, run.recipe.run.windows),
        "windows_per_s": reading.steps * batch / reading.seconds,
        "data_wait": reading.waited_s / reading.seconds,
        "distinct_seconds": run.stream.coverage,
        **({"without_companion": run.stream.alone_share} if run.stream.chooser.count else {}),
        "gradient_norm": reading.norm,
        "memory_gb": memory_gb(run.processes.device),
        "windows_digest": digest_text(run.digest),
        **summarise(reading.figures),
    }


def memory_gb(device: torch.device) -> float:
    """Return the peak memory of this process: on its GPU, or in the host's memory if it trains on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def progress_text(values: dict[str, Any]) -> str:
    """The progress line for the values of a log line `train`."""
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


def non_finite_line(found: NonFinite, run: Run) -> dict[str, Any]:
    """The values of a log line `broken`."""
    return {
        "seen": run.seen,
        "broken_step": found.step,
        "loss_text": str(found.loss),
        "gradient_norm_text": str(found.norm),
        "processes": found.processes,
        "slots": found.slots,
    }


def non_finite_message(found: NonFinite, run: Run) -> str:
    """The error of a run whose loss or gradient is not finite."""
    batch, processes = run.recipe.run.batch, run.processes.world_size
    slots = ", ".join(map(str, found.slots[:MAX_SLOTS_SHOWN])) + (" ..." if len(found.slots) > MAX_SLOTS_SHOWN else "")
    if processes > 1 and len(found.processes) == processes:
        where = f"on all {processes} processes, so the weights are the likely cause and not the windows, which came"
    elif processes > 1 and found.processes:
        where = f"on process {', '.join(map(str, found.processes))} of {processes}, whose windows came"
    else:
        where = "with windows"
    before = "" if found.norm_before is None else f", and {found.norm_before:.3g} in the step before"
    return (
        f"the loss is {found.loss} at step {found.step} (windows {(found.step - 1) * batch:,} to "
        f"{found.step * batch:,}), {where} from slots {slots}. The gradient norm is {found.norm:.3g}{before}. Lower "
        "the learning rate (optimizer.rate_per_512) or set optimizer.clip_norm, and start a new run in another folder."
    )


def end_message(run: Run, folder: Folder, logs: Path, signal_number: int) -> str:
    """How the run ended, by a signal or (0) by itself, and where its results are."""
    kind = run.recipe.windows_kind
    last, as_what = run.last_validation[kind], "" if kind == "real" else f" (as {kind})"
    tasks = ", ".join(
        f"{name} {value['accuracy']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
        for name, value in last.items()
        if isinstance(value, dict)
    )
    tasks = f", accuracy {tasks} (99% interval)" if tasks else ""
    ended = "done"
    if signal_number:
        ended = f"stopped by signal {signal_number}; run the same command again to resume"
    elif run.seen < run.recipe.run.windows:
        ended = f"no better for {run.seen - run.best[1]:,} windows (run.patience)"
    return (
        f"{ended}: {run.seen:,} windows seen. Validation on held-out participants{as_what}: loss {last['loss']:.3f}"
        f"{tasks}.\ncheckpoints: {folder.url}\nlogs: {logs} (tensorboard --logdir {logs})"
    )
