"""The comparison as one picture: people's scores in pairs, their difference with its interval, the confusion matrix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"random": "#8a8a8a", "pretrained": "#1f6f8b"}
TITLES = {"macro_f1": "macro F1", "kappa": "Cohen's kappa"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the picture of `results` (as in results.json) to a PNG file."""
    from matplotlib.figure import Figure

    classes = len(results["classes"])
    figure = Figure(figsize=(13, max(4.6, 2.2 + 0.28 * classes)), layout="constrained")
    pairs, differences, confusion = figure.subplots(1, 3, width_ratios=(1.15, 0.8, 1.5))
    _pairs(pairs, results)
    _differences(differences, results)
    _confusion(confusion, results)
    figure.savefig(path, dpi=130, format="png")


def _pairs(axes: Axes, results: dict[str, Any]) -> None:
    """A line a person, from random weights to the pretrained backbone."""
    for position, metric in enumerate(TITLES):
        at = {"random": 2.6 * position, "pretrained": 2.6 * position + 1}
        rows = [row for row in results["subjects"] if None not in (row["random"][metric], row["pretrained"][metric])]
        for row in rows:
            scores = [row[name][metric] for name in at]
            axes.plot(list(at.values()), scores, color="#c8c8c8", linewidth=0.8, zorder=1)
        for name, x in at.items():
            axes.scatter([x] * len(rows), [row[name][metric] for row in rows], s=18, color=COLOURS[name], zorder=2)
            mean = results["summary"][metric][name]["mean"]
            if mean is not None:
                axes.plot([x - 0.25, x + 0.25], [mean, mean], color="black", linewidth=2, zorder=3)
                axes.annotate(f"{mean:.3f}", (x, mean), (0, 5), textcoords="offset points", ha="center", fontsize=8)
        draws = results["summary"][metric]["random_networks"]
        axes.scatter([at["random"] - 0.4] * len(draws), draws, marker="_", s=90, color="#b5532a", zorder=3)
    axes.set_xticks([0, 1, 2.6, 3.6], ["random", "pretrained"] * 2)
    axes.set_title(
        f"{'  |  '.join(TITLES.values())}\na line a person, black the mean, red each random network", fontsize=10
    )
    axes.grid(axis="y", alpha=0.3)


def _differences(axes: Axes, results: dict[str, Any]) -> None:
    """Pretrained minus random: people as dots, the mean with its 95% interval beside them."""
    for position, metric in enumerate(TITLES):
        differences = np.sort(
            [
                row["pretrained"][metric] - row["random"][metric]
                for row in results["subjects"]
                if None not in (row["random"][metric], row["pretrained"][metric])
            ]
        )
        spread = np.linspace(-0.15, 0.15, len(differences)) if len(differences) > 1 else np.zeros(len(differences))
        axes.scatter(position + spread, differences, s=14, color=COLOURS["pretrained"], alpha=0.5)
        summary = results["summary"][metric]["difference"]
        if summary["low"] is not None:
            half = summary["high"] - summary["mean"]
            axes.errorbar(position + 0.3, summary["mean"], half, fmt="o", color="black", capsize=4)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(TITLES)), list(TITLES.values()))
    axes.set_xlim(-0.4, len(TITLES) - 0.4)
    axes.set_title("pretrained minus random\nmean and 95% interval over people", fontsize=10)
    axes.grid(axis="y", alpha=0.3)


def _confusion(axes: Axes, results: dict[str, Any]) -> None:
    """Rows are the truth and sum to 1."""
    counts_KK = np.array(results["confusion"], float)
    share_KK = counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    axes.imshow(share_KK, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    names = results["classes"]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for truth, predicted in np.argwhere(share_KK >= 0.005):
        share = share_KK[truth, predicted]
        axes.text(
            predicted, truth, f"{100 * share:.0f}", ha="center", va="center", fontsize=7,
            color="white" if share > 0.55 else "black",
        )  # fmt: skip
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title("pretrained: % of each true class, all people", fontsize=10)
