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
FILES = {"results.json", "tables.md", "rows.csv", "differences.csv", "evaluation.png", "rows.png", "cells"}


def evaluate(
    model: Path = typer.Option(..., help="The folder of `persondays export`, or a file of harnet weights (.pt)."),
    labelled: Path = typer.Option(..., help="A folder with X.npy (windows, ticks, 3) in g, Y.npy and pid.npy."),
    out: Path | None = typer.Option(
        None, help="Folder for results.json, tables and pictures. An interrupted run with --out resumes."
    ),
    rows: str | None = typer.Option(
        None,
        help="What to compare, with commas, or `all`: linear, mlp, finetuned, scratch, random, handmade, forest, "
        "boosting, both, both-forest. By default linear, random and forest.",
    ),
    protocol: str = typer.Option("folds", help="folds, harnet (the splits of ssl-wearables) or loso (leave one out)."),
    folds: int = typer.Option(5, min=2, help="Number of folds by person; at most one for each person."),
    seed: int = typer.Option(0, min=0, help="Seed of the random networks, of training, and of ties between people."),
    draws: int = typer.Option(1, min=1, help="Number of seeds of the rows that are trained with random numbers."),
    epochs: int = typer.Option(200, min=1, help="At most this many epochs of training a network or a two-layer head."),
    rate: float | None = typer.Option(None, help="Sampling rate of X.npy in Hz; by default the rate in info.json."),
) -> None:
    """Compare a backbone with random weights, training from scratch and hand-made features, person by person."""
    from rich.console import Console

    from pipeline.progress import Progress
    from train.evaluate.cells import Cells
    from train.evaluate.dataset import read_labelled
    from train.evaluate.evaluation import Settings, parse_rows
    from train.evaluate.evaluation import evaluate as run
    from train.networks.weights import load_model

    notes: list[str] = []
    settings = Settings(parse_rows(rows, notes), protocol, folds, seed, draws, epochs)
    network = load_model(model)
    data = read_labelled(labelled, network.ticks, rate)
    cells = Cells.beside(out)
    if out is not None:
        _require_replaceable(out)
    with Progress("evaluate", 100, "%") as progress:
        progress.update(0)
        results = run(network, data, settings, cells, lambda share, note: progress.update(100 * share, note))
    results = {"format": KIND, "version": VERSION, **results, "notes": results["notes"] + notes}
    for note in results["notes"]:
        print(f"note: {note}", file=sys.stderr)
    Console().print(_table(results))
    if out is not None:
        _write(results, out, cells)
        print(f"wrote results, tables and pictures to {out}")


def _require_replaceable(out: Path) -> None:
    """Raise UserError now, not after hours, when the output cannot be written."""
    from pipeline.storage.result_folder import require_replaceable

    require_replaceable(out, "results.json", KIND, FILES)


def _write(results: dict[str, Any], out: Path, cells: Any) -> None:
    from pipeline.pages.figures import save
    from pipeline.storage.result_folder import result_folder, write_json
    from train.evaluate.results import tables
    from train.evaluate.results.picture import draw
    from train.evaluate.results.rows_picture import draw_rows

    with result_folder(out, "results.json", KIND, FILES) as folder:
        if "summary" in results:
            save(draw(results), folder / "evaluation.png")
        save(draw_rows(results), folder / "rows.png")
        (folder / "tables.md").write_text(tables.page(results), encoding="utf-8")
        (folder / "rows.csv").write_text(tables.rows_csv(results), encoding="utf-8")
        (folder / "differences.csv").write_text(tables.differences_csv(results), encoding="utf-8")
        cells.copy_to(folder / "cells")
        write_json(folder / "results.json", results)
    cells.clear()


def _table(results: dict[str, Any]) -> Table:
    from rich.table import Table

    from train.evaluate.results.tables import rows_table

    data = results["data"]
    splits = {"folds": "folds", "harnet": "random splits", "loso": "folds"}[results["protocol_name"]]
    header, lines = rows_table(results)
    table = Table(
        title=f"{data['people']} people, {data['windows']:,} windows, {data['classes']} classes, "
        f"{results['folds']} {splits} by person",
        caption="mean (SD) over people; difference with its 95% interval, over people and random draws",
    )
    for number, column in enumerate(header):
        table.add_column(column, no_wrap=number > 0)
    for line in lines:
        table.add_row(*line)
    return table
