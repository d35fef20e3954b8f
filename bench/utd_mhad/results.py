"""The study's table and picture, from the cells that are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from bench.tables import markdown_table
from bench.utd_mhad.rows import ROWS, SHARES
from pipeline.pages.figures import CONTROL, INK, OURS, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cells = Mapping[str, Sequence[dict[str, Any]]]
"""The results of a row, one for each seed."""
PALETTE = ("#1f6f8b", "#c98a1b", "#7a3b69", "#44aa99", "#332288", "#8a8a8a", "#cc6677", "#999933", "#222222")
MARKERS = "osD^vP*Xh"


def binomial(share: float, trials: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share of so many trials (Wilson 1927), as if trials were independent."""
    found = stats.binomtest(round(share * trials), trials).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean with its 95% interval by Student's t; of one value, that value thrice."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean, mean
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def table(cells: Cells) -> list[str]:
    """Return table 1 as Markdown, accuracies in percent."""
    rows = []
    for name, found in cells.items():
        values, trials = [100 * each["accuracy"] for each in found], found[0]["trials"]
        low, high = binomial(float(np.mean(values)) / 100, trials)
        people = 100 * np.mean([each["by_person"] for each in found], 0)
        minutes = np.mean([each["cpu_minutes"] + each["pretraining_cpu_minutes"] for each in found])
        theirs = ROWS[name].theirs
        rows.append(
            [
                ROWS[name].title,
                "" if theirs is None else f"{theirs:.2f}",
                f"{np.mean(values):.2f}",
                "" if theirs is None else f"{np.mean(values) - theirs:+.2f}",
                f"{np.std(values, ddof=1):.2f}" if len(values) > 1 else "",
                len(values),
                f"{100 * low:.1f} to {100 * high:.1f}",
                f"{people.min():.1f} to {people.max():.1f}",
                f"{minutes:.1f}",
            ]
        )
    head = ["", "theirs", "ours", "difference", "SD", "seeds", "95%, binomial", "lowest and highest person", "CPU min"]
    return markdown_table(head, rows)


def curve_table(cells: Cells) -> list[str]:
    """Return figure 2 as Markdown: mean accuracy in percent and its 95% interval over all repeats of all seeds."""
    curves = {name: curve_of(found) for name, found in cells.items() if "curve" in found[0]}
    if not curves:
        return []
    first = next(found for found in cells.values() if "curve" in found[0])[0]["curve"]
    head = ["", "repeats", *(f"{share:.0%} ({first[f'{share:g}']['labelled']} trials)" for share in SHARES)]
    rows = []
    for name, values in curves.items():
        parts = [interval(values[share]) for share in SHARES]
        rows.append(
            [ROWS[name].title, len(values[SHARES[0]])]
            + [f"{mean:.1f} ({low:.1f} to {high:.1f})" if low < high else f"{mean:.1f}" for mean, low, high in parts]
        )
    return markdown_table(head, rows)


def curve_of(found: Sequence[dict[str, Any]]) -> dict[float, list[float]]:
    """Return the accuracies in percent of all seeds and repeats, by share of the labels."""
    return {
        share: [100 * value for each in found for value in each["curve"][f"{share:g}"]["accuracies"]]
        for share in SHARES
    }


def picture(cells: Cells) -> Figure:
    """Draw table 1 (ours with the binomial interval beside theirs) and figure 2."""
    with style():
        figure = new_figure(5.6)
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1, 1.2)})
        for place, (name, found) in enumerate(cells.items()):
            mean, theirs = float(np.mean([each["accuracy"] for each in found])), ROWS[name].theirs
            trials = found[0]["trials"]
            low, high = binomial(mean, trials)
            left.plot([100 * low, 100 * high], [place, place], color=OURS, linewidth=2)
            left.plot(100 * mean, place, "o", color=OURS, label=f"ours, 95% of {trials} trials" if not place else None)
            if theirs is not None:
                left.plot(theirs, place, "D", color=CONTROL, label="theirs" if not place else None)
        left.set_yticks(range(len(cells)), [ROWS[name].title for name in cells])
        left.invert_yaxis()
        left.set_xlabel("accuracy, %")
        left.set_title("All labels")
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))
        drawn = [(name, found) for name, found in cells.items() if "curve" in found[0]]
        for number, (name, found) in enumerate(drawn):
            parts = np.array([interval(values) for values in curve_of(found).values()])
            percent, colour = [100 * share for share in SHARES], PALETTE[number % len(PALETTE)]
            right.plot(
                percent, parts[:, 0], marker=MARKERS[number % len(MARKERS)], color=colour, label=ROWS[name].title
            )
            right.fill_between(percent, parts[:, 1], parts[:, 2], color=colour, alpha=0.15, linewidth=0)
        right.set_xscale("log")
        right.set_xticks([100 * share for share in SHARES], [f"{share:.0%}" for share in SHARES])
        right.minorticks_off()
        right.set_xlabel("labels of the training trials")
        right.set_title("Few labels, 95% interval")
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, labelcolor=INK, fontsize=8)
    return figure
