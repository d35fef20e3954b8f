"""What it takes to bring a week of one person in, beside others' readers, on one core.

    python bench/ingest.py [--days 7] [--only axivity|actigraph|geneactiv] [--repeats 5] [--quick] [--markdown]

A simulated week at 100 Hz of each device; rows: read (samples and their times), 30 Hz in memory (calibrated, non-wear
known), to the committed store. Every contender is a process of its own that stays; they take turns on one core, this
process sits on another. A first call is timed from the start of the process, the others are warm; what takes over a
minute is called but once more, what takes under twenty seconds is timed right after a call that is not: a virtual
machine hands memory that was idle for seconds back to its host and waits for it anew (seen here: 3.5 s instead of 1.5).
Memory is the process's peak, and of actipy its Java's at the same time. Peers live in an environment of their own
(actipy needs a Java on the path). Figures in `ingest.json`; `--markdown` prints the tables for docs/benchmarks.md from
it and measures nothing.
"""

from __future__ import annotations

import argparse
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ingest_material import BENCH, PEERS, SIMULATED, simulated
from ingest_tables import markdown, text
from peers import peers_python
from stream import device

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
LOOK_S = 0.05
"""How often the memory of a contender's own processes is looked at."""


@dataclass
class Contender:
    """A process that does one work when asked, again and again."""

    work: str
    who: str
    process: subprocess.Popen[str]
    began: float = field(default_factory=time.perf_counter)
    calls: list[dict[str, Any]] = field(default_factory=list)
    first_s: float = 0.0
    with_children_mb: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether it takes too long to be called yet again."""
        return len(self.calls) > 1 and self.calls[0]["seconds"] > LONG_S

    def warm_call(self) -> None:
        """A call that counts; if it is a short one, right after one that does not."""
        self.call()
        if self.calls[-1]["seconds"] < SHORT_S:
            del self.calls[-1]
            self.call()

    def call(self) -> None:
        """Have it work once, and look at its memory meanwhile."""
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
            sys.exit(f"{self.who}, {self.work}: its process ended ({self.process.wait()}); what it said stands above")
        self.calls.append(json.loads(line))

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(LOOK_S):
            self.with_children_mb = max(self.with_children_mb, resident_mb(self.process.pid))

    def row(self) -> dict[str, Any]:
        """What was measured."""
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
    """Memory of a process and its children; 0 for one that has just ended."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(resident_mb(int(child)) for child in children)


@contextmanager
def started(work: str, who: str, path: Path, python: Path, core: int, **environment: str) -> Iterator[Contender]:
    """A contender that begins its first call, and ends with the context."""
    script = "ingest_ours.py" if who == "ours" else "ingest_peers.py"
    arguments = [work, str(path), str(core)] if who == "ours" else [who, work, str(path), str(core)]
    process = subprocess.Popen(
        [sys.executable if who == "ours" else python, str(Path(__file__).with_name(script)), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip
    try:
        yield Contender(work, who, process)
    finally:
        process.kill()
        process.wait()


def measure(kind: str, path: Path, python: Path, core: int, repeats: int) -> dict[str, Any]:
    """All contenders of a device in turns, and what ours takes when nothing is compiled yet."""
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
                told = f"{contender.who}, {contender.work}: {seconds:.2f} s"
                print(f"{kind}, {number + 1} of {repeats}, {told}", file=sys.stderr)
        return {
            "file MB": path.stat().st_size / 1e6,
            "uncompiled s": new.first_s,
            "rows": [contender.row() for contender in contenders],
        }


def warm_cache(path: Path) -> None:
    """Have the recording in the page cache."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def main() -> None:
    """Measure what is asked for, and tell."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--days", type=float, default=7)
    arguments.add_argument("--only", choices=list(SIMULATED))
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--quick", action="store_true", help="two hours, twice: to see that it works")
    arguments.add_argument("--markdown", action="store_true", help="print what was measured before")
    arguments.add_argument("--out", type=Path, default=BENCH / "ingest")
    given = arguments.parse_args()
    days, repeats = (1 / 12, 2) if given.quick else (given.days, given.repeats)
    figures = given.out / ("quick.json" if given.quick else "ingest.json")
    found: dict[str, Any] = json.loads(figures.read_text()) if figures.exists() else {}
    if given.markdown:
        print(markdown(found))
        return
    if shutil.which("java") is None:
        sys.exit("actipy reads by a Java program: expected a Java (8 or later) on the path, found none. Install one.")
    given.out.mkdir(parents=True, exist_ok=True)
    cores = sorted(os.sched_getaffinity(0))
    python = peers_python(BENCH / "ingest-peers", PEERS)
    os.sched_setaffinity(0, {cores[-1]})
    for kind in [given.only] if given.only else SIMULATED:
        path = simulated(kind, days, given.out)
        about = {"device": device(), "date": str(date.today()), "days": days}
        found[kind] = about | measure(kind, path, python, cores[0], repeats)
        figures.write_text(json.dumps(found, indent=2) + "\n")
    print(text(found))


if __name__ == "__main__":
    main()
