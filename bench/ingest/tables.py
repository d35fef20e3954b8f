"""The tables of bench.ingest."""

from __future__ import annotations

from typing import Any

from ..tables import markdown_table

NAMES = {
    "axivity": "Axivity AX3, `.cwa`",
    "actigraph": "ActiGraph GT9X Link, `.gt3x`",
    "geneactiv": "GENEActiv, `.bin`",
}


def rows(found: dict[str, Any]) -> list[list[str]]:
    """The cells of one device's table; rows of peers have the ratio of their time to ours."""
    ours = {row["work"]: row["seconds"] for row in found["rows"] if row["who"] == "ours"}
    cells = []
    for row in found["rows"]:
        is_ours, seconds = row["who"] == "ours", row["seconds"]
        spread = (
            f"{seconds:.2f} ({row['lowest']:.2f} to {row['highest']:.2f})" if row["calls"] > 1 else f"{seconds:.0f}"
        )
        times = "" if is_ours else f"{seconds / ours[row['work']]:.1f}"
        to_store = "" if is_ours or row["work"] == "read" else f"{seconds / ours['to the store']:.1f}"
        size = f"{row['peak MB'] / 1e3:.2f}"
        cells.append([row["work"], row["who"], spread, times, to_store, f"{row['first s']:.1f}", size])
    new = f"{found['uncompiled s']:.1f}"
    return [*cells, ["to the store, nothing compiled", "ours", "", "", "", new, ""]]


HEAD = ["what", "who", "seconds", "times ours", "times ours to the store", "first call, s", "peak GB"]


def markdown(found: dict[str, Any]) -> str:
    """The tables for docs/benchmarks.md."""
    lines = []
    for kind, measured in found.items():
        calls = max(row["calls"] for row in measured["rows"])
        lines += [
            f"{NAMES[kind]}: {measured['days']:g} days at 100 Hz, {measured['file MB']:.0f} MB, "
            f"{measured['rows'][0]['samples']:,} samples. {measured['device']}; {measured['date']}; "
            f"medians of {calls} (lowest to highest):",
            "",
            *markdown_table(HEAD, rows(measured)),
            "",
        ]
    return "\n".join(lines)


def text(found: dict[str, Any]) -> str:
    """The tables for a terminal."""
    widths = (31, 14, 24, 11, 24, 14, 8)
    lines = []
    for kind, measured in found.items():
        table = [[f"{kind}, {measured['days']:g} days", *HEAD[1:]], *rows(measured)]
        lines += ["".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in table]
    return "\n".join(lines)
