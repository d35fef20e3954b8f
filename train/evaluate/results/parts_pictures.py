"""Draw the curves of fewer labels or people, and the losses to shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.pages.figures import INK, new_figure, style
from train.evaluate.results.sections import CURVES
from train.evaluate.results.tables import heading, metrics_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#1f6f8b", "#c98a1b", "#7a3b69", "#44aa99", "#8a8a8a", "#cc6677", "#332288", "#999933", "#88ccee", "#222222")
MARKERS = "osD^vP*XhH"
LARGEST_LOSS = 0.5
"""Macro F1 lost at the end of the colours."""


def draw_curve(results: dict[str, Any], name: str) -> Figure:
    """Draw a curve of `results`: scores of each row by the labels or people it had, and minus the reference row."""
    curve, metric = results[name], metrics_of(results)[0]
    with style():
        figure = new_figure(4.4)
        both = figure.subplots(1, 2)
        for axes, part in zip(both, ("rows", "minus_reference"), strict=True):
            for number, row in enumerate(curve["rows"]):
                if row in curve[part]:
                    _line(axes, curve["values"], [each[metric] for each in curve[part][row]], number, row)
            axes.set_xscale("log")
            axes.set_xticks(curve["values"], [f"{value:g}" for value in curve["values"]])
            axes.minorticks_off()
            axes.set_xlabel(CURVES[name][1])
        both[0].set_title(f"{heading(metric)}, 95% interval")
        both[0].legend(loc="lower right")
        both[1].axhline(0, color=INK, linewidth=0.9)
        both[1].set_title(f"Minus {curve['reference']}")
    return figure


def _line(axes: Axes, values: list[float], scores: list[dict[str, Any]], number: int, label: str) -> None:
    colour = PALETTE[number % len(PALETTE)]
    mean, low, high = (np.array([each[key] for each in scores], float) for key in ("mean", "low", "high"))
    axes.plot(values, mean, marker=MARKERS[number % len(MARKERS)], markersize=4.5, color=colour, label=label)
    axes.fill_between(values, low, high, color=colour, alpha=0.13, linewidth=0)


def draw_shifts(results: dict[str, Any]) -> Figure:
    """Draw the losses of `results`: a line for each shift, a column for each row."""
    part, metric = results["shifts"], metrics_of(results)[0]
    lost = np.array([[each[metric]["lost"] for each in values] for values in part["rows"].values()], float).T
    with style():
        from matplotlib.colors import LinearSegmentedColormap

        figure = new_figure(1.3 + 0.25 * len(part["shifts"]))
        axes = figure.subplots()
        colours = LinearSegmentedColormap.from_list("lost", ["#1f6f8b", "white", "#b3541e"])
        axes.imshow(lost, cmap=colours, vmin=-LARGEST_LOSS, vmax=LARGEST_LOSS, aspect="auto")
        for (line, column), value in np.ndenumerate(lost):
            colour = "white" if abs(value) > 0.7 * LARGEST_LOSS else INK
            axes.text(column, line, f"{value:+.3f}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_yticks(range(len(part["shifts"])), part["shifts"])
        axes.set_xticks(range(len(part["rows"])), list(part["rows"]))
        axes.xaxis.tick_top()
        axes.grid(visible=False)
        axes.set_title(f"{heading(metric)} lost on changed test windows", pad=24)
    return figure
