"""Draw the windows drawn from a day: by time of day, by weight, and compared with their probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.grid import SECONDS_PER_DAY
from pipeline.pages.figures import CONTROL, OURS, SECOND_CONTROL, new_figure, style
from train.report.draws import Draws, deciles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 60
PART_OF_DAY_S = 900


def draw_draws(draws: Draws) -> Figure:
    """Return the figure of a day's draws."""
    with style():
        figure = new_figure(7.4)
        parts: Any = figure.subfigures(2, 1, height_ratios=(4.2, 3.2))
        above, below = parts
        weight, ticks, count = above.subplots(3, 1, sharex=True, height_ratios=(2.4, 0.5, 1.3))
        _draw_weights(weight, draws)
        _draw_ticks(ticks, draws)
        _draw_counts(count, draws)
        histogram, shares = below.subplots(1, 2)
        _draw_histogram(histogram, draws)
        _draw_shares(shares, draws)
    return figure


def _draw_weights(axes: Axes, draws: Draws) -> None:
    """Draw the weight of every eligible start, and of the drawn ones."""
    weight_S = np.full(SECONDS_PER_DAY, np.nan)
    weight_S[draws.start_N] = draws.weight_N
    axes.plot(np.arange(SECONDS_PER_DAY) / 3600, weight_S, color=CONTROL, linewidth=0.6, label="every eligible start")
    drawn = draws.start_N[draws.drawn_N]
    axes.plot(drawn / 3600, weight_S[drawn], ".", color=OURS, markersize=3, label="drawn")
    axes.set_yscale("log")
    axes.set_ylabel("weight: mean\nmotion (g)")
    axes.set_title(
        f"Day {(draws.day_index or 0) + 1} of recording {draws.recording}, slot {draws.slot}: "
        f"{draws.drawn_N.sum():,} windows of {draws.seconds} s drawn of {draws.start_N.size:,}"
    )
    axes.legend(loc="upper left", ncols=2, markerscale=3)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.2)


def _draw_ticks(axes: Axes, draws: Draws) -> None:
    axes.vlines(draws.start_N[draws.drawn_N] / 3600, 0, 1, color=OURS, linewidth=0.35)
    axes.set_yticks([0.5], ["drawn starts"])
    axes.set_ylim(0, 1)
    axes.grid(visible=False)


def _draw_counts(axes: Axes, draws: Draws) -> None:
    """Draw the number of drawn windows in each quarter of an hour, and the expected number."""
    edges = np.arange(0, SECONDS_PER_DAY + 1, PART_OF_DAY_S)
    drawn, _ = np.histogram(draws.start_N[draws.drawn_N], edges)
    expected, _ = np.histogram(draws.start_N, edges, weights=draws.expected_N)
    axes.bar(edges[:-1] / 3600, drawn, PART_OF_DAY_S / 3600, align="edge", color=OURS, label="drawn")
    axes.stairs(expected, edges / 3600, color=SECOND_CONTROL, linewidth=1.4, label="expected from the weights")
    axes.set_ylabel("windows in\n15 minutes")
    axes.set_xlim(0, 24)
    axes.set_xticks(range(0, 25, 3), [f"{hour}:00" for hour in range(0, 25, 3)])
    axes.set_xlabel("device clock")
    axes.legend(loc="upper left")


def _draw_histogram(axes: Axes, draws: Draws) -> None:
    edges = np.geomspace(draws.weight_N.min(), draws.weight_N.max() * 1.0001, BINS)
    for values, colour, label in (
        (draws.weight_N, CONTROL, "eligible starts"),
        (draws.weight_N[draws.drawn_N], OURS, "drawn"),
    ):
        share = np.full(values.size, 100 / values.size)
        axes.hist(values, edges.tolist(), weights=share, color=colour, alpha=0.65, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("weight (g)")
    axes.set_ylabel("% of starts")
    axes.set_title("Movement of eligible and drawn windows")
    axes.legend()


def _draw_shares(axes: Axes, draws: Draws) -> None:
    """Draw the share of drawn windows in each tenth of the starts, and the expected share with its 99% range."""
    tenths = deciles(draws)
    x = np.arange(1, len(tenths) + 1)
    share, expected, low, high = (
        100 * np.array([tenth[name] for tenth in tenths]) for name in ("share", "expected", "low", "high")
    )
    axes.bar(x, share, color=OURS, label="drawn")
    dashes: dict[str, Any] = {"fmt": "_", "color": SECOND_CONTROL, "markersize": 12, "markeredgewidth": 1.6}
    interval = (expected - low, high - expected)
    axes.errorbar(x, expected, interval, capsize=4, linewidth=1.6, label="expected, 99% range of chance", **dashes)
    axes.set_xticks(x)
    axes.set_xlabel("tenth of the starts, lightest to heaviest")
    axes.set_ylabel("% of the drawn windows")
    axes.set_title("Each tenth by weight")
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper left")
