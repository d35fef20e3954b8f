"""The training loop: one recipe, one store, one folder of checkpoints.

The trainer knows an objective and an engine only by their seams, and the stream only by its position, which is the
number of steps taken. So what a checkpoint needs is the step, the weights and the optimizer's state; every random
number follows from them.
"""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pipeline.progress import Progress
from pipeline.settings import plain
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from train.checkpoint import format as ck
from train.checkpoint.saver import Saver, try_out
from train.distributed.processes import Processes, hang_warning
from train.loop.messages import end_message, non_finite_message, progress_text, training_line
from train.loop.meter import Meter, hex_of
from train.loop.probe import probe
from train.loop.resume import Start, choose_start
from train.loop.setup import DIGEST, Run, prepare
from train.loop.signals import StopSignal, Watchdog, exit_status, go_with_parent
from train.loop.step import take_step
from train.loop.validate import CONTROLS, validate
from train.recipe import Recipe
from train.tracking.boards import Tracked, make_tracker
from train.tracking.log import Log
from train.windows.withdrawn import days_message

LOG_EVERY_STEPS = 10


def train(
    recipe: Recipe,
    store_url: str,
    checkpoints_url: str,
    resume: Literal["auto", "never"],
    logs: Path | None,
    track: Tracked | None = None,
) -> int:
    """Train until the recipe's windows are seen; gives the exit status (0, or that of `train.loop.signals`).

    Raises UserError for what a user can mend: store, recipe, checkpoints, numbers that do not divide.
    """
    from pipeline.store.store import Store

    processes = Processes(recipe.run.threads, recipe.run.timeout_s)
    look = with_retry if processes.restarted else lambda work: work()  # what answered before does so again
    try:
        with processes.together():
            folder = Folder(checkpoints_url)
            processes.from_first(lambda: look(lambda: try_out(folder)))
        with processes.together():
            start = choose_start(folder, resume, recipe, processes)
            if start.seen >= recipe.run.windows:
                if processes.first:
                    print(f"nothing to do: {start.seen:,} windows seen, {recipe.run.windows:,} asked for.")
                return 0
        with processes.together():
            store = look(lambda: Store.open(store_url))
        run = prepare(recipe, store, start.checkpoint, processes)
        who = f"process {processes.rank} of {processes.world_size}"
        if processes.by_torchrun:
            go_with_parent()
        with run.stream, run.days, StopSignal(processes.first) as stop, Watchdog(recipe.run.timeout_s, who) as watchdog:
            with processes.together():
                trainer = Trainer(run, folder, start, logs or _logs_beside(folder, recipe), track)
            return trainer.loop(stop, watchdog)
    finally:
        processes.close()


def _logs_beside(folder: Folder, recipe: Recipe) -> Path:
    if folder.is_local:
        return Path(folder.path) / "logs"
    return Path("runs") / f"train-{recipe.name}-{sha256(folder.url.encode()).hexdigest()[:8]}"


