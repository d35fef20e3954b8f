"""`persondays inspect` of a window store; `ingest/inspect/command.py` is the command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pipeline.command_output import output_json

if TYPE_CHECKING:
    from rich.table import Table

REASONS_SHOWN = 10


def inspect_store(
    store: str, slot: int | None, picture: Path | None, json_: Path | None, calibration: Path | None
) -> None:
    """Print what is in a window store; draw one of its person-days, and write its calibrations, where asked."""
    from rich.console import Console

    from pipeline.inspect.totals import choose_day, describe_day, totals
    from pipeline.store.store import Store

    opened = Store.open(store)
    found = totals(opened)
    if slot is not None or picture is not None:
        found["day"] = describe_day(choose_day(opened, slot))
    if picture is not None:
        from pipeline.inspect.day import draw_day
        from pipeline.pages.figures import save

        day = opened.read_day(found["day"]["slot"])
        save(draw_day(day, found["day"], opened.attributes.counts_per_g), picture)
    if calibration is not None:
        from pipeline.inspect.calibration import coefficients

        found_by_device = coefficients(opened)
        output_json(found_by_device, calibration)
    if output_json(found, json_):
        return
    Console().print(_table(found))
    if picture is not None:
        typer.echo(f"picture: {picture}")
    if calibration is not None:
        typer.echo(f"calibration of {len(found_by_device['devices']):,} devices: {calibration}")


def _table(found: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(show_header=False, title="window store", title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in _rows(found):
        table.add_row(name, value)
    return table


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    recordings, days = found["recordings"], found["person_days"]
    reasons = list(recordings["reasons"].items())
    rows = [
        ("recordings", f"{recordings['done']:,} done ({recordings['bytes'] / 1e6:,.1f} MB)"),
        ("rejected", f"{recordings['rejected']:,}"),
        *(("", f"{count:,} x {reason}") for reason, count in reasons[:REASONS_SHOWN]),
        *([("", f"and {len(reasons) - REASONS_SHOWN:,} other reasons")] if len(reasons) > REASONS_SHOWN else []),
        ("participants", f"{found['participants']:,}"),
        ("person-days", f"{days:,}"),
        ("worn", f"{found['wear_hours']:,.1f} h"),
        ("eligible", f"{found['eligible_hours']:,.1f} h"),
        *((state, f"{hours:,.2f} h") for state, hours in found["state_hours"].items()),
        *((name, _listed(found[name])) for name in ("devices", "locations", "calibration")),
    ]
    if found["bytes"] is not None:
        total = sum(found["bytes"].values())
        each = f", {total / 1e6 / days:.2f} MB per person-day" if days else ""
        rows.append(("on disk", f"{total / 1e6:,.1f} MB{each}"))
    if found["copies"]:
        rows.append(("same signal", "; ".join(" = ".join(group) for group in found["copies"][:REASONS_SHOWN])))
    if any(found["same_dates"].values()):
        in_turn, at_once = found["same_dates"]["in_turn"], found["same_dates"]["at_once"]
        shown = f"recordings of one participant: {in_turn:,} follow each other, {at_once:,} overlap in time"
        rows.append(("same date", shown))
    if "day" in found:
        day = found["day"]
        rows.append(
            (
                f"slot {day['slot']}",
                f"day {(day['day_index'] or 0) + 1} of recording {day['recording']}, participant {day['participant']}, "
                f"worn {day['wear_hours']:.1f} h",
            )
        )
    return rows


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "-"
