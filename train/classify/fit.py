"""Fit a classifier to a labelled set, after testing the same method in folds by person.

The method is a row of `persondays evaluate`, trained by its code: what `evaluate` says of a row holds for the
classifier. Most rows choose settings on a quarter of the people, and fit the temperature of the probabilities there.
Fine-tuning trains on everybody, so its temperature is that of the folds' logits, of people not trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline.errors import UserError
from pipeline.grid import AXES, SAMPLE_RATE_HZ
from pipeline.pages.figures import png
from pipeline.storage.result_folder import require_replaceable, result_folder
from train.classify.card import card
from train.classify.classifier import CONFIG, FILES, KIND, write_classifier
from train.classify.days import OTHER
from train.classify.network import network_of
from train.classify.smoothing import Smoothing
from train.evaluate.cells import Cell, Cells, versions
from train.evaluate.dataset import LabelledSet
from train.evaluate.evaluation import MAIN
from train.evaluate.folds import held_out
from train.evaluate.jobs import Block, fit, run_blocks
from train.evaluate.protocols import Split, splits_of
from train.evaluate.results.picture import draw_confusion
from train.evaluate.results.summary import Scored, summarise
from train.evaluate.rows import ROWS, Context
from train.evaluate.rows.calibrate import fit_temperature
from train.evaluate.rows.row import Learned
from train.evaluate.rows.training import EPOCHS
from train.evaluate.workers import workers
from train.networks import Encoder
from train.networks.weights import digest

METHODS = {
    (False, False): "linear",
    (False, True): "weighted",
    (True, False): "tuned",
    (True, True): "finetuned",
}
"""Rows by whether all layers are trained, and whether the loss weights every class alike."""
EVEN = ("weighted", "finetuned")
SCORES = ("people", "mean", "sd", "low", "high")


@dataclass(frozen=True)
class FitSettings:
    """Which row of `persondays evaluate` to fit, how to test it, and how `classify` will smooth over time, if it does.

    The test in folds is without smoothing, because labelled windows are seldom all that there is of a day.
    """

    row: str = "linear"
    folds: int = 5
    seed: int = 0
    epochs: int = EPOCHS
    smoothing: Smoothing | None = None


@dataclass(frozen=True)
class Fit:
    """A fitted network, what is known about it (JSON-ready), and `persondays evaluate`'s summary of the folds."""

    network: nn.Module
    description: dict[str, Any]
    results: dict[str, Any]


def fit_classifier(
    backbone: Encoder,
    data: LabelledSet,
    settings: FitSettings,
    cells: Cells | None = None,
    progress: Callable[[float, str], None] = lambda share, note: None,
) -> Fit:
    """Test a row in folds by person, then fit it to the set; `progress` receives the share done and a note.

    Folds saved in `cells` by an interrupted run are used again.
    """
    for name in {*data.classes} & {*OTHER}:
        raise UserError(
            f"Y.npy: {name!r} means something else in tables of activities. Give that activity another name."
        )
    folds = min(settings.folds, len(data.people))
    splits = splits_of("folds", data, folds, settings.seed)
    block = Block(settings.row, MAIN, 0, splits, logits=True)
    tested = folds / (folds + 1)
    backbone_sha256 = digest(backbone.state_dict())
    with workers() as pool:
        context = Context(data, backbone, pool, settings.seed, settings.epochs)
        found = run_blocks(context, [block], cells or Cells(), lambda share, note: progress(share * tested, note))
        row, everybody = ROWS[settings.row], all_people(data, settings.seed)
        inputs, learner = row.inputs(context, 0), row.learner(context, 0)
        fitted = fit(
            context, everybody, inputs, learner, 0, lambda share, note: progress(tested + share * (1 - tested), note)
        )
    progress(1, "")
    tests = found[block.key]
    results = summarise(data, splits, {settings.row: Scored.of(data, splits, [tests])})
    temperature, held_out_N = fitted.learned.temperature, everybody.held_out_N
    if temperature is None:
        temperature, held_out_N = fit_temperature(*out_of_fold(data, splits, tests)), np.zeros_like(held_out_N)
    head, network = network_of(fitted.learned.head, backbone)
    description = {
        "network": {"preset": backbone.preset, "width": backbone.width},
        "backbone": {"sha256": backbone_sha256},
        "input": {"axes": AXES, "ticks": backbone.ticks, "rate_hz": SAMPLE_RATE_HZ, "unit": "g"},
        "head": head,
        "classes": list(data.classes),
        "temperature": temperature,
        "prior": prior(data.y_N, len(data.classes), settings.row).tolist(),
        "smoothing": settings.smoothing.to_json() if settings.smoothing else None,
        "fitted": _fitted(data, settings, fitted.learned, held_out_N),
        "validation": _validation(results, settings.row, folds),
        "versions": versions(("persondays", "torch", "numpy")),
    }
    return Fit(network, description, results)


