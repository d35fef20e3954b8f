"""The command `persondays ingest`: flags to settings, a run, a summary."""

from __future__ import annotations

from pathlib import Path

import typer


def ingest(
    recordings: str | None = typer.Option(None, help="A folder of recordings, or one: a path or URL (s3://, gs://)."),
    store: str | None = typer.Option(None, help="The window store, a path or URL; made where there is none."),
    config: Path | None = typer.Option(None, help="A TOML file with these settings; flags override it."),
    key_file: Path | None = typer.Option(
        None, help="The store's key (else PERSONDAYS_KEY); `persondays new-key` makes one."
    ),
    participants: Path | None = typer.Option(
        None, help="CSV with the columns name and participant: who wore what. A name may hold wildcards."
    ),
    id_regex: str | None = typer.Option(
        None, help="The participant is the first group of this regular expression in a recording's path, or `ukb`."
    ),
    name_map: Path | None = typer.Option(
        None, help="Write here which file every id stands for. Private: keep it out of the store."
    ),
    relative_dates: bool | None = typer.Option(
        None, "--relative-dates", help="Keep no calendar dates, only the number of each day in its recording."
    ),
    calibration: Path | None = typer.Option(
        None, help="Coefficients by device, for recordings that give none: `persondays inspect STORE --calibration`."
    ),
    resampling: str | None = typer.Option(None, help="To 30 Hz: bandlimited (default), linear or nearest."),
    require_calibration: bool | None = typer.Option(
        None, "--require-calibration", help="Reject recordings that cannot be calibrated, instead of flagging them."
    ),
    any_location: bool | None = typer.Option(
        None, "--any-location", help="Take recordings that say they were worn elsewhere than on a wrist, too."
    ),
    local_timezone: str | None = typer.Option(
        None,
        help="Where the people live, as in Europe/London: days are then local ones. Else those of the device's clock.",
    ),
    device_timezone: str | None = typer.Option(
        None, help="What the devices' clocks were set to, as in UTC, where recordings do not tell. Else the local zone."
    ),
    columns: str | None = typer.Option(
        None, help="Of tables (csv, parquet): time=NAME,x=NAME,y=NAME,z=NAME, names or numbers from 1. Else found."
    ),
    unit: str | None = typer.Option(None, help="Of tables: g or m/s2. Else found by what gravity reads."),
    rate: float | None = typer.Option(None, help="Of tables: rows a second, where they have no column of time."),
    codec: str | None = typer.Option(None, help="Compression of a new store: lz4 (default) or zstd."),
    max_days: int | None = typer.Option(None, help="Reject recordings that span more days (default 60)."),
    retry_rejected: bool | None = typer.Option(None, "--retry-rejected", help="Try rejected recordings once more."),
    again: Path | None = typer.Option(
        None, help="A file of recordings, an id a line: bring those in once more, and only those, into new slots."
    ),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Probe, try three recordings, and tell what a run would do. Writes nothing."
    ),
    workers: int | None = typer.Option(None, help="Recordings at a time (default: one a CPU of Ray)."),
    ray_address: str | None = typer.Option(None, help="A running Ray cluster (else RAY_ADDRESS, else this machine)."),
) -> None:
    """Bring recordings into a window store, on Ray: resumable, repeatable, under keyed ids.

    Run again, it goes on from where it stopped; a finished store is left as it is.
    """
    from ingest.run.driver import plan_ingest, run_ingest
    from ingest.run.settings import IngestSettings
    from pipeline.errors import UserError
    from pipeline.settings import build, merge, read_toml

    flags = {
        "recordings": recordings,
        "store": store,
        "key_file": key_file,
        "participants": participants,
        "id_regex": id_regex,
        "name_map": name_map,
        "calibration": calibration,
        "relative_dates": relative_dates,
        "codec": codec,
        "max_days": max_days,
        "retry_rejected": retry_rejected,
        "again": again,
        "workers": workers,
        "ray_address": ray_address,
        "signal": {
            "resampling": resampling,
            "require_calibration": require_calibration,
            "any_location": any_location,
            "local_timezone": local_timezone,
            "device_timezone": device_timezone,
        },
        "table": {"columns": columns, "unit": unit, "rate_hz": rate},
    }
    table = merge(read_toml(config) if config else {}, flags)
    for name in ("recordings", "store"):
        if name not in table:
            raise UserError(f"--{name} is missing. Give it on the command line or in --config.")
    settings = build(IngestSettings, table, str(config) if config else "ingest")
    if dry_run:
        typer.echo(plan_ingest(settings).text())
        return
    summary = run_ingest(settings)
    typer.echo(summary.text())
    if summary.refused:
        raise UserError(
            f"{settings.recordings}: files in it have the names of other recordings of the store, as told above. Put "
            "both folders below one, give that as --recordings, and make the store anew: names then differ."
        )
    if summary.kept:
        raise UserError(
            f"{settings.recordings}: recordings that have changed, or that --again names, could not be brought in, as "
            "told above. The store keeps what it has of them."
        )
    if not summary.done and not summary.done_before and (summary.rejected or summary.rejected_before):
        raise UserError(f"{settings.recordings}: no recording could be ingested; the reasons stand above.")
