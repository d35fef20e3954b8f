"""`persondays report-training`."""

from __future__ import annotations

from pathlib import Path

import typer


def report_training(
    logs: Path = typer.Option(..., help="The folder with the run's log.jsonl."),
    out: Path = typer.Option(..., help="Folder to write curves.png, draws.png and training.json to."),
    control_logs: Path | None = typer.Option(
        None, help="The same folder of a run with data.control=noise, to compare with."
    ),
    store: str | None = typer.Option(
        None, help="The store of the run; adds draws.png, the windows drawn from one of its days."
    ),
) -> None:
    """Report a training run from its log: accuracies compared with their controls, and the windows drawn."""
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
    print(f"wrote pictures and numbers to {out}")
