"""`persondays evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

KIND = "persondays-evaluation"
VERSION = 1
FILES = {"results.json", "evaluation.png"}


def evaluate(
    model: Path = typer.Option(..., help="The folder of `persondays export`, or a file of harnet weights (.pt)."),
    labelled: Path = typer.Option(..., help="A folder with X.npy (windows, ticks, 3) in g, Y.npy and pid.npy."),
    out: Path | None = typer.Option(None, help="Folder to write results.json and evaluation.png to."),
    folds: int = typer.Option(5, min=2, help="Number of folds by person; at most one for each person."),
    seed: int = typer.Option(0, min=0, help="Seed of the random networks and of ties between people."),
    rate: float | None = typer.Option(None, help="Sampling rate of X.npy in Hz; by default the rate in info.json."),
) -> None:
    """Compare a frozen backbone with the same network at random weights, under a linear head, person by person."""
    from rich.console import Console

    from pipeline.progress import Progress
    from train.evaluate.compare import PROTOCOL, predict, summarise
    from train.evaluate.dataset import read_labelled
    from train.networks.weights import load_model

    network = load_model(model)
    data = read_labelled(labelled, network.ticks, rate)
    notes = list(data.notes)
    if folds > len(data.people):
        notes.append(f"{folds} folds lowered to {len(data.people)}, one for each person")
        folds = len(data.people)
    with Progress("evaluate", 100, "%") as progress:
        progress.update(0)
        predictions = predict(network, data, folds, seed, lambda share: progress.update(100 * share))
    if not predictions.converged:
        notes.append("a linear head did not converge: scores may be off in their last digits")
    summary = summarise(data, predictions)
    left_out = len(data.people) - summary["summary"]["kappa"]["people"]
    if left_out:
        notes.append(f"kappa leaves out {left_out} people with only one class")
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    results = {
        "format": KIND,
        "version": VERSION,
        "model": {"preset": network.preset, "width": network.width, "features": network.features},
        "data": {"windows": len(data.y_N), "people": len(data.people), "classes": len(data.classes)},
        "folds": folds,
        "seed": seed,
        "protocol": PROTOCOL,
        "notes": notes,
        **summary,
    }
    Console().print(_table(results))
    if out is not None:
        _write(results, out)
        print(f"wrote results and picture to {out}")


def _write(results: dict[str, Any], out: Path) -> None:
    from pipeline.pages.figures import save
    from pipeline.storage.result_folder import result_folder, write_json
    from train.evaluate.picture import draw

    with result_folder(out, "results.json", KIND, FILES) as folder:
        save(draw(results), folder / "evaluation.png")
        write_json(folder / "results.json", results)


def _table(results: dict[str, Any]) -> Table:
    from rich.table import Table

    data = results["data"]
    table = Table(
        title=f"{data['people']} people, {data['windows']:,} windows, {data['classes']} classes, "
        f"{results['folds']} folds by person",
        caption="mean (SD) over people; random: mean of several networks; difference with its 95% interval; "
        "beaten: number of random networks that are worse",
    )
    for column in ("", "pretrained", "random", "difference", "beaten"):
        table.add_column(column, no_wrap=True)
    for metric, title in (("macro_f1", "macro F1"), ("kappa", "kappa")):
        summary = results["summary"][metric]
        pretrained, random, difference = (summary[name] for name in ("pretrained", "random", "difference"))
        table.add_row(
            title,
            f"{_figure(pretrained['mean'])} ({_figure(pretrained['sd'])})",
            f"{_figure(random['mean'])} ({_figure(random['sd'])})",
            f"{_signed(difference['mean'])} [{_signed(difference['low'])}, {_signed(difference['high'])}]",
            f"{summary['beaten']} of {len(summary['random_networks'])}",
        )
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"
