"""`persondays verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.command_output import JSON_FLAG, output_json

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.verify.report import Report


def verify(
    store: str = typer.Argument(..., help="The window store: a path or an s3:// URL."),
    ingest_flags: list[str] | None = typer.Argument(
        None, metavar="[-- INGEST FLAGS]", help="With --repair: the flags of `persondays ingest`, without --store."
    ),
    names_only: bool = typer.Option(False, "--names-only", help="Compare tables and names; read no person-day."),
    sample: int | None = typer.Option(None, min=1, help="Read this many person-days, chosen at random. Default: all."),
    repair: bool = typer.Option(
        False, "--repair", help="Ingest damaged recordings again, into new slots; delete objects without a row."
    ),
    json_: Path | None = JSON_FLAG,
) -> int:
    """Check that rows and objects of a window store agree, and repair what does not. Exit status 1 if faults remain.

    To repair, give the flags of ingest after two dashes:

    persondays verify STORE --repair -- --recordings s3://raw --key-file KEY --id-regex ukb
    """
    from rich.console import Console

    from pipeline.errors import UserError
    from pipeline.store.store import Store
    from pipeline.verify.checks import check_store
    from pipeline.verify.choice import all_slots, no_slots, random_slots

    if names_only and sample is not None:
        raise UserError("--names-only reads no person-day and --sample reads some: give only one of them.")
    if ingest_flags and not repair:
        raise UserError(f"unexpected argument {ingest_flags[0]!r}: give one store; flags of ingest need --repair.")
    opened = Store.open(store)
    report = check_store(opened, no_slots if names_only else random_slots(sample) if sample else all_slots)
    console = Console(stderr=json_ == Path("-"))
    _print(report, console)
    if repair and report.has_faults:
        from pipeline.verify.repair import repair as repair_store

        report = repair_store(opened, report, ingest_flags or [])
        console.print("\nafter the repair:")
        _print(report, console)
    output_json(report.plain(), json_)
    return 1 if report.has_faults else 0


def _print(report: Report, console: Console) -> None:
    from rich.table import Table

    read = "no person-day" if not report.read else f"{report.read:,} of {report.person_days:,} person-days"
    console.print(f"{report.store}: {report.person_days:,} rows of {report.recordings:,} recordings; {read} read")
    if report.being_written:
        console.print("a run is writing this store: its unfinished work is listed, but not as a fault")
    if report.findings:
        table = Table("", "finding", "count", "examples")
        for finding in sorted(report.findings, key=lambda finding: not finding.wrong):
            table.add_row("!" if finding.wrong else "", finding.text, f"{len(finding):,}", finding.examples())
        console.print(table)
    result = "faults found" if report.has_faults else "no faults found"
    console.print(result if report.read else f"{result} (names only)")