class Trainer:
    """A run under way. What is written or shown is so by the first process."""

    def __init__(self, run: Run, folder: Folder, start: Start, logs: Path, track: Tracked | None) -> None:
        first = run.processes.first
        self.run, self.folder, self.logs, self.meter = run, folder, logs, Meter()
        self.saver = Saver(folder, run.recipe.run.keep, start.damaged) if first else None
        tracker = make_tracker(track, run.recipe.name, plain(run.recipe), folder.url) if first and track else None
        self.log = Log(logs, run.step, folder.url, tracker) if first else None
        self.progress: Progress | None = None
        if first and (advice := hang_warning()):
            print(f"warning: {advice}", file=sys.stderr)

    def loop(self, stop: StopSignal, watchdog: Watchdog) -> int:
        """Step, look, validate and save as they fall due; gives the exit status."""
        run, settings, processes = self.run, self.run.recipe.run, self.run.processes
        kind = "start" if self.log and self.log.is_new else "resume"
        self._write(kind, {"settings": plain(run.recipe), "epoch_windows": run.epoch_windows, **run.facts})
        if run.moved:
            self._write("withdrawn", {"seen": run.seen, **run.moved})
        number, probe_every = 0, run.recipe.probe.every or settings.validate_every
        try:
            with Progress("train", settings.windows, "windows") if processes.first else nullcontext() as self.progress:
                if not run.step:
                    self._validate()
                    self._probe()
                while run.seen < settings.windows and not number:
                    self.meter.add(take_step(run))
                    watchdog.beat()
                    number = processes.any_a_call_ago(stop.number)
                    looked = self._due(settings.validate_every)
                    probed = run.recipe.probe.data is not None and self._due(probe_every)
                    saved = looked or bool(number) or self._due(settings.save_every)
                    if saved or probed or run.step % LOG_EVERY_STEPS == 0:
                        self._look()
                    if looked:
                        self._validate()
                    if probed:
                        self._probe()
                    if saved:
                        self._save(looked)
                    if saved or probed:
                        self.meter.begin()
                    if looked and self._patience_spent():
                        break
        finally:
            self._close()
        if processes.first:
            print(end_message(run, self.folder, self.logs, number), file=sys.stderr)
        return exit_status(number, processes.by_torchrun)

    def _write(self, kind: str, values: dict[str, object]) -> None:
        if self.log:
            self.log.write(kind, self.run.step, values)

    def _due(self, every: int) -> bool:
        """Whether the step just taken passed a multiple of `every` windows, or was the last."""
        seen, batch, windows = self.run.seen, self.run.recipe.run.batch, self.run.recipe.run.windows
        return seen // every > (seen - batch) // every or seen >= windows

    def _look(self) -> None:
        """See what the last steps gave; a loss or gradient that is not finite ends the run."""
        run = self.run
        stretch = self.meter.look(run.processes)
        run.digest = (run.digest + stretch.digest) & ((1 << 64) - 1)
        if stretch.broken:
            told, values = non_finite_message(stretch.broken, run)
            self._write("broken", values)
            run.processes.fail(told)
        values = training_line(stretch, run)
        self._write("train", values)
        for saved in self.saver.news() if self.saver else ():
            self._write("saved", {"saved_step": saved.step, "seconds": saved.seconds, "bytes": saved.bytes})
        for what, slots in run.newly_gone().items():
            self._write(what, {"seen": run.seen, "slots": slots})
            if self.log:
                print(days_message(slots, what == "damaged"), file=sys.stderr)
        if self.progress:
            self.progress.update(run.seen, progress_text(values))

    def _validate(self) -> None:
        run = self.run
        real = {"real": lambda x_BCT, random: x_BCT}
        look = partial(
            validate, run.model, run.objective, run.validation,
            seed=run.recipe.seed, counts_per_g=run.counts_per_g, processes=run.processes,
        )  # fmt: skip
        run.last = look(changes={**real, **CONTROLS})
        if run.average and run.step:
            with run.average.applied():
                run.last["averaged"] = look(changes=real)["real"]
        loss = run.last[run.recipe.own_windows]["loss"]
        if loss < run.best[0]:
            run.best = (loss, run.seen)
        self._write("validation", {"seen": run.seen, **run.last})

    def _probe(self) -> None:
        """The first process asks what the features are worth; the others wait for it at the next step."""
        if self.run.labelled is not None:
            found = probe(self.run.model.feature_extractor, self.run.labelled)
            self._write("probe", {"seen": self.run.seen, **found})

    def _patience_spent(self) -> bool:
        patience = self.run.recipe.run.patience
        return patience is not None and self.run.seen - self.run.best[1] >= patience

    def _save(self, validated: bool) -> None:
        """Begin to save; the score is that of a validation of these very weights, or none."""
        run, began = self.run, time.perf_counter()
        if not all(bool(weight.isfinite().all()) for weight in run.model.parameters()):
            run.processes.fail(
                f"the weights are not finite any more after {run.seen:,} windows; they are not saved. Lower "
                "optimizer.rate_per_512 or set optimizer.clip_norm, and begin anew in another folder."
            )
        optimizer = run.engine.optimizer_state()
        if self.saver is None:
            return
        if run.average:
            optimizer = run.average.into(optimizer)
        state = {
            "step": run.step,
            "windows_seen": run.seen,
            DIGEST: hex_of(run.digest),
            "settings": plain(run.recipe),
            ck.SCORE: run.last[run.recipe.own_windows]["loss"] if validated else None,
            "validation": run.last,
            "best": list(run.best),
            **run.facts,
        }
        self.saver.save(ck.Checkpoint(ck.to_host(run.model.state_dict()), state, optimizer))
        self._write("save", {"seen": run.seen, "wait_s": time.perf_counter() - began})

    def _close(self) -> None:
        """Let a save end, without hiding an error that is under way; a second Ctrl-C does not wait for it."""
        failing = sys.exception()
        try:
            if self.saver and not isinstance(failing, KeyboardInterrupt):
                self.saver.wait()
        except Exception as error:
            if failing is None:
                raise
            print(f"the last save failed as well: {error}", file=sys.stderr)
        finally:
            if self.log:
                for saved in self.saver.news() if self.saver else ():
                    self._write("saved", {"saved_step": saved.step, "seconds": saved.seconds, "bytes": saved.bytes})
                self.log.close()
