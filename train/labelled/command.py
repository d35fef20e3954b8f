"""`persondays labelled`: make labelled sets that `persondays evaluate` reads."""

from __future__ import annotations

from pathlib import Path

import typer

labelled = typer.Typer(help="Make a labelled set: X.npy, Y.npy and pid.npy, in g at 30 Hz.", no_args_is_help=True)

SECONDS = typer.Option(10, min=1, help="Length of a window; 5, 10 or 30 for harnet5, harnet10, harnet30.")
OUT = typer.Argument(help="The folder to write.")


@labelled.command()
def wisdm(
    source: Path = typer.Argument(help="The folder of the set's watch accelerometer files and activity_key.txt."),
    out: Path = OUT,
    seconds: int = SECONDS,
) -> None:
    """WISDM 2019, smartwatch accelerometer: windows of one activity without overlap."""
    from pipeline.progress import Progress
    from train.labelled.files import write_labelled
    from train.labelled.wisdm import find_files, label_wisdm

    files = find_files(source)
    with Progress("wisdm", len(files), "people") as progress:
        windows, facts = label_wisdm(files, seconds, progress.update)
    write_labelled(out, windows.x_NTC, windows.y_N, windows.pid_N, "WISDM 2019 watch accelerometer", facts)
    _say(out, windows.y_N, windows.pid_N)


@labelled.command()
def truth(
    store: str = typer.Option(..., help="The window store; any fsspec URL."),
    truth: Path = typer.Option(..., help="Parquet: participant, start, end (device's clock), activity."),
    out: Path = OUT,
    key_file: Path | None = typer.Option(None, help="The store's key; else the environment variable PERSONDAYS_KEY."),
    seconds: int = SECONDS,
    per_activity: int = typer.Option(60, min=1, help="Most windows of one activity and person, spread over time."),
) -> None:
    """A window store and a table of who did what when, such as `persondays simulate` writes."""
    from pipeline.identity import load_key
    from pipeline.progress import Progress
    from pipeline.store.store import Store
    from train.labelled.files import write_labelled
    from train.labelled.truth import label_store, read_truth

    key, bouts, opened = load_key(key_file), read_truth(truth), Store.open(store)
    with Progress("labelled", len(bouts), "people") as progress:
        windows = label_store(opened, bouts, key, seconds, per_activity, progress.update)
    facts = {
        "per_activity": per_activity,
        "store_fingerprint": opened.attributes.fingerprint,
        "people_not_in_store": windows.people_absent,
    }
    write_labelled(out, windows.x_NTC, windows.y_N, windows.pid_N, "the store and its truth", facts)
    if windows.people_absent:
        print(f"{windows.people_absent} people of the truth are not in the store")
    _say(out, windows.y_N, windows.pid_N)


def _say(out: Path, y_N: list[str], pid_N: list[str]) -> None:
    print(f"{len(y_N):,} windows of {len(set(pid_N))} people and {len(set(y_N))} activities: {out}")
