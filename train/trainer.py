"""The training loop: one recipe, one store, one folder of checkpoints.

The trainer knows an objective only by its seam (heads, views, loss) and the stream only by its
position, which is the number of steps taken. So what a checkpoint needs is the step, the weights and
the optimizer; every random number follows from them.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.progress import Progress
from pipeline.settings import plain
from pipeline.storage import Folder
from train import checkpoint as ck
from train.log import Log, told
from train.processes import Processes
from train.recipe import Recipe
from train.run import Run, choose_start, prepare
from train.schedule import rate_at
from train.validate import CONTROLS, validate, windows_in_g
from train.windows.withdrawn import told_of_days

LOG_EVERY_STEPS = 10
IMPATIENT_S = 3.0


def train(
    recipe: Recipe, store_url: str, checkpoints_url: str, resume: Literal["auto", "never"], logs: Path | None
) -> int:
    """Train until the recipe's windows are seen; gives the exit status (0, or 128 + the signal that stopped it).

    Raises UserError for what a user can mend: store, recipe, checkpoints, numbers that do not divide.
    """
    from pipeline.store import Store

    processes = Processes(recipe.run.threads)
    try:
        with processes.together():
            folder = Folder(checkpoints_url)
            start = choose_start(folder, resume, recipe, processes)
            if start is not None and start.step * recipe.run.batch >= recipe.run.windows:
                if processes.first:
                    seen, asked = start.step * recipe.run.batch, recipe.run.windows
                    print(f"nothing to do: {seen:,} windows seen, {asked:,} asked for.")
                return 0
        with processes.together():
            store = Store.open(store_url)
        with processes.together():
            run = prepare(recipe, store, start, processes)
        with run.stream, StopSignal() as stop:
            return _loop(run, folder, stop, logs or _logs_beside(folder, recipe))
    finally:
        processes.close()


def _logs_beside(folder: Folder, recipe: Recipe) -> Path:
    if folder.is_local:
        return Path(folder.path) / "logs"
    return Path("runs") / f"train-{recipe.name}-{sha256(folder.url.encode()).hexdigest()[:8]}"


class StopSignal:
    """Notes SIGINT and SIGTERM, so that a run can end at a step with a checkpoint.

    One that comes seconds after the first ends the run at once (torchrun passes on the first as a second).
    """

    def __init__(self) -> None:
        self.number, self.at = 0, 0.0

    def __enter__(self) -> StopSignal:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number and time.monotonic() - self.at > IMPATIENT_S:
            raise KeyboardInterrupt
        if not self.number:
            self.number, self.at = number, time.monotonic()

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _loop(run: Run, folder: Folder, stop: StopSignal, logs: Path) -> int:
    recipe, processes = run.recipe, run.processes
    log = Log(logs, run.step) if processes.first else None
    saver = ck.Saver(folder, recipe.run.keep) if processes.first else None
    if log and log.is_new:
        log.write("start", run.step, {"settings": plain(recipe), "epoch_windows": run.epoch_windows, **run.facts})
    if log and run.moved:
        log.write("withdrawn", run.step, {"seen": run.seen, **run.moved})
    network: nn.Module = run.model
    if processes.world_size > 1:
        ids = [processes.device.index] if processes.device.type == "cuda" else None
        network = DistributedDataParallel(run.model, device_ids=ids, forward_sync_buffers=False)
        _settle_buckets(network, run)
    if recipe.run.compile:
        network = torch.compile(network)  # type: ignore[assignment]
    meter = Meter(run.seen)
    status, failed = 0, True
    try:
        with Progress("train", recipe.run.windows, "windows") if processes.first else nullcontext() as progress:
            if not run.step:
                _validate(run, log)
            while run.seen < recipe.run.windows:
                meter.add(_step(run, network, meter))
                run.step += 1
                status = processes.any(stop.number)
                looked = _due(run, recipe.run.validate_every)
                saving = looked or bool(status) or _due(run, recipe.run.save_every)
                if saving or run.step % LOG_EVERY_STEPS == 0:
                    _report(run, meter, log, progress)
                if looked:
                    _validate(run, log)
                if saving:
                    _save(run, saver, looked)
                    meter.reset(run.seen)
                if status or (looked and _patience_spent(run)):
                    break
        failed = False
    finally:
        if saver:
            saver.wait() if not failed else _settle(saver)
        if log:
            log.close()
    if processes.first:
        _tell_end(run, folder, logs, status)
    return 128 + status if status else 0


def _settle(saver: ck.Saver) -> None:
    """Let a save end without hiding the error that is under way."""
    try:
        saver.wait()
    except Exception as error:
        print(f"the last save failed as well: {error}", file=sys.stderr)


def _settle_buckets(network: nn.Module, run: Run) -> None:
    """Two passes whose result is thrown away, before the first step of a run and of one that goes on.

    DDP groups its gradients anew after its first steps, and so sums them in another order: without this a
    resumed run of three processes or more would differ in the last bits.
    """
    kept = {name: value.clone() for name, value in run.model.state_dict().items()}
    ticks = run.validation.signal_BCT.shape[-1]
    for _ in range(2):
        outputs = network(torch.zeros(2, 3, ticks, device=run.processes.device))
        torch.stack([out.sum() for out in outputs.values() if out.requires_grad]).sum().backward()
    run.optimizer.zero_grad(set_to_none=True)
    run.model.load_state_dict(kept)


class Meter:
    """Sums of the figures since the last report, windows a second and the share of time spent waiting for data."""

    def __init__(self, seen: int) -> None:
        self.reset(seen)

    def reset(self, seen: int) -> None:
        """Begin a new stretch after `seen` windows."""
        self.sums: dict[str, Tensor] = {}
        self.seen, self.began, self.waited = seen, time.perf_counter(), 0.0

    def add(self, figures: dict[str, Tensor]) -> None:
        """Add a step's figures."""
        for name, value in figures.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value


