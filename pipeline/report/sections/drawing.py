"""Histograms and scatter plots that stay readable and small from 100 to 100,000 values.

The axes end a few interquartile ranges beyond the quartiles, so that one impossible value does not squeeze all the
others together; the number of values beyond them is printed under the axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pages import html
from pipeline.pages.figures import INK, OURS, new_figure, png, style
from pipeline.report.sections.disclosure import MIN_GROUP, Disclosure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Float = NDArray[np.float64]

FENCE_BELOW, FENCE_ABOVE = 4.0, 6.0
"""An axis ends this many interquartile ranges beyond the quartiles, or at the last value."""
MIN_BARS, MAX_BARS = 12, 72
MIN_BARS_FOR_RELEASE, VALUES_PER_BAR_FOR_RELEASE = 4, 25
MAX_MARKS = 3_000
"""With more values than this, a scatter plot becomes a density."""


@dataclass(frozen=True)
class Distribution:
    """Values to draw as a histogram, filled or as an outline."""

    values: Float
    label: str = ""
    colour: str = OURS
    filled: bool = True


def picture(draw: Callable[[Figure], None], height_in: float, description: str) -> str:
    """Call `draw` on an empty figure and return the figure as a piece of HTML."""
    with style():
        figure = new_figure(height_in)
        draw(figure)
        return html.picture(png(figure), description)


def edges(values: Float, disclosure: Disclosure, *, log: bool = False) -> Float | None:
    """Return the edges of a histogram's bars; None if nothing may be drawn. With `log`, bars have equal log widths."""
    known = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not known.size or (disclosure.for_release and known.size < 2 * MIN_GROUP):
        return None
    scaled = np.log10(known) if log else known
    low, high = axis_limits(scaled, MIN_GROUP / known.size if disclosure.for_release else 0.0)
    if high <= low:
        low, high = low - max(abs(low), 1) / 20, high + max(abs(high), 1) / 20
    bars = int(np.clip(round(2 * known.size ** (1 / 3)), MIN_BARS, MAX_BARS))
    if disclosure.for_release:
        bars = max(min(bars, known.size // VALUES_PER_BAR_FOR_RELEASE), MIN_BARS_FOR_RELEASE)
    found = np.linspace(low, high, bars + 1)
    found = 10**found if log else found
    if not (known == np.round(known)).all():
        return found
    integers = np.unique(np.round(found))  # edges half-way between integers: no bar is too narrow to hold one
    return np.append(integers - 0.5, integers[-1] + 0.5)


def axis_limits(values: Float, beyond: float = 0.0) -> tuple[float, float]:
    """Return where an axis starts and ends; at least a share of `beyond` of the values lies outside at either end."""
    low, first, third, high = np.quantile(values, [beyond, 0.25, 0.75, 1 - beyond])
    if third > first:
        low, high = max(low, first - FENCE_BELOW * (third - first)), min(high, third + FENCE_ABOVE * (third - first))
    return float(low), float(high)


def histogram(
    axes: Axes,
    distributions: Sequence[Distribution],
    disclosure: Disclosure,
    unit: str,
    *,
    title: str = "",
    counted: str = "recordings",
    log: bool = False,
    at: Float | None = None,
) -> None:
    """Draw distributions over common bars, whose edges are `at` or else follow from the values.

    unit: label of the horizontal axis. counted: label of the vertical axis.
    """
    axes.set_title(title)
    bars = (
        edges(np.concatenate([distribution.values for distribution in distributions]), disclosure, log=log)
        if at is None
        else at
    )
    if bars is None:
        axes.set_axis_off()
        axes.annotate("no data to show", (0.5, 0.5), xycoords="axes fraction", ha="center", color="#777777")
        return
    beyond = 0
    for distribution in distributions:
        known = distribution.values[np.isfinite(distribution.values)]
        counts_B = np.histogram(known, bars)[0]
        beyond += known.size - int(counts_B.sum())
        line: dict[str, Any] = {"color": distribution.colour, "label": distribution.label or None}
        if distribution.filled:
            axes.stairs(disclosure.bins(counts_B), bars, fill=True, alpha=0.85, **line)
        else:
            axes.stairs(disclosure.bins(counts_B), bars, linewidth=1.6, **line)
    if log:
        axes.set_xscale("log")
        _decimal_ticks(axes, float(np.log10(bars[-1] / bars[0])))
    axes.set_xlim(bars[0], bars[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"{unit}\n({disclosure.count(beyond)} outside the plot)" if beyond else unit)
    axes.set_ylabel(counted)
    _count_ticks(axes)
    if any(distribution.label for distribution in distributions):
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (1.1 + 0.09 * len(distributions)))
        axes.legend(loc="upper right", handlelength=1.2, borderaxespad=0.1)


def _decimal_ticks(axes: Axes, decades: float) -> None:
    """Write 0.1, 1, 10 rather than powers of ten, with fewer labels over many decades, so that they do not overlap."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    between = (1.0,) if decades >= 2 else (1.0, 2.0, 5.0) if decades >= 0.8 else (1.0, 2.0, 3.0, 5.0, 7.0)
    axes.xaxis.set_major_locator(LogLocator(subs=between, numticks=6 if decades >= 2 else 12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _count_ticks(axes: Axes) -> None:
    """Label the vertical axis with integers, in thousands and millions where they are large."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def scatter(
    axes: Axes, x_N: Float, y_N: Float, disclosure: Disclosure, window: tuple[float, float, float, float], label: str
) -> None:
    """Draw pairs of values inside the window (left, right, bottom, top): as marks, or as a density if there are many.

    label: label of the horizontal axis. A page for release always shows a density, without cells of under 5.
    """
    left, right, bottom, top = window
    inside_N = (x_N >= left) & (x_N <= right) & (y_N >= bottom) & (y_N <= top)
    beyond = int((~inside_N).sum())
    axes.set_xlabel(f"{label}\n({disclosure.count(beyond)} outside the plot)" if beyond else label)
    x_N, y_N = x_N[inside_N], y_N[inside_N]
    if x_N.size <= MAX_MARKS and not disclosure.for_release:
        alpha = float(np.clip(60 / np.sqrt(max(x_N.size, 1)) / 4, 0.12, 0.8))
        axes.plot(x_N, y_N, "o", color=OURS, markersize=3.5, markeredgewidth=0, alpha=alpha, rasterized=True)
    else:
        from matplotlib.colors import LogNorm

        cells = int(np.clip(np.sqrt(x_N.size) / 4, 8, 70))
        axes.hexbin(
            x_N,
            y_N,
            gridsize=cells,
            extent=window,
            mincnt=MIN_GROUP if disclosure.for_release else 1,
            cmap="GnBu",
            norm=LogNorm(vmin=0.5),
            linewidths=0.1,
        )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def horizontal_line(axes: Axes, value: float, text: str, colour: str = INK, dashed: bool = False) -> None:
    """Draw a horizontal line with a label at its right end."""
    axes.axhline(value, color=colour, linewidth=1.1, linestyle="--" if dashed else "-")
    axes.annotate(
        text,
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=8.5,
        color=colour,
        bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1},
    )
