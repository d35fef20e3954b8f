"""The training loop: one recipe, one store, one folder of checkpoints.

The trainer uses objectives and engines only through their interfaces. A position in the stream is the number of steps
taken, and every random number follows from it, so a checkpoint needs nothing but the step, the weights and the state of
the optimizer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeVar

from pipeline.progress import Progress
from pipeline.settings import plain
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from train.checkpoint import format as ck
from train.checkpoint.saver import Saver, check_writable
from train.checkpoint.state import State
from train.distributed.processes import Processes, hang_warning
from train.loop.memory import memory_explained
from train.loop.messages import end_message, non_finite_line, non_finite_message, progress_text, training_line
from train.loop.meter import MASK_64, Meter, digest_text
from train.loop.probe import probe
from train.loop.resume import ResumePoint, find_resume_point, require_same_start
from train.loop.run import Run
from train.loop.setup import prepare
from train.loop.signals import StopSignal, Watchdog, exit_status, stop_with_parent
from train.loop.step import take_step
from train.loop.validate import CONTROLS, validate
from train.networks.initial import read_initial
from train.networks.several import first_of
from train.recipe import Recipe
from train.tracking.boards import TrackerName, make_tracker
from train.tracking.log import RunLog
from train.windows.withdrawn import days_message

T = TypeVar("T")

LOG_EVERY_STEPS = 10


def train(
    recipe: Recipe,
    store_url: str,
    checkpoints_url: str,
    resume: Literal["auto", "never"],
    logs: Path | None,
    track: TrackerName | None = None,
    init: str | None = None,
) -> int:
    """Train until the recipe's windows are seen; returns the exit status (0, or one of `train.loop.signals`).

    `init` names the weights that a new run starts from (`train.networks.initial.read_initial`).
    Raises UserError for what a user can fix: store, recipe, checkpoints, numbers that do not divide.
    """
    from pipeline.store.store import Store

    processes = Processes(recipe.run.threads, recipe.run.timeout_s)

    def reach(work: Callable[[], T]) -> T:
        """A restarted process waits for storage, which worked before; a new run reports a wrong URL at once."""
        return with_retry(work) if processes.restarted else work()

    with processes.until_end():
        with processes.all_or_none():
            store = reach(lambda: Store.open(store_url))
        with processes.all_or_none():
            folder = Folder(checkpoints_url)
            processes.from_first(lambda: reach(lambda: check_writable(folder)))
        with processes.all_or_none():
            point = find_resume_point(folder, resume, recipe, processes)
            initial = processes.from_first(lambda: read_initial(init)) if init else None
            require_same_start(point, initial, folder)
            if point.seen >= recipe.run.windows:
                if processes.first:
                    print(f"nothing to do: {point.seen:,} windows seen, run.windows is {recipe.run.windows:,}.")
                return 0
        run = prepare(recipe, store, point.checkpoint, processes, initial)
        who = f"process {processes.rank} of {processes.world_size}"
        if processes.by_torchrun:
            stop_with_parent()
        with run.stream, run.days, StopSignal(processes.first) as stop, Watchdog(recipe.run.timeout_s, who) as watchdog:
            with processes.all_or_none():
                trainer = Trainer(run, folder, point, logs or _default_logs(folder, recipe), track)
            with memory_explained(recipe, processes):
                return trainer.loop(stop, watchdog)


def _default_logs(folder: Folder, recipe: Recipe) -> Path:
    if folder.is_local:
        return Path(folder.path) / "logs"
    return Path("runs") / f"train-{recipe.name}-{sha256(folder.url.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Due:
    """What to do after a step."""

    read_meter: bool
    validate: bool
    probe: bool
    save: bool


def due_after_step(recipe: Recipe, step: int, stopping: bool) -> Due:
    """Decide what to do after a step: work is due when it passes a multiple of its windows, and after the last step."""
    settings, seen = recipe.run, step * recipe.run.batch

    def due(every: int) -> bool:
        return seen // every > (seen - settings.batch) // every or seen >= settings.windows

    validates = due(settings.validate_every)
    probes = recipe.probe.data is not None and due(recipe.probe.every or settings.validate_every)
    saves = validates or stopping or due(settings.save_every)
    return Due(saves or probes or step % LOG_EVERY_STEPS == 0, validates, probes, saves)


class Trainer:
    """Runs the loop. Only the first process writes logs and checkpoints and shows progress."""

    def __init__(self, run: Run, folder: Folder, point: ResumePoint, logs: Path, track: TrackerName | None) -> None:
        first = run.processes.first
        self.run, self.folder, self.logs, self.meter = run, folder, logs, Meter(run.processes.device)
        self.saver = Saver(folder, run.recipe.run.keep, point.damaged) if first else None
        tracker = make_tracker(track, run.recipe.name, plain(run.recipe), folder.url) if first and track else None
        self.log = RunLog(logs, run.step, folder.url, tracker) if first else None
        self.progress: Progress | None = None
        if first and (warning := hang_warning()):
            print(f"warning: {warning}", file=sys.stderr)

    def loop(self, stop: StopSignal, watchdog: Watchdog) -> int:
        """Take steps, and validate, probe and save when due; returns the exit status."""
        run, processes, windows = self.run, self.run.processes, self.run.recipe.run.windows
        self._log_start()
        signal_number = 0
        try:
            with Progress("train", windows, "windows") if processes.first else nullcontext() as self.progress:
                if not run.step:
                    self._validate()
                    self._probe()
                self.meter.restart()
                while run.seen < windows and not signal_number:
                    self.meter.add(take_step(run))
                    watchdog.beat()
                    signal_number = processes.previous_max(stop.number)
                    due = due_after_step(run.recipe, run.step, stopping=signal_number != 0)
                    if due.read_meter:
                        self._read_meter(now=due.save or due.probe)
                    if due.validate:
                        self._validate()
                    if due.probe:
                        self._probe()
                    if due.save:
                        self._save(validated=due.validate)
                    if due.save or due.probe:
                        self.meter.restart()
                    if due.validate and self._patience_is_over():
                        break
        finally:
            self._close()
        if processes.first:
            print(end_message(run, self.folder, self.logs, signal_number), file=sys.stderr)
        return exit_status(signal_number, processes.by_torchrun)

    def _log_start(self) -> None:
        run = self.run
        facts = run.facts().to_json()
        kind = "start" if self.log and self.log.is_new else "resume"
        self._write(kind, {"settings": plain(run.recipe), "epoch_windows": run.epoch_windows, **facts})
        if run.previous_stream:
            streams = {"before": run.previous_stream.to_json(), "now": facts["stream"]}
            self._write("withdrawn", {"seen": run.seen, **streams})

    def _write(self, kind: str, values: dict[str, object]) -> None:
        if self.log:
            self.log.write(kind, self.run.step, values)

    def _read_meter(self, now: bool) -> None:
        """Log what has been read, up to this step if `now`. A loss or gradient that is not finite ends the run."""
        run = self.run
        for reading in self.meter.read(run.processes, now):
            run.digest = (run.digest + reading.digest) & MASK_64
            if reading.non_finite:
                self._write("broken", non_finite_line(reading.non_finite, run))
                run.processes.fail(non_finite_message(reading.non_finite, run))
            values = training_line(reading, run)
            if self.log:
                self.log.write("train", reading.last, values)
            if self.progress:
                self.progress.update(run.seen, progress_text(values))
        self._log_finished_saves()
        for reason, slots in run.take_new_gone().items():
            self._write(reason, {"seen": run.seen, "slots": slots})
            if run.processes.first:
                print(days_message(slots, reason == "damaged"), file=sys.stderr)

    def _validate(self) -> None:
        run = self.run
        real = {"real": lambda x_BCT, random: x_BCT}
        scores_of = partial(
            validate,
            run.model,
            run.objective,
            run.validation,
            seed=run.recipe.seed,
            counts_per_g=run.counts_per_g,
            processes=run.processes,
        )
        run.last_validation = scores_of(changes={**real, **CONTROLS})
        if run.average and run.step:
            with run.average.applied():
                run.last_validation["averaged"] = scores_of(changes=real)["real"]
        if self._validation_loss() < run.best[0]:
            run.best = (self._validation_loss(), run.seen)
        self._write("validation", {"seen": run.seen, **run.last_validation})

    def _validation_loss(self) -> float:
        """The last validation loss, on windows like those trained on."""
        loss: float = self.run.last_validation[self.run.recipe.windows_kind]["loss"]
        return loss

    def _probe(self) -> None:
        """Probe the features on the first process; the others wait for it in the next step."""
        if self.run.labelled is not None:
            scores = probe(first_of(self.run.model.feature_extractor), self.run.labelled)
            self._write("probe", {"seen": self.run.seen, **scores})

    def _patience_is_over(self) -> bool:
        patience = self.run.recipe.run.patience
        return patience is not None and self.run.seen - self.run.best[1] >= patience

    def _save(self, validated: bool) -> None:
        """Start to save; the checkpoint gets a validation loss only if these very weights were `validated`."""
        run, started = self.run, time.perf_counter()
        if not all(bool(weight.isfinite().all()) for weight in run.model.parameters()):
            run.processes.fail(
                f"some weights are not finite after {run.seen:,} windows, so they are not saved. Lower "
                "optimizer.rate_per_512 or set optimizer.clip_norm, and start a new run in another folder."
            )
        optimizer = run.engine.optimizer_state()
        if self.saver is None:
            return
        if run.average:
            optimizer = run.average.add_to(optimizer)
        state = State(
            step=run.step,
            windows_seen=run.seen,
            windows_digest=digest_text(run.digest),
            settings=plain(run.recipe),
            validation_loss=self._validation_loss() if validated else None,
            validation=run.last_validation,
            best=run.best,
            facts=run.facts(),
        )
        self.saver.save(ck.Checkpoint(ck.to_host(run.model.state_dict()), state, optimizer))
        self._write("save", {"seen": run.seen, "wait_s": time.perf_counter() - started})

    def _log_finished_saves(self) -> None:
        for saved in self.saver.take_finished() if self.saver else ():
            self._write("saved", {"saved_step": saved.step, "seconds": saved.seconds, "bytes": saved.bytes})

    def _close(self) -> None:
        """Wait for the last save, except after a second Ctrl-C. An error under way is raised before one of the save."""
        failing = sys.exception()
        try:
            if self.saver and not isinstance(failing, KeyboardInterrupt):
                self.saver.wait()
        except Exception as error:
            if failing is None:
                raise
            print(f"the last save failed too: {error}", file=sys.stderr)
        finally:
            if self.log:
                self._log_finished_saves()
                self.log.close()
