"""Progress of long work: a live bar in a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

LOG_INTERVAL_S = 10.0


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    left = max(0, round(seconds))
    hours, rest = divmod(left, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Shows how much of a job is done and how long the rest will take.

    Use it as a context manager; `update` may be called often. Everything goes to standard error, so that standard
    output holds only a command's result.
    """

    def __init__(self, title: str, total: float, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.started = time.monotonic()
        self._done_at_start: float | None = None
        self._last_line = 0.0
        self._complete = False
        self._live = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        if self._live:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[text]}"),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=max(self.total, 1e-9), text="")
        return self

    def update(self, done: float, note: str = "") -> None:
        """Show that `done` of the total is done; `note` is shown beside it (rates, losses, rejections)."""
        now = time.monotonic()
        if self._done_at_start is None:
            self._done_at_start, self.started = done, now
        pace = (done - self._done_at_start) / max(now - self.started, 1e-9)
        left = f", {duration((self.total - done) / pace)} left" if pace > 0 and done < self.total else ""
        text = f"{done:,.0f}/{self.total:,.0f} {self.unit}" + (f", {note}" if note else "") + left
        if self._live:
            self._bar.update(self._task, completed=done, text=text)
        elif now - self._last_line >= LOG_INTERVAL_S or (done >= self.total and not self._complete):
            self._last_line, self._complete = now, done >= self.total
            print(f"{self.title}: {text}", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bar.stop()
