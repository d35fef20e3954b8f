"""Draw the comparison: each person's pair of scores, the difference with its interval, the confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.pages.figures import CONTROL, FAINT, INK, OURS, SECOND_CONTROL, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES = {"macro_f1": "macro F1", "kappa": "Cohen's kappa"}
COLOURS = {"random": CONTROL, "pretrained": OURS}
APART = 2.6
"""Distance of the two metrics on the horizontal axis; the points of a pair are 1 apart."""


def draw(results: dict[str, Any]) -> Figure:
    """Draw `results` (as in results.json)."""
    matrix_in = 1.6 + 0.27 * len(results["classes"])
    with style():
        figure = new_figure(4.2 + matrix_in)
        parts: Any = figure.subfigures(2, 1, height_ratios=(4.2, matrix_in))
        pairs, differences = parts[0].subplots(1, 2, width_ratios=(1.4, 1))
        _pairs(pairs, results)
        _differences(differences, results)
        _confusion(parts[1].subplots(), results["confusion"], results["classes"], "Pretrained")
    return figure


def draw_confusion(results: dict[str, Any], row: str) -> Figure:
    """Draw the confusion matrix of a row of `results`."""
    with style():
        figure = new_figure(1.6 + 0.27 * len(results["classes"]))
        found = results["rows"][row]
        _confusion(figure.subplots(), found["confusion"], results["classes"], found["title"].capitalize())
    return figure


def _scored(results: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    return [row for row in results["subjects"] if None not in (row["random"][metric], row["pretrained"][metric])]


def _pairs(axes: Axes, results: dict[str, Any]) -> None:
    """Draw a line for each person, from random weights to the pretrained backbone; a dash is a random network."""
    for position, metric in enumerate(TITLES):
        at = {"random": APART * position, "pretrained": APART * position + 1}
        rows = _scored(results, metric)
        for row in rows:
            axes.plot(list(at.values()), [row[kind][metric] for kind in at], color=FAINT, linewidth=0.9, zorder=1)
        for kind, x in at.items():
            axes.scatter([x] * len(rows), [row[kind][metric] for row in rows], s=16, color=COLOURS[kind], zorder=2)
            mean = results["summary"][metric][kind]["mean"]
            if mean is not None:
                side = -1 if kind == "random" else 1
                axes.plot([x - 0.2, x + 0.2], [mean, mean], color=INK, linewidth=2.2, zorder=3)
                axes.annotate(
                    f"{mean:.3f}", (x + 0.24 * side, mean), ha="right" if side < 0 else "left", va="center", fontsize=9
                )
        networks = results["summary"][metric]["random_networks"]
        label = "mean of each random network" if position == 0 else None
        at_left = [at["random"] - 0.75] * len(networks)
        axes.scatter(at_left, networks, marker="_", s=110, linewidth=1.8, color=SECOND_CONTROL, zorder=3, label=label)
    axes.set_xlim(-1.05, APART + 1.75)
    axes.set_xticks([0, 1, APART, APART + 1], ["random", "pretrained"] * 2)
    axes.grid(axis="x", visible=False)
    axes.set_title(f"One line per person: {', '.join(TITLES.values())}")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.1), borderpad=0)


def _differences(axes: Axes, results: dict[str, Any]) -> None:
    """Draw pretrained minus random: a dot for each person, and the mean with its 95% interval."""
    for position, metric in enumerate(TITLES):
        differences = np.sort([row["pretrained"][metric] - row["random"][metric] for row in _scored(results, metric)])
        spread = np.linspace(-0.2, 0.1, len(differences)) if len(differences) > 1 else np.zeros(len(differences))
        axes.scatter(position + spread, differences, s=14, color=OURS, alpha=0.5, linewidth=0)
        summary = results["summary"][metric]["difference"]
        if summary["low"] is not None:
            half = summary["high"] - summary["mean"]
            axes.errorbar(position + 0.28, summary["mean"], half, fmt="o", color=INK, capsize=4)
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.set_xticks(range(len(TITLES)), list(TITLES.values()))
    axes.set_xlim(-0.45, len(TITLES) - 0.45)
    axes.grid(axis="x", visible=False)
    axes.set_title("Pretrained minus random, 95% interval")


def _confusion(axes: Axes, counts: list[list[int]], names: list[str], title: str) -> None:
    """Draw a confusion matrix; rows are the truth and sum to 100%."""
    from matplotlib.colors import LinearSegmentedColormap

    counts_KK = np.array(counts, float)
    share_KK = counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    axes.imshow(
        share_KK, cmap=LinearSegmentedColormap.from_list("ours", ["white", OURS]), vmin=0, vmax=1, aspect="auto"
    )
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    for truth, predicted in np.argwhere(share_KK >= 0.005):
        share = share_KK[truth, predicted]
        colour = "white" if share > 0.55 else INK
        axes.text(predicted, truth, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axes.grid(visible=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title(f"{title}: predictions for the windows of each activity (%)")
