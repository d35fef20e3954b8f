"""`persondays fit`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def fit(
    model: str = typer.Option(
        ...,
        help="The folder of `persondays export`, a file of harnet weights (.pt), or the name of a backbone in the box.",
    ),
    labelled: Path = typer.Option(..., help="A folder with X.npy (windows, ticks, 3) in g, Y.npy and pid.npy."),
    out: Path = typer.Option(..., help="Folder for the classifier. An interrupted run resumes."),
    finetune: bool = typer.Option(
        False, "--finetune", help="Train all layers, stopped on people held out, instead of a linear head alone."
    ),
    class_weights: bool = typer.Option(
        False, "--class-weights", help="Weight rare activities like frequent ones; --finetune always does."
    ),
    folds: int = typer.Option(5, min=2, help="Number of folds by person to test the classifier in."),
    seed: int = typer.Option(0, min=0, help="Seed of training, and of ties between people."),
    epochs: int = typer.Option(200, min=1, help="With --finetune: train for at most this many epochs."),
    rate: float | None = typer.Option(None, help="Sampling rate of X.npy in Hz; by default the rate in info.json."),
) -> None:
    """Fit a classifier of activities to a labelled set, and test it in folds by person.

    Writes a folder for `persondays classify`, with a card that says how well it does on people it has not seen.
    """
    from pipeline.progress import Progress
    from train.classify.fit import FitSettings, fit_classifier, require_writable, write_fit
    from train.evaluate.cells import Cells
    from train.evaluate.dataset import read_labelled
    from train.networks.weights import load_model

    network = load_model(model)
    data = read_labelled(labelled, network.ticks, rate)
    cells = Cells.beside(out)
    require_writable(out)
    row = "finetuned" if finetune else "weighted" if class_weights else "linear"
    with Progress("fit", 100, "%") as progress:
        progress.update(0)
        settings = FitSettings(row, folds, seed, epochs)
        fitted = fit_classifier(network, data, settings, cells, lambda share, note: progress.update(100 * share, note))
    for note in data.notes:
        print(f"note: {note}", file=sys.stderr)
    write_fit(fitted, out, cells)
    score = fitted.description["validation"]["macro_f1"]
    interval = "" if score["low"] is None else f" (95% interval {score['low']:.3f} to {score['high']:.3f})"
    print(f"{len(data.people)} people, {len(data.y_N):,} windows, {len(data.classes)} activities: {out}")
    print(f"on people it has not seen: macro F1 {score['mean']:.3f}{interval}")
