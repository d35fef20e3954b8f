"""Draw training curves: each task's validation accuracy (or the loss) with its controls, then loss, rate and speed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.pages.figures import CONTROL, INK, OURS, SECOND_CONTROL, THIRD_CONTROL, new_figure, style, thousands
from train.report.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COURSES = {
    "real": ("real windows, held-out participants", OURS, "-"),
    "averaged": ("same windows, running mean of the weights", OURS, ":"),
    "phase": ("same network, phases randomised", SECOND_CONTROL, "-"),
    "noise": ("same network, noise only", CONTROL, "-"),
}
TRAINED_ON_NOISE = ("network trained on noise, noise only", THIRD_CONTROL, "--")


def draw_curves(run: History, control: History | None) -> Figure:
    """Draw a panel for each task above a row of loss, learning rate, speed, waiting time and probe, by windows seen.

    An objective without accuracies has one panel, of its loss.
    """
    with style():
        figure = new_figure(7.6)
        parts: Any = figure.subfigures(2, 1, height_ratios=(4.6, 3.0))
        above, below = parts
        panels = above.subplots(1, max(1, len(run.tasks)), sharey=True, squeeze=False)[0]
        for axes, task in zip(panels, run.tasks, strict=False):
            _draw_task(axes, task, run, control)
        if not run.tasks:
            _draw_losses(panels[0], run, control)
        panels[0].set_ylabel("accuracy at validation" if run.tasks else "loss at validation")
        handles, labels = panels[0].get_legend_handles_labels()
        above.legend(handles, labels, loc="outside upper left", ncols=2)
        loss, rate, speed, wait, *probe = below.subplots(1, 4 + bool(run.probe))
        _draw_loss(loss, run)
        for axes in probe:
            _draw_probe(axes, run)
        _draw_line(rate, run, "rate", "learning rate")
        _draw_line(speed, run, "windows_per_s", "windows per second")
        _draw_line(wait, run, "data_wait", "share of time\nwaiting for data")
        wait.set_ylim(0, 1)
    return figure


def _draw_task(axes: Axes, task: str, run: History, control: History | None) -> None:
    for windows, appearance in COURSES.items():
        _draw_course(axes, run, windows, task, *appearance)
    if control is not None:
        _draw_course(axes, control, "noise", task, *TRAINED_ON_NOISE)
    axes.axhline(run.guessing(task), color=INK, linewidth=0.9, linestyle=":", label="chance")
    axes.set_title(task)
    axes.set_xlabel("windows seen")
    thousands(axes)


def _draw_losses(axes: Axes, run: History, control: History | None) -> None:
    courses = [(run.losses(windows), appearance) for windows, appearance in COURSES.items()]
    if control is not None:
        courses.append((control.losses("noise"), TRAINED_ON_NOISE))
    for (seen, losses), (label, colour, line) in courses:
        if seen:
            axes.plot(seen, losses, color=colour, linestyle=line, marker="o", markersize=3, label=label)
    axes.set_title("loss")
    axes.set_xlabel("windows seen")
    thousands(axes)


def _draw_course(axes: Axes, run: History, windows: str, task: str, label: str, colour: str, line: str) -> None:
    """Draw a line with its 99% interval as a band."""
    seen, accuracy, low, high = run.course(windows, task)
    if not seen:
        return
    axes.fill_between(seen, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(seen, accuracy, color=colour, linestyle=line, marker="o", markersize=3, label=label)


def _draw_loss(axes: Axes, run: History) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.plot([line["seen"] for line in run.train], [line["loss"] for line in run.train], color=CONTROL, linewidth=1)
    axes.plot(*run.losses("real"), color=OURS, marker="o", markersize=3)
    if run.tasks:
        unlearned = [run.unlearned_loss(task) for task in run.tasks]
        axes.axhline(sum(unlearned) / len(unlearned), color=INK, linewidth=0.9, linestyle=":")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title("loss (line: training,\ndots: validation)", fontsize=9)
    axes.set_xlabel("windows seen")
    thousands(axes)


def _draw_probe(axes: Axes, run: History) -> None:
    """Draw the linear probe; its first point is the network with random weights."""
    seen, macro_f1 = [line["seen"] for line in run.probe], [line["macro_f1"] for line in run.probe]
    axes.plot(seen, macro_f1, color=OURS, marker="o", markersize=3)
    axes.set_title("linear probe,\nmacro F1", fontsize=9)
    axes.set_xlabel("windows seen")
    thousands(axes)


def _draw_line(axes: Axes, run: History, name: str, title: str) -> None:
    axes.plot([line["seen"] for line in run.train], [line[name] for line in run.train], color=OURS, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("windows seen")
    thousands(axes)
