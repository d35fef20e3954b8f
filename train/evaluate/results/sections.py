"""Further tables of an evaluation: curves, domains, shifts and retrieval, as Markdown sections and CSV files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from train.evaluate.results.tables import TITLES, comma_separated, heading, markdown, metrics_of, signed, with_interval

CURVES = {"labels": ("Fewer labels", "% of the labels"), "people": ("Fewer people", "labelled people")}


Write = Callable[..., str]
"""Writes a score or a difference: `with_interval`, or `mean_alone` where there is little room."""


def sections(results: dict[str, Any], write: Write = with_interval) -> list[str]:
    """Return the Markdown sections of the parts that `results` has."""
    metric = metrics_of(results)[0]
    found = [_curve(results, name, metric, write) for name in CURVES if name in results]
    found += [make(results, metric, write) for name, make in SECTIONS.items() if name in results]
    return found


def files(results: dict[str, Any]) -> dict[str, str]:
    """Return the CSV files of the parts that `results` has, by name."""
    found = {f"{name}.csv": _curve_csv(results[name]) for name in CURVES if name in results}
    return found | {f"{name}.csv": make(results[name]) for name, make in FILES.items() if name in results}


def _curve(results: dict[str, Any], name: str, metric: str, write: Write) -> str:
    curve, (title, unit) = results[name], CURVES[name]
    rows = [[row, *(write(each[metric]) for each in values)] for row, values in curve["rows"].items()]
    differences = [
        [f"{row} minus {curve['reference']}", *(write(each[metric], signed) for each in values)]
        for row, values in curve["minus_reference"].items()
    ]
    header = [unit, *(f"{value:g}" for value in curve["values"])]
    return (
        f"## {title}\n\n{markdown(header, [*rows, *differences])}\n{heading(metric)}{_spread(write)}, over people and "
        f"{curve['repeats']} random draws.\n"
    )


def _domain(results: dict[str, Any], metric: str, write: Write) -> str:
    part = results["domain"]
    header = [part["column"], "windows", "people", "row", "in training", "left out", "lost"]
    lines = [
        [
            *(each["domain"], f"{each['windows']:,}", str(each["people"]), row),
            *(write(scores[metric][kind]) for kind in ("in_training", "left_out")),
            write(scores[metric]["lost"], signed),
        ]
        for each in part["values"]
        for row, scores in each["rows"].items()
    ]
    return (
        f"## Leave one {part['column']} out\n\n{markdown(header, lines)}\n{heading(metric)} on the windows of one value"
        f"{_spread(write)}: with and without this value among the training people's windows.\n"
    )


def _shifts(results: dict[str, Any], metric: str, write: Write) -> str:
    part = results["shifts"]
    lines = [
        [shift, *(write(_loss(values[number][metric]), signed) for values in part["rows"].values())]
        for number, shift in enumerate(part["shifts"])
    ]
    return (
        f"## Shifts\n\n{markdown(['test windows', *part['rows']], lines)}\n{heading(metric)} lost"
        f"{_spread(write)}. Training windows are unchanged.\n"
    )


def _spread(write: Write) -> str:
    return ", with its 95% interval" if write is with_interval else ""


def _loss(entry: dict[str, Any]) -> dict[str, Any]:
    return {"mean": entry["lost"], "low": entry["low"], "high": entry["high"]}


def _retrieval(results: dict[str, Any], metric: str, write: Write) -> str:
    part = results["retrieval"]
    header = ["features", *(f"macro F1 of {k}" for k in part["neighbours"])]
    header += [f"recall@{k}" for k in part["neighbours"]]
    lines = [
        [name, *(write(each) for each in (*scores["macro_f1"], *scores["recall"]))]
        for name, scores in part["spaces"].items()
    ]
    return (
        f"## Nearest neighbours\n\n{markdown(header, lines)}\nNo training: a vote of the nearest windows of other "
        f"people, and the share of windows with one of the same activity among them{_spread(write)}.\n"
    )


SECTIONS = {"domain": _domain, "shifts": _shifts, "retrieval": _retrieval}


def _curve_csv(curve: dict[str, Any]) -> str:
    lines = [
        [row, value, metric, *each[metric].values()]
        for row, values in curve["rows"].items()
        for value, each in zip(curve["values"], values, strict=True)
        for metric in TITLES
    ]
    return comma_separated(("row", "value", "metric", "mean", "low", "high"), lines)


def _domain_csv(part: dict[str, Any]) -> str:
    lines = [
        [each["domain"], row, metric, kind, *scores[metric][kind].values()]
        for each in part["values"]
        for row, scores in each["rows"].items()
        for metric in TITLES
        for kind in ("in_training", "left_out", "lost")
    ]
    return comma_separated((part["column"], "row", "metric", "kind", "mean", "low", "high"), lines)


def _shifts_csv(part: dict[str, Any]) -> str:
    lines = [
        [shift, row, metric, *values[number][metric].values()]
        for number, shift in enumerate(part["shifts"])
        for row, values in part["rows"].items()
        for metric in TITLES
    ]
    return comma_separated(("shift", "row", "metric", "mean", "lost", "low", "high"), lines)


def _retrieval_csv(part: dict[str, Any]) -> str:
    lines = [
        [name, metric, k, *scores[metric][number].values()]
        for name, scores in part["spaces"].items()
        for metric in ("macro_f1", "recall")
        for number, k in enumerate(part["neighbours"])
    ]
    return comma_separated(("features", "metric", "neighbours", "mean", "low", "high"), lines)


FILES = {"domain": _domain_csv, "shifts": _shifts_csv, "retrieval": _retrieval_csv}
