"""Draw the rows: the mean of each with its 95% interval and a dot for each person; differences to a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.pages.figures import CONTROL, INK, OURS, SECOND_CONTROL, new_figure, style
from train.evaluate.results.tables import heading, metrics_of, minus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"random": CONTROL, "scratch": CONTROL, "handmade": SECOND_CONTROL}
COLOURS |= {"forest": SECOND_CONTROL, "boosting": SECOND_CONTROL}
"""Rows that do not use the pretrained weights."""


def colour_of(row: str) -> str:
    """Return the colour of a row: ours, or a control's."""
    return COLOURS.get(row, OURS)


def draw_rows(results: dict[str, Any]) -> Figure:
    """Draw `results` (as in results.json)."""
    metric = metrics_of(results)[0]
    names = sorted(results["rows"], key=lambda name: results["rows"][name][metric]["mean"] or 0)
    reference = results["reference"]
    with style():
        figure = new_figure(1.9 + 0.42 * len(names))
        scores, differences = figure.subplots(1, 2, sharey=True, width_ratios=(1.3, 1))
        for height, name in enumerate(names):
            _scores(scores, results["rows"][name][metric], height, colour_of(name))
            if name != reference:
                _difference(differences, minus(results, name, reference)[metric], height, colour_of(name))
        scores.set_yticks(range(len(names)), [results["rows"][name]["title"] for name in names])
        scores.set_ylim(-0.6, len(names) - 0.4)
        scores.set_title(f"{heading(metric)}: people, mean, 95% interval", loc="right")
        differences.axvline(0, color=INK, linewidth=0.9)
        differences.set_title(f"Minus {reference}: 95% interval")
        for axes in (scores, differences):
            axes.grid(axis="y", visible=False)
    return figure


def _scores(axes: Axes, score: dict[str, Any], height: float, colour: str) -> None:
    people = np.array([value for value in score["by_person"] if value is not None])
    axes.scatter(people, np.full(len(people), height) - 0.16, s=12, color=colour, alpha=0.4, linewidth=0)
    _point(axes, score, height + 0.08, colour)
    if score["mean"] is not None:
        axes.annotate(f"{score['mean']:.3f}", (score["mean"], height + 0.2), ha="center", va="bottom", fontsize=8)


def _difference(axes: Axes, score: dict[str, Any], height: float, colour: str) -> None:
    _point(axes, score, height, colour)
    if score["mean"] is not None:
        axes.annotate(f"{score['mean']:+.3f}", (score["mean"], height + 0.12), ha="center", va="bottom", fontsize=8)


def _point(axes: Axes, score: dict[str, Any], height: float, colour: str) -> None:
    if score["mean"] is not None:
        half = 0.0 if score["high"] is None else score["high"] - score["mean"]
        axes.errorbar(score["mean"], height, xerr=half, fmt="o", markersize=5, color=colour, capsize=3)
