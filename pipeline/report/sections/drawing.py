"""Histograms and densities that read alike at 100 and at 100,000 values: no mark stands for one value among many.

A picture ends where values thin out (quartiles stretched by multiples of the range between them), so that one
impossible value does not flatten all others; how many lie beyond is said under the axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pages import html
from pipeline.pages.figures import INK, OURS, new_figure, png, style
from pipeline.report.sections.disclosure import LEAST, Disclosure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Float = NDArray[np.float64]

FENCE_BELOW, FENCE_ABOVE = 4.0, 6.0
"""A picture reaches this many interquartile ranges beyond the quartiles, at most to the last value."""
FEWEST_BARS, MOST_BARS = 12, 72
VALUES_A_BAR_FOR_RELEASE = 25
MOST_MARKS = 3_000
"""Up to this many values are drawn each for itself in a scatter."""


@dataclass(frozen=True)
class Part:
    """One of the distributions of a histogram: filled, or as an outline."""

    values: Float
    label: str = ""
    colour: str = OURS
    filled: bool = True


def picture(draw: Callable[[Figure], None], height_in: float, what: str) -> str:
    """A piece of HTML with what `draw` draws; `what` says it in words."""
    with style():
        figure = new_figure(height_in)
        draw(figure)
        return html.picture(png(figure), what)


def edges(values: Float, tell: Disclosure, *, log: bool = False) -> Float | None:
    """Edges of the bars of a histogram, for `log` evenly apart in the logarithm; None where there is no value."""
    known = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not known.size or (tell.for_release and known.size < 2 * LEAST):
        return None
    scaled = np.log10(known) if log else known
    low, high = reach(scaled, LEAST / known.size if tell.for_release else 0.0)
    if high <= low:
        low, high = low - max(abs(low), 1) / 20, high + max(abs(high), 1) / 20
    bars = int(np.clip(round(2 * known.size ** (1 / 3)), FEWEST_BARS, MOST_BARS))
    if tell.for_release:
        bars = max(min(bars, known.size // VALUES_A_BAR_FOR_RELEASE), 4)
    found = np.linspace(low, high, bars + 1)
    found = 10**found if log else found
    whole_numbers = bool((known == np.round(known)).all())
    return _between(np.unique(np.round(found))) if whole_numbers else found


def _between(whole_numbers: Float) -> Float:
    """Edges of bars that hold whole numbers, so that no bar is empty by its width alone."""
    return np.append(whole_numbers - 0.5, whole_numbers[-1] + 0.5)


def reach(values: Float, beyond: float = 0.0) -> tuple[float, float]:
    """From where to where a picture of these values goes, leaving out at least a share of `beyond` at either end."""
    low, first, third, high = np.quantile(values, [beyond, 0.25, 0.75, 1 - beyond])
    if third > first:
        low, high = max(low, first - FENCE_BELOW * (third - first)), min(high, third + FENCE_ABOVE * (third - first))
    return float(low), float(high)


def histogram(
    axes: Axes,
    parts: Sequence[Part],
    tell: Disclosure,
    unit: str,
    *,
    title: str = "",
    counted: str = "recordings",
    log: bool = False,
    at: Float | None = None,
) -> None:
    """Draw the distributions of `parts` over common bars (`at`, else those of `edges`) along an axis called `unit`."""
    axes.set_title(title)
    bars = edges(np.concatenate([part.values for part in parts]), tell, log=log) if at is None else at
    if bars is None:
        axes.set_axis_off()
        axes.annotate("nothing to show", (0.5, 0.5), xycoords="axes fraction", ha="center", color="#777777")
        return
    beyond = 0
    for part in parts:
        known = part.values[np.isfinite(part.values)]
        counts_B = np.histogram(known, bars)[0]
        beyond += known.size - int(counts_B.sum())
        look: dict[str, Any] = {"color": part.colour, "label": part.label or None}
        if part.filled:
            axes.stairs(tell.bins(counts_B), bars, fill=True, alpha=0.85, **look)
        else:
            axes.stairs(tell.bins(counts_B), bars, linewidth=1.6, **look)
    if log:
        axes.set_xscale("log")
        _plain_ticks(axes, float(np.log10(bars[-1] / bars[0])))
    axes.set_xlim(bars[0], bars[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"{unit}\n({tell.count(beyond)} beyond the picture)" if beyond else unit)
    axes.set_ylabel(counted)
    count_upwards(axes)
    if any(part.label for part in parts):
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (1.1 + 0.09 * len(parts)))
        axes.legend(loc="upper right", handlelength=1.2, borderaxespad=0.1)


def _plain_ticks(axes: Axes, decades: float) -> None:
    """Figures as people write them: 0.1, 1, 10; few of them over many decades, so that they do not touch."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    between = (1.0,) if decades >= 2 else (1.0, 2.0, 5.0) if decades >= 0.8 else (1.0, 2.0, 3.0, 5.0, 7.0)
    axes.xaxis.set_major_locator(LogLocator(subs=between, numticks=6 if decades >= 2 else 12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def count_upwards(axes: Axes) -> None:
    """Count along the vertical axis in whole numbers, thousands and millions."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def cloud(
    axes: Axes, x_N: Float, y_N: Float, tell: Disclosure, window: tuple[float, float, float, float], label: str
) -> None:
    """Draw pairs of values inside (left, right, bottom, top): marks while they are few, else how many stand where.

    `label` names the horizontal axis. For release, cells of a few are left empty.
    """
    left, right, bottom, top = window
    inside_N = (x_N >= left) & (x_N <= right) & (y_N >= bottom) & (y_N <= top)
    beyond = int((~inside_N).sum())
    axes.set_xlabel(f"{label}\n({tell.count(beyond)} beyond the picture)" if beyond else label)
    x_N, y_N = x_N[inside_N], y_N[inside_N]
    if x_N.size <= MOST_MARKS and not tell.for_release:
        alpha = float(np.clip(60 / np.sqrt(max(x_N.size, 1)) / 4, 0.12, 0.8))
        axes.plot(x_N, y_N, "o", color=OURS, markersize=3.5, markeredgewidth=0, alpha=alpha, rasterized=True)
    else:
        from matplotlib.colors import LogNorm

        cells = int(np.clip(np.sqrt(x_N.size) / 4, 8, 70))
        axes.hexbin(
            x_N, y_N, gridsize=cells, extent=window, mincnt=LEAST if tell.for_release else 1, cmap="GnBu",
            norm=LogNorm(vmin=0.5), linewidths=0.1,
        )  # fmt: skip
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def level(axes: Axes, value: float, text: str, colour: str = INK, dashed: bool = False) -> None:
    """A horizontal line with its name at the right end."""
    axes.axhline(value, color=colour, linewidth=1.1, linestyle="--" if dashed else "-")
    axes.annotate(
        text, (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 2), textcoords="offset points", ha="right",
        va="bottom", fontsize=8.5, color=colour, bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1},
    )  # fmt: skip