def _step(run: Run, network: nn.Module, meter: Meter) -> dict[str, Tensor]:
    recipe, device = run.recipe, run.processes.device
    began = time.perf_counter()
    windows = next(run.feed)
    meter.waited += time.perf_counter() - began
    x_BCT, random = windows_in_g(windows, recipe.seed, run.counts_per_g, device)
    if recipe.data.control != "none":
        x_BCT = CONTROLS[recipe.data.control](x_BCT, random)
    views, targets = run.objective.views(x_BCT, random)
    rate = rate_at(recipe.optimizer, recipe.run.batch, run.seen, recipe.run.windows)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.run.precision == "bfloat16"):
        loss, figures = run.objective.loss(network(views), targets)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if recipe.optimizer.clip_norm is not None:
        nn.utils.clip_grad_norm_(run.model.parameters(), recipe.optimizer.clip_norm)
    run.optimizer.step()
    run.processes.average_batch_norm(run.model)
    return figures


def _due(run: Run, every: int) -> bool:
    """Whether the step just taken passed a multiple of `every` windows, or was the last."""
    return run.seen // every > (run.seen - run.recipe.run.batch) // every or run.seen >= run.recipe.run.windows


def _report(run: Run, meter: Meter, log: Log | None, progress: Progress | None) -> None:
    figures = told(run.processes.sum(meter.sums))
    passed = time.perf_counter() - meter.began
    values = {
        "seen": run.seen,
        "epoch": run.seen / run.epoch_windows,
        "rate": run.optimizer.param_groups[0]["lr"],
        "windows_per_s": (run.seen - meter.seen) / passed,
        "data_wait": meter.waited / passed,
        "distinct_seconds": run.stream.coverage,
        **figures,
    }
    meter.reset(run.seen)
    if not torch.isfinite(torch.tensor(figures["loss"])):
        run.processes.fail(
            f"the loss is {figures['loss']} after {run.seen:,} windows: lower the learning rate "
            "(optimizer.rate_per_512) or set optimizer.clip_norm, and begin anew in another folder."
        )
    if log:
        log.write("train", run.step, values)
    for what, slots in run.newly_gone().items():
        if log:
            log.write(what, run.step, {"seen": run.seen, "slots": slots})
            print(told_of_days(slots, what == "damaged"), file=sys.stderr)
    if progress:
        tasks = ", ".join(
            f"{name} {value['accuracy']:.2f}" for name, value in figures.items() if isinstance(value, dict)
        )
        progress.update(
            run.seen,
            f"epoch {values['epoch']:.2f}, {values['windows_per_s']:,.0f} windows/s, "
            f"data wait {values['data_wait']:.0%}, loss {figures['loss']:.3f}, {tasks}",
        )


def _validate(run: Run, log: Log | None) -> None:
    changes = {"real": lambda x_BCT, random: x_BCT, **CONTROLS}
    run.last = validate(
        run.model, run.objective, run.validation, changes, run.recipe.seed, run.counts_per_g, run.processes
    )
    loss = run.last[_own_windows(run.recipe)]["loss"]
    if loss < run.best[0]:
        run.best = (loss, run.seen)
    if log:
        log.write("validation", run.step, {"seen": run.seen, **run.last})


def _own_windows(recipe: Recipe) -> str:
    """The validation windows that are like those trained on."""
    return "real" if recipe.data.control == "none" else recipe.data.control


def _patience_spent(run: Run) -> bool:
    patience = run.recipe.run.patience
    return patience is not None and run.seen - run.best[1] >= patience


def _save(run: Run, saver: ck.Saver | None, validated: bool) -> None:
    """Begin to save; the score is that of a validation of these very weights, or none."""
    if not all(bool(weight.isfinite().all()) for weight in run.model.parameters()):
        run.processes.fail(
            f"the weights are not finite any more after {run.seen:,} windows; they are not saved. Lower "
            "optimizer.rate_per_512 or set optimizer.clip_norm, and begin anew in another folder."
        )
    if saver is None:
        return
    state = {
        "step": run.step,
        "windows_seen": run.seen,
        "settings": plain(run.recipe),
        ck.SCORE: run.last[_own_windows(run.recipe)]["loss"] if validated else None,
        "validation": run.last,
        "best": list(run.best),
        **run.facts,
    }
    saver.save(ck.Checkpoint(ck.to_host(run.model.state_dict()), state, ck.optimizer_by_name(run.model, run.optimizer)))


def _tell_end(run: Run, folder: Folder, logs: Path, status: int) -> None:
    own = _own_windows(run.recipe)
    last, like = run.last[own], "" if own == "real" else f" (as {own})"
    tasks = ", ".join(
        f"{name} {value['accuracy']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
        for name, value in last.items()
        if isinstance(value, dict)
    )
    what = f"stopped by signal {status}; run the same command again to go on" if status else "done"
    print(
        f"{what}: {run.seen:,} windows seen. Validation on people held out{like}: "
        f"loss {last['loss']:.3f}, accuracy {tasks} "
        f"(99% interval).\ncheckpoints: {folder.url}\nlogs: {logs} (tensorboard --logdir {logs})",
        file=sys.stderr,
    )
