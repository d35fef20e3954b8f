"""The command `persondays ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from ingest.run.settings import IngestSettings
from pipeline.flags import takes_flags


@takes_flags(IngestSettings)
def ingest(
    flags: dict[str, Any],
    config: Path | None = typer.Option(None, help="A TOML file with these settings. Flags override it."),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Probe, try three recordings, and print what a run would do. Writes nothing."
    ),
) -> None:
    """Ingest recordings into a window store, on Ray.

    A run that was stopped resumes where it stopped; a run over a complete store changes nothing.
    """
    from ingest.capacity.dry_run import plan_ingest
    from ingest.run.driver import run_ingest
    from pipeline.errors import UserError
    from pipeline.settings import build, merge, read_toml

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
            f"{settings.recordings}: some files have the names of other recordings of the store (listed above). Put "
            "both folders under one parent, give that as --recordings, and ingest into a new store: names then differ."
        )
    if summary.kept:
        raise UserError(
            f"{settings.recordings}: recordings that changed, or that --again names, could not be ingested (listed "
            "above). The store keeps the days it had of them."
        )
    if not summary.done and not summary.done_before and (summary.rejected or summary.rejected_before):
        raise UserError(f"{settings.recordings}: no recording could be ingested; the reasons are listed above.")
