"""Tables of an evaluation: Markdown for a page, CSV for further work."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

TITLES = {"macro_f1": "macro F1", "macro_f1_union": "macro F1, union", "kappa": "kappa"}

Cells = list[str]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def comma_separated(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table as CSV; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def heading(metric: str) -> str:
    """Return a metric's title as the first words of a sentence."""
    return TITLES[metric][0].upper() + TITLES[metric][1:]


def figure(value: float | None) -> str:
    """Return a score with three digits."""
    return "-" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Return a difference with three digits and its sign."""
    return "-" if value is None else f"{value:+.3f}"


def with_interval(score: dict[str, Any], write: Callable[[float | None], str] = figure) -> str:
    """Return a mean and its 95% interval."""
    if score["low"] is None:
        return write(score["mean"])
    return f"{write(score['mean'])} [{write(score['low'])}, {write(score['high'])}]"


def mean_alone(score: dict[str, Any], write: Callable[[float | None], str] = figure) -> str:
    """Return a mean."""
    return write(score["mean"])


def rows_table(results: dict[str, Any]) -> tuple[Cells, list[Cells]]:
    """Return header and lines of the main table: the scores of each row, and its difference to the reference row."""
    rows = results["rows"]
    metrics = metrics_of(results)
    reference = results["reference"]
    header = ["row", *(TITLES[metric] for metric in metrics), f"minus {reference}"]
    lines = [
        [
            name,
            *(f"{figure(row[metric]['mean'])} ({figure(row[metric]['sd'])})" for metric in metrics),
            "" if name == reference else with_interval(minus(results, name, reference)[metrics[0]], signed),
        ]
        for name, row in rows.items()
    ]
    return header, lines


def metrics_of(results: dict[str, Any]) -> list[str]:
    """Return the metrics to show: first the one that the protocol is compared by."""
    return ["macro_f1_union", "kappa"] if results["protocol_name"] == "harnet" else ["macro_f1", "kappa"]


def people(data: dict[str, Any]) -> str:
    """Return the number of people as text, and how many of them are tested if not all are."""
    tested = f" ({data['tested']} of them tested)" if data["tested"] < data["people"] else ""
    return f"{data['people']} people{tested}"


def minus(results: dict[str, Any], one: str, other: str) -> dict[str, Any]:
    """Return the difference of two rows, for each metric."""
    for found in results["differences"]:
        if (found["row"], found["other"]) == (one, other):
            return dict(found)
        if (found["row"], found["other"]) == (other, one):
            return {key: _reversed(value) if isinstance(value, dict) else value for key, value in found.items()}
    raise KeyError(f"no difference of {one} and {other}")


def _reversed(difference: dict[str, Any]) -> dict[str, Any]:
    negated = {"mean": difference["mean"], "low": difference["high"], "high": difference["low"]}
    return difference | {name: None if value is None else -value for name, value in negated.items()}


def _with_titles(results: dict[str, Any]) -> tuple[Cells, list[Cells]]:
    header, lines = rows_table(results)
    titles = [row["title"] for row in results["rows"].values()]
    return ["row", "what", *header[1:]], [
        [line[0], title, *line[1:]] for line, title in zip(lines, titles, strict=True)
    ]


def rows_csv(results: dict[str, Any]) -> str:
    """Return the scores of all rows, one line for each row and metric."""
    columns = ("people", "mean", "sd", "low", "high")
    lines = [
        [name, metric, *(row[metric][column] for column in columns), *row[metric]["tests"].values()]
        for name, row in results["rows"].items()
        for metric in TITLES
    ]
    return comma_separated(("row", "metric", *columns, "tests", "tests_mean", "tests_sd"), lines)


def differences_csv(results: dict[str, Any]) -> str:
    """Return all paired differences, one line for each pair of rows and metric."""
    columns = ("people", "mean", "sd", "low", "high")
    lines = [
        [found["row"], found["other"], metric, *(found[metric][column] for column in columns)]
        for found in results["differences"]
        for metric in TITLES
    ]
    return comma_separated(("row", "minus", "metric", *columns), lines)


def page(results: dict[str, Any], sections: Sequence[str] = ()) -> str:
    """Return tables.md."""
    data = results["data"]
    return "\n".join(
        [
            "# Evaluation\n",
            f"{people(data)}, {data['windows']:,} windows, {data['classes']} classes. "
            f"Protocol `{results['protocol_name']}`: {results['protocol']['split']}.\n",
            markdown(*_with_titles(results)),
            "Scores are means (SD) over people; the difference is that of the first score, with its 95% interval over "
            "people and random draws.\n",
            *sections,
            *(f"Note: {note}.\n" for note in results["notes"]),
        ]
    )
