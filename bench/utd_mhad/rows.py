"""The rows of the study's table, and a cell: a row with a seed, trained and tested once and kept as a JSON file."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.command import read_json, write_json
from pipeline.progress import Progress
from train.studies.utd_mhad.label_curve import draw_labelled
from train.studies.utd_mhad.networks import MODALITIES, Encoders
from train.studies.utd_mhad.training import (
    CMC,
    LEAST_STEPS,
    SIMCLR,
    SIMCLR_AS_RELEASED,
    Pretraining,
    Report,
    features_of,
    measure_batch_norm,
    pretrain,
    train_head,
    train_supervised,
)
from train.studies.utd_mhad.trials import Split, Trials


@dataclass(frozen=True)
class Row:
    """A row: which modalities it sees, and how each of its encoders is pretrained; none is trained with labels."""

    title: str
    theirs: float | None
    """The paper's accuracy in percent."""
    modalities: tuple[str, ...]
    pretrained: tuple[str, ...] = ()
    supervised: bool = False
    plain_statistics: bool = False
    """BatchNorm has the statistics of the training trials as they are, not of pretraining's views."""
    standard: bool = True
    """Run unless rows are named."""


ROWS = {
    "inertial-supervised": Row("inertial, supervised", 78.84, ("inertial",), supervised=True),
    "inertial-simclr": Row("inertial, SimCLR", 75.84, ("inertial",), ("simclr-inertial",)),
    "skeleton-supervised": Row("skeleton, supervised", 94.42, ("skeleton",), supervised=True),
    "skeleton-simclr": Row("skeleton, SimCLR", 93.72, ("skeleton",), ("simclr-skeleton",)),
    "both-supervised": Row("both, supervised", 90.93, MODALITIES, supervised=True),
    "fusion": Row("both, fusion of the two SimCLR", 94.88, MODALITIES, ("simclr-inertial", "simclr-skeleton")),
    "cmc": Row("both, CMC", 93.82, MODALITIES, ("cmc",)),
    "random": Row("both, random weights", None, MODALITIES, plain_statistics=True),
    "inertial-random": Row("inertial, random weights", None, ("inertial",), plain_statistics=True),
    "skeleton-random": Row("skeleton, random weights", None, ("skeleton",), plain_statistics=True),
    "inertial-simclr-plain": Row(
        "inertial, SimCLR, BatchNorm of plain trials",
        75.84,
        ("inertial",),
        ("simclr-inertial",),
        plain_statistics=True,
        standard=False,
    ),
    "inertial-simclr-as-released": Row(
        "inertial, SimCLR, views as the released code has them",
        75.84,
        ("inertial",),
        ("simclr-inertial-as-released",),
        standard=False,
    ),
    "cmc-augmented": Row("both, CMC on one view of each", 93.82, MODALITIES, ("cmc-augmented",), standard=False),
}
PRETRAINING: dict[str, Pretraining] = {
    "simclr-inertial": SIMCLR["inertial"],
    "simclr-skeleton": SIMCLR["skeleton"],
    "cmc": CMC,
    "simclr-inertial-as-released": SIMCLR_AS_RELEASED,
    "cmc-augmented": replace(CMC, views="augmented"),
}
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5)
CURVE_OF_SUPERVISED = "both-supervised"


@dataclass(frozen=True)
class Lengths:
    """Epochs, at most; and repeats of figure 2."""

    simclr: int = 40
    cmc: int = 40
    supervised: int = 100
    head: int = 100
    repeats: int = 10
    supervised_repeats: int = 1
    """Supervised networks with few labels are trained anew for each repeat, so a seed has fewer of them."""

    def of(self, name: str) -> int:
        """Return the epochs of a pretraining."""
        return self.cmc if name.startswith("cmc") else self.simclr


PAPER = Lengths(simclr=300, cmc=200, supervised_repeats=10)


