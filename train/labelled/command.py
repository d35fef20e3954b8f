"""`persondays labelled`: make labelled sets for `persondays evaluate`."""

from __future__ import annotations

from pathlib import Path

import typer

labelled = typer.Typer(help="Make a labelled set: X.npy, Y.npy and pid.npy, in g at 30 Hz.", no_args_is_help=True)

SECONDS = typer.Option(10, min=1, help="Length of a window: 5, 10 or 30 for harnet5, harnet10, harnet30.")
OUT = typer.Argument(help="The folder to write.")


@labelled.command()
def wisdm(
    source: Path = typer.Argument(help="The folder with the watch accelerometer files and activity_key.txt."),
    out: Path = OUT,
    seconds: int = SECONDS,
) -> None:
    """Cut windows from the smartwatch accelerometer files of WISDM 2019, one activity each, without overlap."""
    from pipeline.progress import Progress
    from train.labelled.files import write_labelled
    from train.labelled.wisdm import find_files, label_wisdm

    files = find_files(source)
    with Progress("wisdm", len(files), "people") as progress:
        windows, facts = label_wisdm(files, seconds, progress.update)
    write_labelled(out, windows, "WISDM 2019 watch accelerometer", facts)
    print(f"{windows}: {out}")


@labelled.command()
def table(
    source: Path = typer.Argument(
        help="A table (.parquet, .csv, .csv.gz) or a folder of them: a row for each sample, with participant, "
        "activity, time, x, y, z, and perhaps trial, device and location."
    ),
    out: Path = OUT,
    seconds: int = SECONDS,
    columns: str | None = typer.Option(
        None, help="Other names of the columns, as in participant=subject,activity=label,location=position."
    ),
    unit: str = typer.Option("g", help="Unit of x, y, z: g, m/s2 or mg."),
    rate: float | None = typer.Option(
        None, help="Rows a second, if rows have no times: rows of a trial are then read as even."
    ),
    where_column: str | None = typer.Option(None, help="Only rows with a value in a column, as in location=wrist."),
    name: str = typer.Option("tables", help="Name of the data set, for info.json."),
    licence: str | None = typer.Option(None, help="Licence of the data set, for info.json."),
) -> None:
    """Cut windows from tables of samples: one participant, activity, trial and rate each, without overlap."""
    from pipeline.progress import Progress
    from train.labelled.files import write_labelled
    from train.labelled.table import TableForm, find_tables, label_tables

    form = TableForm.parse(columns, unit, rate, where_column)
    files = find_tables(source)
    with Progress("table", len(files), "tables") as progress:
        windows, facts = label_tables(files, form, seconds, progress.update)
    write_labelled(out, windows, name, {"licence": licence or "not stated", **facts})
    print(f"{windows}: {out}")


@labelled.command()
def utd_mhad(
    source: Path = typer.Argument(help="The folder with UTD-MHAD's folders Inertial and Skeleton of .mat files."),
    out: Path = OUT,
    steps: int = typer.Option(50, min=2, help="Every trial is resampled to this many steps."),
) -> None:
    """Make a paired folder of UTD-MHAD: every trial as the accelerometer and gyroscope, and as the skeleton."""
    from pipeline.progress import Progress
    from train.labelled.paired import write_paired
    from train.labelled.utd_mhad import find_pairs, pair_utd_mhad

    pairs = find_pairs(source)
    with Progress("utd-mhad", len(pairs), "trials") as progress:
        trials, facts = pair_utd_mhad(pairs, steps, progress.update)
    write_paired(out, trials, "UTD-MHAD", facts)
    print(f"{trials}: {out}")


@labelled.command()
def join(
    sets: list[Path] = typer.Argument(help="Folders of labelled sets; the name of a folder is the name of its set."),
    out: Path = typer.Option(..., help="The folder to write."),
    activities: Path | None = typer.Option(
        None, help="A csv with columns set, activity, shared: which activities are the same. Default: equal names."
    ),
) -> None:
    """Join labelled sets by the activities that all of them have, for `evaluate --domain dataset`."""
    from train.labelled.files import write_labelled
    from train.labelled.join import join_sets, read_names

    windows, facts = join_sets(sets, None if activities is None else read_names(activities))
    write_labelled(out, windows, ", ".join(facts["sets"]), facts)
    print(f"{windows}: {out}")


@labelled.command()
def truth(
    store: str = typer.Option(..., help="The window store: a path or an s3:// URL."),
    truth: Path = typer.Option(..., help="Parquet table with participant, start, end (device's clock) and activity."),
    out: Path = OUT,
    key_file: Path | None = typer.Option(
        None, help="File with the store's key; by default the key is in the environment variable PERSONDAYS_KEY."
    ),
    seconds: int = SECONDS,
    per_activity: int = typer.Option(
        60, min=1, help="At most this many windows for each participant and activity, spread over time."
    ),
) -> None:
    """Cut windows from a window store by a table of activities, such as `persondays simulate` writes."""
    from pipeline.identity import load_key
    from pipeline.progress import Progress
    from pipeline.store.store import Store
    from train.labelled.files import write_labelled
    from train.labelled.truth import label_store, read_truth

    key, bouts, opened = load_key(key_file), read_truth(truth), Store.open(store)
    with Progress("labelled", len(bouts), "people") as progress:
        windows, facts = label_store(opened, bouts, key, seconds, per_activity, progress.update)
    write_labelled(out, windows, "the store and its truth", facts)
    if absent := facts["people_not_in_store"]:
        print(f"{absent} participants of the truth table are not in the store")
    print(f"{windows}: {out}")
