"""Estimates side by side: a table for a person, the same as plain values for a program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from ingest.capacity.estimate import Estimate, Rates, Workload


def table(work: Workload, takes: Sequence[Estimate]) -> Table:
    """A column an estimate."""
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


def values(work: Workload, rates: Rates, takes: Sequence[Estimate]) -> dict[str, Any]:
    """Workload, rates and estimates as JSON-ready values; what is unlimited is null."""
    found = {"workload": asdict(work), "rates": asdict(rates), "takes": [asdict(each) for each in takes]}
    return {name: _finite(value) for name, value in found.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and math.isinf(value) else value
