"""`persondays evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table


def evaluate(
    model: str = typer.Option(
        ...,
        help="The folder of `persondays export`, a file of harnet weights (.pt), or the name of a backbone in the box.",
    ),
    labelled: Path = typer.Option(..., help="A folder with X.npy (windows, ticks, 3) in g, Y.npy and pid.npy."),
    out: Path | None = typer.Option(
        None, help="Folder for results.json, tables and pictures. An interrupted run with --out resumes."
    ),
    rows: str | None = typer.Option(
        None,
        help="What to compare, with commas, or `all`: linear, weighted, mlp, finetuned, scratch, tuned, "
        "tuned-scratch, random, handmade, forest, boosting, both, both-forest. By default linear, random and forest.",
    ),
    protocol: str | None = typer.Option(
        None, help="folds (default), harnet (the splits of ssl-wearables) or loso (leave one out)."
    ),
    test_people: str | None = typer.Option(
        None, help="Instead of a protocol: test these participants, ids with commas, and train on all others."
    ),
    folds: int = typer.Option(5, min=2, help="Number of folds by person; at most one for each person."),
    seed: int = typer.Option(0, min=0, help="Seed of the random networks, of training, and of ties between people."),
    draws: int = typer.Option(1, min=1, help="Number of seeds of the rows that are trained with random numbers."),
    epochs: int = typer.Option(200, min=1, help="At most this many epochs of training a network or a two-layer head."),
    labels: str | None = typer.Option(
        None, help="Also train with parts of the labels: percentages of each class, such as 1,5,10,25,50,100."
    ),
    people: str | None = typer.Option(None, help="Also train with fewer labelled people: numbers, such as 2,4,8."),
    repeats: int = typer.Option(10, min=1, help="How often each part of --labels and --people is drawn."),
    domain: str | None = typer.Option(
        None, help="Also leave out each value of a column in turn: COLUMN.npy in the labelled set, such as device."
    ),
    shifts: bool = typer.Option(False, "--shifts", help="Also test on rotated, noisy, resampled, ... windows."),
    attack: str | None = typer.Option(
        None, help="Also test on windows that mislead another network: a model, or `random` for random weights."
    ),
    retrieval: bool = typer.Option(
        False, "--retrieval", help="Also compare nearest neighbours without training, and draw a map."
    ),
    rate: float | None = typer.Option(None, help="Sampling rate of X.npy in Hz; by default the rate in info.json."),
) -> None:
    """Compare a backbone with random weights, training from scratch and hand-made features, person by person."""
    from dataclasses import replace

    from pipeline.progress import Progress
    from train.evaluate.cells import Cells
    from train.evaluate.curves import Curve, parse_values
    from train.evaluate.dataset import read_labelled
    from train.evaluate.evaluation import Settings, parse_people, parse_rows, to_attack
    from train.evaluate.evaluation import evaluate as run
    from train.evaluate.results.folder import require_writable, write_results
    from train.networks.weights import load_model

    notes: list[str] = []
    values = (("labels", parse_values("--labels", labels)), ("people", parse_values("--people", people)))
    settings = Settings(
        rows=parse_rows(rows, notes),
        protocol=protocol or ("folds" if test_people is None else "fixed"),
        test_people=parse_people(test_people),
        folds=folds,
        seed=seed,
        draws=draws,
        epochs=epochs,
        curves=tuple(Curve(name, numbers, repeats) for name, numbers in values if numbers),
        domain=domain,
        shifts=shifts,
        retrieval=retrieval,
    )
    network = load_model(model)
    if attack is not None:
        settings = replace(settings, attack=to_attack(attack, network, seed))
    data = read_labelled(labelled, network.ticks, rate, domain)
    cells = Cells.beside(out)
    if out is not None:
        require_writable(out)
    with Progress("evaluate", 100, "%") as progress:
        progress.update(0)
        results = run(network, data, settings, cells, lambda share, note: progress.update(100 * share, note))
    results["notes"] += notes
    for note in results["notes"]:
        print(f"note: {note}", file=sys.stderr)
    _print(results)
    if out is not None:
        write_results(results, out, cells, network, data)
        print(f"wrote results, tables and pictures to {out}")


def _print(results: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    from train.evaluate.results.sections import sections
    from train.evaluate.results.tables import mean_alone

    console = Console()
    console.print(_table(results))
    for section in sections(results, mean_alone):
        console.print(Markdown(section))


def _table(results: dict[str, Any]) -> Table:
    from rich.table import Table

    from train.evaluate.results.tables import people, rows_table

    data = results["data"]
    kinds = {"folds": "folds", "harnet": "random splits", "loso": "folds", "fixed": "fixed split"}
    header, lines = rows_table(results)
    table = Table(
        title=f"{people(data)}, {data['windows']:,} windows, {data['classes']} classes, "
        f"{results['folds']} {kinds[results['protocol_name']]} by person",
        caption="mean (SD) over people; difference of the first score with its 95% interval",
    )
    for column in header:
        table.add_column(column, no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table
