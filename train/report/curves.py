"""Training as curves: each task's validation accuracy beside its controls, and how the run went."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.pictures import (
    CONTROL,
    INK,
    OURS,
    SECOND_CONTROL,
    THIRD_CONTROL,
    new_figure,
    style,
    thousands,
)
from train.report.history import History
from train.report.numbers import GUESSING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COURSES = {
    "real": ("real windows of people held out", OURS, "-"),
    "phase": ("the same network, phases randomised", SECOND_CONTROL, "-"),
    "noise": ("the same network, noise only", CONTROL, "-"),
}
TRAINED_ON_NOISE = ("a network trained on noise, noise only", THIRD_CONTROL, "--")


def draw_curves(run: History, control: History | None) -> Figure:
    """A panel a task over a row of loss, learning rate, speed and waiting, all over windows seen."""
    with style():
        figure = new_figure(7.6)
        parts: Any = figure.subfigures(2, 1, height_ratios=(4.6, 3.0))
        above, below = parts
        panels = above.subplots(1, len(run.tasks), sharey=True, squeeze=False)[0]
        for axes, task in zip(panels, run.tasks, strict=True):
            _draw_task(axes, task, run, control)
        panels[0].set_ylabel("accuracy at validation")
        handles, labels = panels[0].get_legend_handles_labels()
        above.legend(handles, labels, loc="outside upper left", ncols=2)
        loss, rate, speed, wait = below.subplots(1, 4)
        _draw_loss(loss, run)
        _draw_line(rate, run, "rate", "learning rate")
        _draw_line(speed, run, "windows_per_s", "windows a second")
        _draw_line(wait, run, "data_wait", "share of time\nwaiting for data")
        wait.set_ylim(0, 1)
    return figure


def _draw_task(axes: Axes, task: str, run: History, control: History | None) -> None:
    for windows, look in COURSES.items():
        _draw_course(axes, run, windows, task, *look)
    if control is not None:
        _draw_course(axes, control, "noise", task, *TRAINED_ON_NOISE)
    axes.axhline(GUESSING, color=INK, linewidth=0.9, linestyle=":", label="guessing")
    axes.set_title(task)
    axes.set_xlabel("windows seen")
    thousands(axes)


def _draw_course(axes: Axes, run: History, windows: str, task: str, label: str, colour: str, line: str) -> None:
    """A line with its 99% interval as a band; lines of one validation show as a dot."""
    seen, accuracy, low, high = run.course(windows, task)
    axes.fill_between(seen, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(seen, accuracy, color=colour, linestyle=line, marker="o", markersize=3, label=label)


def _draw_loss(axes: Axes, run: History) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.plot([line["seen"] for line in run.train], [line["loss"] for line in run.train], color=CONTROL, linewidth=1)
    axes.plot(
        [line["seen"] for line in run.validation],
        [line["real"]["loss"] for line in run.validation],
        color=OURS, marker="o", markersize=3,
    )  # fmt: skip
    axes.axhline(math.log(2), color=INK, linewidth=0.9, linestyle=":")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title("loss (line: training,\ndots: validation)", fontsize=9)
    axes.set_xlabel("windows seen")
    thousands(axes)


def _draw_line(axes: Axes, run: History, name: str, title: str) -> None:
    axes.plot([line["seen"] for line in run.train], [line[name] for line in run.train], color=OURS, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("windows seen")
    thousands(axes)
