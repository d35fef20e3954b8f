"""Estimates side by side, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from ingest.capacity.estimate import Estimate, Rates, Workload
from pipeline.store.figures import json_value


def table(work: Workload, takes: Sequence[Estimate]) -> Table:
    """A table with a column per estimate."""
    shown = Table(
        title=f"{work.recordings:,} recordings, {work.signal_days:,.0f} days of signal ({work.person_days:,} calendar "
        f"days), {work.bytes_read / 1e12:,.3g} TB",
        title_justify="left",
    )
    shown.add_column("machines")
    for each in takes:
        shown.add_column(f"{each.machines.count:,}", justify="right")
    rows: dict[str, list[str]] = {
        "recordings at a time": [f"{each.tasks_at_once:,}" for each in takes],
        "recordings/s": [f"{each.recordings_s:,.1f}" for each in takes],
        "hours": [f"{each.hours:,.2f}" for each in takes],
        "node hours": [f"{each.node_hours:,.1f}" for each in takes],
        "CPU hours at work": [f"{each.cpu_hours:,.0f}" for each in takes],
        "bound by": [each.bound for each in takes],
        "TB read": [f"{each.bytes_read / 1e12:,.2f}" for each in takes],
        "TB written": [f"{each.bytes_written / 1e12:,.2f}" for each in takes],
        "requests: GET and HEAD": [f"{each.requests.get:,.0f}" for each in takes],
        "requests: PUT": [f"{each.requests.put:,.0f}" for each in takes],
        "requests: LIST": [f"{each.requests.list:,.0f}" for each in takes],
        "requests/s": [f"{each.requests.total / each.hours / 3600:,.0f}" for each in takes],
    }
    for name, cells in rows.items():
        shown.add_row(name, *cells)
    return shown


def plain(work: Workload, rates: Rates, takes: Sequence[Estimate]) -> Any:
    """Workload, rates and estimates as JSON-ready values; an unlimited resource is null."""
    return json_value({"workload": asdict(work), "rates": asdict(rates), "takes": [asdict(each) for each in takes]})
