"""`persondays simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder for the recordings and _truth.parquet.")],
    participants: Annotated[int, typer.Option(help="Number of participants.")] = 12,
    days: Annotated[float, typer.Option(help="Length of each recording in days of 24 hours.")] = 2.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
    device: Annotated[str, typer.Option(help="Maker of the devices: axivity, actigraph or geneactiv.")] = "axivity",
    devices: Annotated[
        int,
        typer.Option(
            help="Devices that each participant wears, each with a wrong clock of its own: 2 for wrist and hip, 3 for "
            "the other wrist too."
        ),
    ] = 1,
    workers: Annotated[int | None, typer.Option(help="Number of processes (default: one per core).")] = None,
) -> None:
    """Simulate recordings of a plausible population, and write a table of what each person did when."""
    import os

    from ingest.simulate.cohort import CLOCKS, TRUTH, SimulatedCohort, make
    from ingest.simulate.population import Kind
    from pipeline.errors import UserError

    if workers is not None and workers < 1:
        raise UserError(f"expected --workers of 1 or more, found {workers}.")
    cohort = SimulatedCohort(participants, days, seed, cast(Kind, device), devices)
    made = make(cohort, out, workers or len(os.sched_getaffinity(0)))
    size = sum((out / cohort.file_of(*file)).stat().st_size for file in cohort.files)
    count = len(cohort.files)
    if made:
        typer.echo(f"{count} recordings of {days:g} days ({size / 1e6:,.0f} MB, {made} new) in {out}")
        typer.echo(f"truth: {out / TRUTH}" + (f", {out / CLOCKS}" if devices > 1 else ""))
    else:
        typer.echo(f"nothing to do: {out} holds all {count} recordings and {TRUTH}")
