"""How our stream scales: with threads, lanes and windows from a folder, with threads and latency from S3.

Settings that are not varied have their defaults: one core, one thread, 64 lanes of four days, windows of 10 s, 1,500
per day.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.pages.figures import CONTROL, OURS, new_figure, save, style

from ..tables import markdown_table
from .delay import HOST, delayed
from .ours import Setting, measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THREADS, LANES, SECONDS, WINDOWS_PER_DAY = (1, 2, 4), (8, 64, 256), (5, 10, 30), (150, 500, 1_500, 3_000, 6_000)
S3_THREADS, DELAYS_MS = (2, 8, 16), (0, 20)

TITLES = {
    "threads": "Threads, on both cores",
    "lanes": "Lanes",
    "seconds": "Seconds per window",
    "windows per day": "Windows per day",
    "threads, S3": "Threads, S3 on the other core",
}
COMPANIONS = {
    "none": "No companions",
    "nearby": "A nearby window as the companion, windows without it",
    "other_day": "A window of another day as the companion, windows without it",
    "same_time": "The same time on another device as the companion, windows without it",
}
BOUND = 1.1
"""What a window may cost with companions that are read for it, by the cost of any window without."""


@dataclass(frozen=True)
class Server:
    """An S3 server that holds the store's objects."""

    url: str
    environment: dict[str, str]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.environment["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])


def grow(baseline: Setting, cores: tuple[int, ...], server: Server) -> Iterator[dict[str, Any]]:
    """Yield a row for each point: the varied setting, its value, the measurement. `cores` are all of the machine."""

    def row(varied: str, value: int, setting: Setting, delay_ms: int | None = None, **more: str) -> dict[str, Any]:
        found = measured(setting, more)
        print(f"{varied} {value}: {found['windows/s']:,.0f} windows/s", file=sys.stderr)
        return {"varied": varied, "value": value, "delay ms": delay_ms, **found}

    for threads in THREADS:
        yield row("threads", threads, replace(baseline, threads=threads, cores=cores))
    for lanes in LANES:
        yield row("lanes", lanes, replace(baseline, lanes=lanes))
    for seconds in SECONDS:
        yield row("seconds", seconds, replace(baseline, seconds=seconds))
    for windows in WINDOWS_PER_DAY:
        yield row("windows per day", windows, replace(baseline, windows_per_day=windows))
    for companion in COMPANIONS:
        yield row(companion, int(companion != "none"), replace(baseline, companion=companion))
    on_s3 = replace(baseline, objects=server.url, linked=False)
    for delay_ms in DELAYS_MS:
        with delayed(server.port, delay_ms / 1e3) as port:
            endpoint = {"AWS_ENDPOINT_URL": f"http://{HOST}:{port}"}
            for threads in S3_THREADS:
                yield row(
                    "threads, S3", threads, replace(on_s3, threads=threads), delay_ms, **server.environment | endpoint
                )


def text(rows: list[dict[str, Any]]) -> str:
    """The rows as a table for a terminal."""
    lines = [f"{'varied':<16}{'value':>8}{'delay ms':>10}{'windows/s':>12}{'peak MB':>10}{'lanes':>7}"]
    for row in rows:
        delay = "-" if row["delay ms"] is None else row["delay ms"]
        lines.append(
            f"{row['varied']:<16}{row['value']:>8,}{delay:>10}{row['windows/s']:>12,.0f}{row['peak MB']:>10,.0f}"
            f"{row['lanes']:>7}"
        )
    return "\n".join([*lines, *costs(rows)])


def costs(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each kind of companions: the time per window, companions counted too, by that without companions.

    For the same time on another device, all windows are read anew, and the bound is `BOUND`. Other companions are
    mostly in hours that are read anyway, so they cost less.
    """
    of = {row["varied"]: row for row in rows if row["varied"] in COMPANIONS and "companions" in row}
    if "none" not in of:
        return []
    alone = of["none"]["windows/s"]
    cost = {name: alone / (row["windows/s"] * (1 + row["companions"])) for name, row in of.items() if name != "none"}
    lines = [f"{name}: {times:.2f} times the time per window without companions" for name, times in cost.items()]
    return [f"{line} (bound {BOUND})" if line.startswith("same_time") else line for line in lines]


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table for docs/benchmarks.md."""
    cells = []
    for row in rows:
        delay = f", {row['delay ms']} ms added" if row["delay ms"] is not None else ""
        what = f"{(TITLES | COMPANIONS)[row['varied']].lower()}{delay}"
        cells.append([what, f"{row['value']:,}", f"{row['windows/s']:,.0f}", f"{row['peak MB']:,.0f} MB"])
    return "\n".join([*markdown_table(["what varies", "value", "windows/s", "peak memory"], cells), "", *costs(rows)])


def picture(path: Path, rows: list[dict[str, Any]], readers: dict[str, float]) -> None:
    """Draw a panel for each varied setting, and one of all readers (windows/s by name)."""
    with style():
        figure = new_figure(5.6)
        panels = figure.subplots(2, 3).ravel()
        for panel, (varied, title) in zip(panels, TITLES.items(), strict=False):
            panel.set_title(title)
            _curves(panel, [row for row in rows if row["varied"] == varied])
        for panel in panels[::3]:
            panel.set_ylabel("thousand windows/s")
        _bars(panels[-1], readers)
        save(figure, path)


def _curves(panel: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw a line for each delay, the longest in the control's colour."""
    delays = sorted({row["delay ms"] or 0 for row in rows})
    for delay, colour in zip(delays, (OURS, CONTROL), strict=False):
        mine = [row for row in rows if (row["delay ms"] or 0) == delay]
        values, speeds = [row["value"] for row in mine], [row["windows/s"] / 1e3 for row in mine]
        panel.plot(values, speeds, "o-", color=colour, label=f"{delay} ms added")
    values = sorted({row["value"] for row in rows})
    if values:
        panel.set_xscale("log")
        panel.set_xticks(values, [f"{value / 1e3:g}k" if value >= 1e3 else value for value in values])
        panel.minorticks_off()
    panel.set_ylim(0, 1.1 * max((row["windows/s"] for row in rows), default=1e3) / 1e3)
    if len(delays) > 1:
        panel.legend()


def _bars(panel: Axes, readers: dict[str, float]) -> None:
    """Draw every reader on one core."""
    panel.set_title("Readers, one core each")
    panel.set_xlabel("thousand windows/s")
    names = list(readers)[::-1]
    colours = [OURS if name.startswith("ours") else CONTROL for name in names]
    panel.barh(names, [readers[name] / 1e3 for name in names], color=colours)
    panel.grid(axis="y", visible=False)
    panel.tick_params(axis="y", labelsize=7)
