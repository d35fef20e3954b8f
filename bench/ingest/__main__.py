"""Ingesting a week of one person, compared with other readers, on one core.

    python -m bench.ingest [--days 7] [--only axivity|actigraph|geneactiv] [--repeats 5] [--quick] [--markdown]

A simulated week at 100 Hz of each device, and three kinds of work: reading (samples and their times), 30 Hz in memory
(calibrated, with non-wear), and ingest into a committed store. Every contender has its own process, which stays alive.
Contenders take turns on one core; this process uses another. A contender's first call is timed from the start of its
process, later calls are warm. Work of more than a minute is repeated once. Work of less than twenty seconds is timed
directly after an untimed call, because a virtual machine returns memory that was idle for seconds to its host, and
waits until it gets it back (3.5 s were measured instead of 1.5 s). Memory is the peak of the process plus its children
(actipy's Java). Peers run in their own virtual environment; actipy needs Java on the path. Figures in `ingest.json`.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..clock import warm_cache
from ..command import RESULTS, ROOT, figures_of_last_run, machine, module, parser, read_json, write_json
from ..peers import peers_python
from .material import PEERS, SIMULATED, simulated
from .tables import markdown, text

READ, IN_MEMORY, STORED = "read", "30 Hz, in memory", "to the store"
CONTENDERS = {
    "axivity": (
        *((READ, "ours"), (READ, "actipy"), (READ, "cwa-reader-rs")),
        *((IN_MEMORY, "ours"), (IN_MEMORY, "actipy"), (IN_MEMORY, "cwa-reader-rs"), (STORED, "ours")),
    ),
    "actigraph": (
        *((READ, "ours"), (READ, "actipy"), (READ, "pygt3x")),
        *((IN_MEMORY, "ours"), (IN_MEMORY, "actipy"), (STORED, "ours")),
    ),
    "geneactiv": ((READ, "ours"), (READ, "actipy"), (IN_MEMORY, "ours"), (IN_MEMORY, "actipy"), (STORED, "ours")),
}
LONG_S = 60.0
SHORT_S = 20.0
POLL_S = 0.05
"""Interval at which the memory of a contender's processes is read."""


@dataclass
class Contender:
    """A process that does one kind of work at every request."""

    work: str
    who: str
    process: subprocess.Popen[str]
    began: float = field(default_factory=time.perf_counter)
    calls: list[dict[str, Any]] = field(default_factory=list)
    first_s: float = 0.0
    with_children_mb: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether its work takes too long to be repeated more than once."""
        return len(self.calls) > 1 and self.calls[0]["seconds"] > LONG_S

    def warm_call(self) -> None:
        """Make a timed call; short work is first done once without timing."""
        self.call()
        if self.calls[-1]["seconds"] < SHORT_S:
            del self.calls[-1]
            self.call()

    def call(self) -> None:
        """Have the process work once, and record its memory meanwhile."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,))
        watch.start()
        if self.first_s:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        self.first_s = self.first_s or time.perf_counter() - self.began
        over.set()
        watch.join()
        if not line:
            sys.exit(f"{self.who}, {self.work}: its process ended ({self.process.wait()}); its output is above")
        self.calls.append(json.loads(line))

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(POLL_S):
            self.with_children_mb = max(self.with_children_mb, resident_mb(self.process.pid))

    def row(self) -> dict[str, Any]:
        """The row of the table."""
        warm = [call["seconds"] for call in self.calls[1:]]
        return {
            "work": self.work,
            "who": self.who,
            "seconds": statistics.median(warm),
            "lowest": min(warm),
            "highest": max(warm),
            "calls": len(warm),
            "first s": self.first_s,
            "peak MB": max(self.with_children_mb, max(call["peak MB"] for call in self.calls)),
            **{name: value for name, value in self.calls[-1].items() if name not in ("seconds", "peak MB")},
        }


def resident_mb(process: int) -> float:
    """Memory of a process and its children; 0 once it has ended."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(resident_mb(int(child)) for child in children)


@contextmanager
def started(work: str, who: str, path: Path, python: Path, core: int, **environment: str) -> Iterator[Contender]:
    """Start a contender, which begins its first call at once; its process is killed at the end of the block."""
    if who == "ours":
        command = module("bench.ingest.ours", work, path, core)
    else:
        command = module("bench.ingest.theirs", who, work, path, core, python=python)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield Contender(work, who, process)
    finally:
        process.kill()
        process.wait()


def measure(kind: str, path: Path, python: Path, core: int, repeats: int) -> dict[str, Any]:
    """Time all contenders of a device in turn, and ours with an empty compilation cache."""
    with TemporaryDirectory() as empty, started(STORED, "ours", path, python, core, NUMBA_CACHE_DIR=empty) as new:
        new.call()
    with ExitStack() as stack:
        contenders = []
        for work, who in CONTENDERS[kind]:
            warm_cache(path)
            contenders.append(stack.enter_context(started(work, who, path, python, core)))
            contenders[-1].call()
        for number in range(repeats):
            for contender in (contender for contender in contenders if not contender.is_done):
                warm_cache(path)
                contender.warm_call()
                seconds = contender.calls[-1]["seconds"]
                done = f"{contender.who}, {contender.work}: {seconds:.2f} s"
                print(f"{kind}, {number + 1} of {repeats}, {done}", file=sys.stderr)
        return {
            "file MB": path.stat().st_size / 1e6,
            "uncompiled s": new.first_s,
            "rows": [contender.row() for contender in contenders],
        }


def main() -> None:
    """Measure, and print the tables."""
    arguments = parser(__doc__, "ingest", quick="two hours, twice: a trial", markdown=True)
    arguments.add_argument("--days", type=float, default=7, help="length of the simulated recordings")
    arguments.add_argument("--only", choices=list(SIMULATED))
    arguments.add_argument("--repeats", type=int, default=5, help="calls; the median is shown")
    given = arguments.parse_args()
    days, repeats = (1 / 12, 2) if given.quick else (given.days, given.repeats)
    figures = given.out / ("quick.json" if given.quick else "ingest.json")
    found = read_json(figures)
    if given.markdown:
        print(markdown(figures_of_last_run(figures)))
        return
    if shutil.which("java") is None:
        sys.exit("actipy runs a Java program: expected Java (8 or later) on the path, found none. Install it.")
    given.out.mkdir(parents=True, exist_ok=True)
    cores = sorted(os.sched_getaffinity(0))
    python = peers_python(RESULTS / "ingest-peers", PEERS)
    os.sched_setaffinity(0, {cores[-1]})
    for kind in [given.only] if given.only else SIMULATED:
        path = simulated(kind, days, given.out)
        about = {"device": machine(), "date": str(date.today()), "days": days}
        found[kind] = about | measure(kind, path, python, cores[0], repeats)
        write_json(figures, found)
    print(text(found))


if __name__ == "__main__":
    main()