@dataclass(frozen=True)
class Study:
    """Trials, lengths and the folder of results."""

    split: Split
    lengths: Lengths
    out: Path

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.split.classes)

    def cell(self, seed: int, name: str) -> dict[str, Any]:
        """Return a row's results with a seed, which are computed first if they are not there yet.

        `accuracy` on the test trials; `by_person` the same for each test person; `curve` for each share of labels the
        accuracy of each repeat, and the number of labelled trials; `cpu_minutes` without pretraining.
        """
        path = self.out / f"seed-{seed}" / f"{name}.json"
        found = read_json(path)
        settings = self._settings(name)
        if found.get("settings") != settings:
            row = ROWS[name]
            encoders = [self._pretrained(seed, part) for part in row.pretrained]
            began = time.process_time()
            seed_all(seed, name)
            found = self._supervised(seed, name) if row.supervised else self._frozen(seed, name, encoders)
            found |= {"settings": settings, "cpu_minutes": (time.process_time() - began) / 60}
            found["pretraining_cpu_minutes"] = sum(
                read_json(self._weights(seed, part).with_suffix(".json"))["cpu_minutes"] for part in row.pretrained
            )
            write_json(path, found)
        return found

    def _settings(self, name: str) -> dict[str, int]:
        """Return what a row's results depend on."""
        row, lengths, least = ROWS[name], self.lengths, {"least_steps": LEAST_STEPS}
        if not row.supervised:
            parts = {part: lengths.of(part) for part in row.pretrained}
            return {"head": lengths.head, "repeats": lengths.repeats, **least, **parts}
        curve = {"repeats": lengths.supervised_repeats} if name == CURVE_OF_SUPERVISED else {}
        return {"supervised": lengths.supervised, **least, **curve}

    def _weights(self, seed: int, part: str) -> Path:
        return self.out / f"seed-{seed}" / f"{part}-{self.lengths.of(part)}.safetensors"

    def _pretrained(self, seed: int, part: str) -> Encoders:
        path, settings, epochs = self._weights(seed, part), PRETRAINING[part], self.lengths.of(part)
        if path.exists():
            encoders = Encoders(settings.modalities)
            encoders.load_state_dict(load_file(path))
            return encoders.eval()
        began, losses = time.process_time(), []
        seed_all(seed, part)
        with progress(f"seed {seed}, {part}", epochs) as report:

            def note(epoch: int, loss: float) -> None:
                losses.append(round(loss, 4))
                report(epoch, loss)

            encoders = pretrain(settings, self.split.training, epochs, note)
        facts = {"cpu_minutes": (time.process_time() - began) / 60, "losses": losses}
        write_json(path.with_suffix(".json"), facts)
        unfinished = path.with_suffix(".part")
        save_file({name: value.contiguous() for name, value in encoders.state_dict().items()}, unfinished)
        unfinished.replace(path)
        return encoders

    def _frozen(self, seed: int, name: str, pretrained: list[Encoders]) -> dict[str, Any]:
        row, split = ROWS[name], self.split
        encoders = pretrained or [Encoders(row.modalities).eval()]
        if row.plain_statistics:
            for each in encoders:
                measure_batch_norm(each, split.training)
        seed_all(seed, name)  # the same head whether pretrained now or earlier
        training, test = (
            sum((features_of(each, side) for each in encoders), ()) for side in (split.training, split.test)
        )

        def tested(labelled_L: Tensor, report: Report = lambda *_: None) -> dict[str, Any]:
            some = tuple(each_NF[labelled_L] for each_NF in training)
            head = train_head(some, split.training.y_N[labelled_L], self.classes, self.lengths.head, report)
            with torch.inference_mode():
                return scores(head(test), split.test)

        with progress(f"seed {seed}, {name}, head", self.lengths.head) as report:
            found = tested(torch.arange(len(split.training)), report)
        return found | {
            "curve": self._curve(seed, self.lengths.repeats, lambda labelled_L: tested(labelled_L)["accuracy"])
        }

    def _supervised(self, seed: int, name: str) -> dict[str, Any]:
        title, training = f"seed {seed}, {name}", self.split.training
        found = self._train_and_test(title, ROWS[name], training)
        if name != CURVE_OF_SUPERVISED:
            return found

        def tested(labelled_L: Tensor) -> float:
            part = self._train_and_test(f"{title}, {len(labelled_L)} trials", ROWS[name], training.part(labelled_L))
            accuracy: float = part["accuracy"]
            return accuracy

        return found | {"curve": self._curve(seed, self.lengths.supervised_repeats, tested)}

    def _curve(self, seed: int, repeats: int, accuracy_of: Callable[[Tensor], float]) -> dict[str, Any]:
        """Return, for each share of labels, the number of labelled trials and the accuracy of each repeat."""
        curve: dict[str, dict[str, Any]] = {}
        for share in SHARES:
            draws = draw_labelled(self.split.training.y_N, share, repeats, seed)
            same = next((each for each in curve.values() if each["labelled"] == draws.shape[1]), None)
            curve[f"{share:g}"] = same or {
                "labelled": draws.shape[1],
                "accuracies": [accuracy_of(labelled_L) for labelled_L in draws],
            }
        return curve

    def _train_and_test(self, title: str, row: Row, trials: Trials) -> dict[str, Any]:
        with progress(title, self.lengths.supervised) as report:
            done = []

            def note(epoch: int, loss: float) -> None:
                done.append(loss)
                report(epoch, loss)

            trained = train_supervised(row.modalities, trials, self.classes, self.lengths.supervised, note)
        encoders, classifier = trained
        with torch.inference_mode():
            found = scores(classifier(features_of(encoders, self.split.test)), self.split.test)
        return found | {"epochs": len(done), "last_loss": done[-1]}


def seed_all(seed: int, name: str) -> None:
    """Seed torch by a seed and a name, so that cells do not depend on the order in which they are run."""
    torch.manual_seed(zlib.crc32(f"{seed} {name}".encode()))


@contextmanager
def progress(title: str, epochs: int) -> Iterator[Report]:
    """Show epochs done."""
    with Progress(title, epochs, "epochs") as shown:
        yield lambda epoch, loss: shown.update(epoch, f"loss {loss:.3f}")


def scores(logits_NK: Tensor, test: Trials) -> dict[str, Any]:
    """Return accuracies: of all test trials, and of each person's."""
    right_N = (logits_NK.argmax(1) == test.y_N).double()
    by_person = [float(right_N[test.person_N == person].mean()) for person in test.person_N.unique().tolist()]
    return {"accuracy": float(right_N.mean()), "trials": len(test), "by_person": by_person}
