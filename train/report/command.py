"""`persondays report-training`."""

from __future__ import annotations

from pathlib import Path

import typer


def report_training(
    logs: Path = typer.Option(..., help="The folder with the run's log.jsonl."),
    out: Path = typer.Option(..., help="Folder for curves.png, draws.png and training.json."),
    control_logs: Path | None = typer.Option(
        None, help="The same of a network trained with data.control=noise, to show beside it."
    ),
    store: str | None = typer.Option(None, help="The store that the run was trained on: shows what was drawn from it."),
) -> None:
    """Draw a training run from its log: accuracies beside their controls, and the windows drawn."""
    import json

    from pipeline.pages.figures import save
    from pipeline.storage.folder import Folder
    from pipeline.store.store import Store
    from train.report.curves import draw_curves
    from train.report.draws import draws_of, summary
    from train.report.draws_picture import draw_draws
    from train.report.history import read_history, trained_on_noise
    from train.report.numbers import final_numbers

    run = read_history(logs)
    control = trained_on_noise(control_logs, run) if control_logs is not None else None
    draws = draws_of(run, Store.open(store)) if store is not None else None
    numbers = final_numbers(run, control, summary(draws) if draws else None)
    save(draw_curves(run, control), out / "curves.png")
    if draws is not None:
        save(draw_draws(draws), out / "draws.png")
    text = json.dumps(numbers, indent=2, allow_nan=False) + "\n"
    Folder(str(out.absolute())).write("training.json", text.encode())
    typer.echo(f"pictures and numbers: {out}")
