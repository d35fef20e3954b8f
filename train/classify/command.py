"""`persondays fit` and `persondays classify`; `python -m train.classify` for torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from pipeline.errors import UserError


def fit(
    model: str = typer.Option(
        ...,
        help="The folder of `persondays export`, a file of harnet weights (.pt), or the name of a backbone in the box.",
    ),
    labelled: Path = typer.Option(..., help="A folder with X.npy (windows, ticks, 3) in g, Y.npy and pid.npy."),
    out: Path = typer.Option(..., help="Folder for the classifier. An interrupted run resumes."),
    finetune: bool = typer.Option(
        False, "--finetune", help="Train all layers, with orientation kept, instead of a linear head alone."
    ),
    class_weights: bool = typer.Option(
        False,
        "--class-weights",
        help="Weight rare activities like frequent ones; with --finetune, the published recipe, which turns windows in "
        "any direction and stops on people held out.",
    ),
    smooth: bool = typer.Option(
        False, "--smooth", help="Let `classify` smooth activities over time, by a hidden Markov model."
    ),
    bout_seconds: float | None = typer.Option(
        None,
        min=1.0,
        help="With --smooth: the mean length of a bout of every activity. Default: as in the labelled set, or 60.",
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
    from train.classify.fit import METHODS, FitSettings, fit_classifier, require_writable, write_fit
    from train.classify.smoothing import learn_smoothing
    from train.evaluate.cells import Cells
    from train.evaluate.dataset import read_labelled
    from train.networks.weights import load_model

    network = load_model(model)
    data = read_labelled(labelled, network.ticks, rate)
    cells = Cells.beside(out)
    require_writable(out)
    if bout_seconds is not None and not smooth:
        raise UserError("--bout-seconds: needs --smooth. Add it, or leave both out.")
    smoothing = learn_smoothing(labelled, data.classes, bout_seconds) if smooth else None
    row = METHODS[finetune, class_weights]
    with Progress("fit", 100, "%") as progress:
        progress.update(0)
        settings = FitSettings(row, folds, seed, epochs, smoothing)
        fitted = fit_classifier(network, data, settings, cells, lambda share, note: progress.update(100 * share, note))
    if smoothing:
        print(f"note: transitions of smoothing are from {smoothing.source}", file=sys.stderr)
    for note in data.notes:
        print(f"note: {note}", file=sys.stderr)
    write_fit(fitted, out, cells)
    score = fitted.description["validation"]["macro_f1"]
    interval = "" if score["low"] is None else f" (95% interval {score['low']:.3f} to {score['high']:.3f})"
    print(f"{len(data.people)} people, {len(data.y_N):,} windows, {len(data.classes)} activities: {out}")
    print(f"on people it has not seen: macro F1 {score['mean']:.3f}{interval}")


def classify(
    classifier: Path = typer.Option(..., help="The folder that `persondays fit` wrote."),
    out: str = typer.Option(
        ...,
        help="Folder for activities, minutes a day and a picture: a path or an s3:// URL. An interrupted run resumes.",
    ),
    store: str | None = typer.Option(
        None,
        help="The window store: a path or an s3:// URL. With --recordings, where to make it: by default OUT-store.",
    ),
    recordings: str | None = typer.Option(
        None, help="Recordings to ingest first, as `persondays ingest` does: a folder or an s3:// URL."
    ),
    key_file: Path | None = typer.Option(None, help="With --recordings: the file with the key of the store's ids."),
    min_eligible: float = typer.Option(
        1.0, min=0.0, max=1.0, help="Least share of a window's seconds that are eligible; all have to be measured."
    ),
    days_per_file: int = typer.Option(
        64, min=1, help="Person-days in a file, by slot: what an interrupted run may lose."
    ),
    threads: int | None = typer.Option(None, min=1, help="Threads of a process. Default: an equal share of the cores."),
    ingest_flags: list[str] | None = typer.Argument(None, help="After --: further flags for `persondays ingest`."),
) -> None:
    """Name the activity of every window of a store, in one process or in those that torchrun starts.

    Writes a table of activities as Parquet files, minutes a day by activity (days.csv) and a picture (days.png). The
    same command resumes, adds days ingested since, and drops those of people who have withdrawn.
    """
    from pipeline.storage.folder import Folder
    from train.classify.classifier import read_classifier
    from train.classify.run import ClassifySettings, require_own
    from train.classify.run import classify as run
    from train.distributed.processes import Processes
    from train.embed.store_input import StoreInput

    source = StoreInput.of(store, recordings, key_file, ingest_flags, out)
    processes = Processes(threads)
    try:
        with processes.all_or_none():
            read = read_classifier(classifier)
            source.require_one_process(processes.world_size)
            require_own(Folder(out))
        source.ingest()
        done = run(read, source.store, out, ClassifySettings(min_eligible, days_per_file), processes)
        if processes.first:
            typer.echo(done)
    finally:
        processes.close()
