"""The picture of a table of activities: a row for each day, or, of many days, what people do at which time of day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pages.figures import new_figure, style
from train.classify.days import OTHER, DayStates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS = 56
"""Days that are drawn one by one: eight weeks of a person, or a week of eight."""
MINUTES, BIN_MINUTES = 1_440, 15
SHOWN_ID = 8
COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442", "#332288", "#882255"),
    *("#117733", "#999933", "#aa4499", "#88ccee", "#661100", "#6699cc", "#dd77aa", "#44aa99", "#7f5f3f"),
)
"""Of activities, in the order of the classes, so that two pictures of a classifier can be compared. After Okabe and Ito
(2008), then Tol's muted scheme."""
OTHER_COLOURS = ("#f2f2f2", "#c4c4c4")


def colours_of(classes: int) -> list[str]:
    """Return the colours of the classes and of OTHER."""
    return [COLOURS[number % len(COLOURS)] for number in range(classes)] + list(OTHER_COLOURS)


class Picture:
    """Collects days and draws them; memory does not grow with them beyond MOST_ROWS, but for their minutes."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.names = (*classes, *OTHER)
        self.rows: list[tuple[str, NDArray[np.uint8]]] = []
        self.minutes: list[NDArray[np.float32]] = []
        self.by_time_KB = np.zeros((len(self.names), MINUTES // BIN_MINUTES))

    def add(self, day: DayStates) -> None:
        """Add a day."""
        self.minutes.append(day.minutes(len(self.names)).astype(np.float32))
        per_bin = len(day.state_I) * BIN_MINUTES // MINUTES
        bin_I = np.arange(len(day.state_I)) // per_bin
        np.add.at(self.by_time_KB, (day.state_I, bin_I), 1 / per_bin)
        if len(self.rows) <= MOST_ROWS:
            when = f"slot {day.slot}" if day.date is None else f"{day.date:%a %Y-%m-%d}"
            key = f"{day.participant} {day.date or ''} {day.slot:012d}"
            label = f"{day.participant[:SHOWN_ID]}  {when}"
            self.rows.append((f"{key}\n{label}", each_minute(day.state_I, len(self.names))))

    def draw(self) -> Figure:
        """Draw what was collected."""
        with style():
            return self._rows() if len(self.rows) <= MOST_ROWS else self._overview()

    def _rows(self) -> Figure:
        from matplotlib.colors import ListedColormap

        rows = sorted(self.rows)
        labels = [key.partition("\n")[2] for key, _ in rows]
        figure = new_figure(1.1 + 0.21 * len(rows) + 0.2 * self._legend_lines())
        axes = figure.subplots()
        image_DM = np.stack([state_M for _, state_M in rows])
        colours = colours_of(len(self.names) - len(OTHER))
        axes.imshow(
            image_DM,
            cmap=ListedColormap(colours),
            vmin=-0.5,
            vmax=len(colours) - 0.5,
            aspect="auto",
            interpolation="nearest",
            extent=(0, 24, len(rows), 0),
        )
        for line in range(1, len(rows)):
            same = labels[line][:SHOWN_ID] == labels[line - 1][:SHOWN_ID]
            axes.axhline(line, color="white", linewidth=1.5 if same else 4)
        axes.set_yticks(np.arange(len(rows)) + 0.5, labels, family="monospace", fontsize=8)
        axes.set_title(f"Activity by time of day, {self._days()}")
        self._hours(axes)
        self._legend(figure)
        return figure

    def _overview(self) -> Figure:
        figure = new_figure(6.2 + 0.2 * self._legend_lines() + 0.22 * len(self.names))
        above, below = figure.subplots(2, 1, height_ratios=(4.6, 1 + 0.22 * len(self.names)))
        share_KB = 100 * self.by_time_KB / len(self.minutes)
        hours = (np.arange(share_KB.shape[1]) + 0.5) * BIN_MINUTES / 60
        colours = colours_of(len(self.names) - len(OTHER))
        above.stackplot(hours, share_KB, colors=colours, linewidth=0)
        above.set_ylim(0, 100)
        above.set_ylabel("days (%)")
        above.set_title(f"Activity by time of day, {self._days()}")
        self._hours(above)
        minutes_DK = np.stack(self.minutes)
        low_K, middle_K, high_K = np.percentile(minutes_DK, (10, 50, 90), axis=0)
        place_K = np.arange(len(self.names))
        below.barh(place_K, high_K - low_K, left=low_K, color=colours, height=0.7, edgecolor="#999999", linewidth=0.4)
        below.plot(middle_K, place_K, linestyle="", marker="|", markersize=10, color="black")
        below.set_yticks(place_K, self.names)
        below.invert_yaxis()
        below.set_xlabel("minutes a day")
        below.set_title("Minutes a day: median (line), 10% to 90% of days (bar)")
        self._legend(figure)
        return figure

    def _days(self) -> str:
        return f"{len(self.minutes):,} day{'s' if len(self.minutes) > 1 else ''}"

    def _hours(self, axes: Axes) -> None:
        axes.set_xlim(0, 24)
        axes.set_xticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
        axes.grid(visible=False)

    def _legend_lines(self) -> int:
        return -(-len(self.names) // self._columns())

    def _columns(self) -> int:
        return 3 if max(len(name) for name in self.names) > 16 else 4

    def _legend(self, figure: Figure) -> None:
        """Name the colours below the picture, with the mean minutes a day."""
        from matplotlib.patches import Patch

        mean_K = np.stack(self.minutes).mean(0)
        patches: list[Any] = [
            Patch(facecolor=colour, edgecolor="#999999", linewidth=0.4, label=f"{name}: {minutes:,.0f} min a day")
            for name, colour, minutes in zip(self.names, colours_of(len(self.names) - len(OTHER)), mean_K, strict=True)
        ]
        figure.legend(handles=patches, loc="outside lower left", ncols=self._columns())


def each_minute(state_I: NDArray[np.uint8], states: int) -> NDArray[np.uint8]:
    """Return the most frequent state of each minute; of equally frequent ones the first."""
    state_MW = state_I.reshape(MINUTES, -1)
    count_MK = np.stack([(state_MW == state).sum(1) for state in range(states)], axis=1)
    return count_MK.argmax(1).astype(np.uint8)