def all_people(data: LabelledSet, seed: int) -> Split:
    """Return the split without a test; a quarter of the people is held out to choose settings, or to stop on."""
    windows = np.arange(len(data.y_N))
    return Split(windows, windows[:0], held_out(data.y_N, data.person_N, seed))


def out_of_fold(
    data: LabelledSet, splits: Sequence[Split], tests: Sequence[Cell]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return logits (windows, classes) and labels (windows,), each by a network that did not see the person."""
    logits = [cell.logits_NK for cell in tests if cell.logits_NK is not None]
    return np.concatenate(logits), np.concatenate([data.y_N[split.test_N] for split in splits])


def prior(y_N: NDArray[np.int64], classes: int, row: str) -> NDArray[np.float64]:
    """Return how frequent a head takes the classes to be: as in its labels, or even if its loss is weighted."""
    if row in EVEN:
        return np.full(classes, 1 / classes)
    return np.bincount(y_N, minlength=classes) / len(y_N)


def _fitted(
    data: LabelledSet, settings: FitSettings, learned: Learned, held_out_N: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return what the classifier was made from; those on whom training stopped are not trained on."""
    trained_on_N = ~held_out_N if "best_epoch" in learned.facts else np.ones_like(held_out_N)
    counts = np.bincount(data.y_N, minlength=len(data.classes))
    return {
        "row": settings.row,
        "title": ROWS[settings.row].title,
        "people": len(data.people),
        "windows": len(data.y_N),
        "trained_on": _counted(data, trained_on_N),
        "held_out": _counted(data, held_out_N),
        "windows_by_class": dict(zip(data.classes, counts.tolist(), strict=True)),
        "seed": settings.seed,
        **learned.facts,
    }


def _counted(data: LabelledSet, which_N: NDArray[np.bool_]) -> dict[str, int]:
    return {"people": len(np.unique(data.person_N[which_N])), "windows": int(which_N.sum())}


def _validation(results: dict[str, Any], row: str, folds: int) -> dict[str, Any]:
    """Return the scores of the folds, without people's names."""
    found = results["rows"][row]
    confusion = np.array(found["confusion"])
    hits, truth, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    f1 = 2 * hits / np.maximum(truth + predicted, 1)
    recall, precision = hits / np.maximum(truth, 1), hits / np.maximum(predicted, 1)
    return {
        "folds": folds,
        **{metric: {name: found[metric][name] for name in SCORES} for metric in ("macro_f1", "kappa")},
        "macro_f1_by_person": sorted(score for score in found["macro_f1"]["by_person"] if score is not None),
        "by_class": {
            name: {"recall": recall[k], "precision": precision[k], "f1": f1[k]}
            for k, name in enumerate(results["classes"])
        },
        "confusion": found["confusion"],
    }


def require_writable(out: Path) -> None:
    """Raise UserError when `write_fit` could not write to `out`: before the work, not after it."""
    require_replaceable(out, CONFIG, KIND, FILES)


def write_fit(fitted: Fit, out: Path, cells: Cells) -> None:
    """Write a classifier to the folder `out`, which appears complete or not at all."""
    from safetensors.torch import save

    entries = {name: tensor.detach().cpu().contiguous() for name, tensor in fitted.network.state_dict().items()}
    confusion = png(draw_confusion(fitted.results, fitted.description["fitted"]["row"]))
    with result_folder(out, CONFIG, KIND, FILES) as folder:
        write_classifier(
            folder, save(entries, {"format": "pt"}), card(fitted.description), confusion, fitted.description
        )
    cells.clear()
