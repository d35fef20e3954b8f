"""`persondays verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.command_output import JSON_FLAG, write_json

if TYPE_CHECKING:
    from pipeline.verify.report import Report


def verify(
    store: str = typer.Argument(..., help="The window store; any fsspec URL."),
    ingest_flags: list[str] | None = typer.Argument(
        None, metavar="[-- INGEST FLAGS]", help="With --repair: what `persondays ingest` needs, but --store."
    ),
    names_only: bool = typer.Option(False, "--names-only", help="Compare tables and names; read no person-day."),
    sample: int | None = typer.Option(None, min=1, help="Read so many person-days, drawn by chance. Default: all."),
    repair: bool = typer.Option(
        False, "--repair", help="Ingest damaged recordings again, into new slots; delete objects of no row."
    ),
    json_: Path | None = JSON_FLAG,
) -> int:
    """Say whether rows and objects of a window store agree, and repair what does not. Exit status 1 when not whole.

    To repair, give what ingest was given after two dashes:

    persondays verify STORE --repair -- --recordings s3://raw --key-file KEY --id-regex ukb
    """
    from rich.console import Console

    from pipeline.errors import UserError
    from pipeline.store.store import Store
    from pipeline.verify.choice import everything, nothing, some
    from pipeline.verify.look import look

    if names_only and sample is not None:
        raise UserError("--names-only reads nothing and --sample reads some: give one.")
    if ingest_flags and not repair:
        raise UserError(f"what is {ingest_flags[0]!r}? Flags of ingest are for --repair; a store is one argument.")
    opened = Store.open(store)
    report = look(opened, nothing if names_only else some(sample) if sample else everything)
    console = Console(stderr=json_ == Path("-"))
    _show(report, console)
    if repair and not report.whole:
        from pipeline.verify.repair import repair as mend

        report = mend(opened, report, ingest_flags or [])
        console.print("\nafter the repair:")
        _show(report, console)
    write_json(report.plain(), json_)
    return 0 if report.whole else 1


def _show(report: Report, console: object) -> None:
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    read = "no person-day" if not report.read else f"{report.read:,} of {report.person_days:,} person-days"
    console.print(f"{report.store}: {report.person_days:,} rows of {report.recordings:,} recordings; {read} read")
    if report.being_written:
        console.print("a run is writing this store: what it has under way is told, and not judged")
    if report.findings:
        table = Table("", "what", "how many", "some")
        for finding in sorted(report.findings, key=lambda finding: not finding.wrong):
            table.add_row("!" if finding.wrong else "", finding.text, f"{len(finding):,}", finding.some())
        console.print(table)
    console.print("not whole" if not report.whole else "whole" if report.read else "whole, as far as names tell")
