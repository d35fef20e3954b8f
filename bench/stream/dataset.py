"""The stream as a dataset of torch (`train.WindowStream`), beside the internal stream that it wraps.

    python -m bench.stream.dataset [--days 12] [--repeats 5] [--quick]

One process on one core with one thread, batches of 512 from 64 lanes, from a warm page cache; each contender in turn,
in a process of its own. The store has 256 person-days: the simulated ones of bench.stream, linked.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from pipeline.identity import Key
from pipeline.store.layout import slot_objects
from pipeline.store.store import Store
from train import WindowStream
from train.loop.data import open_stream
from train.windows.pool import Windows
from train.windows.stream import Stream

from ..clock import warm_cache
from ..command import ROOT, machine, module, parser, write_json
from .clock import BATCH, pin, rate
from .material import Material, describe, ingest_simulated
from .ours import CountingReader

SLOTS, PEOPLE = 256, 32


def main() -> None:
    """Measure, and print the table; with the name of a contender, only that one."""
    arguments = parser(__doc__, "stream-dataset", quick="one short run of each: a trial")
    arguments.add_argument("--days", type=int, default=12, help="person-days to simulate")
    arguments.add_argument("--repeats", type=int, default=5, help="runs; the median is shown")
    arguments.add_argument("--only", choices=tuple(CONTENDERS), help="run one, and print its figures as JSON")
    given = arguments.parse_args()
    warm_s, run_s, repeats = (1.0, 1.5, 1) if given.quick else (2.0, 4.0, given.repeats)
    store = prepare(given.out, given.days)
    if given.only:
        print(json.dumps(measure(store, given.only, warm_s, run_s)))
        return
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(repeats):
        for name, found in rounds.items():
            warm_cache(store / "signal")
            flags = ["--quick"] if given.quick else []
            command = module("bench.stream.dataset", "--out", given.out, "--days", given.days, "--only", name, *flags)
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    write_json(given.out / "dataset.json", {"device": machine(), "rounds": rounds})
    print(table(rounds))


def table(rounds: dict[str, list[dict[str, float]]]) -> str:
    """Medians, by the clock and by the processor's time, which other work on the machine changes less.

    The own share is that of the processor's time that the process spends outside the internal stream's code.
    """
    head = ("windows/s", "lowest", "highest", "of internal", "windows/CPU s", "of internal", "own share")
    lines = [f"{'contender':<32}" + "".join(f"{title:>15}" for title in head)]
    median = {
        name: [statistics.median(row["windows"] / row[unit] for row in found) for unit in ("seconds", "cpu s")]
        for name, found in rounds.items()
    }
    for name, found in rounds.items():
        (speed, of_cpu), each = median[name], [row["windows/s"] for row in found]
        share, cpu_share = (own / theirs for own, theirs in zip(median[name], median[INTERNAL], strict=True))
        figures = (
            f"{speed:>15,.0f}{min(each):>15,.0f}{max(each):>15,.0f}{share:>15.3f}{of_cpu:>15,.0f}{cpu_share:>15.3f}"
        )
        lines.append(f"{name:<32}{figures}")
    return "\n".join(lines)


def prepare(folder: Path, days: int) -> Path:
    """Return the store, made if it is missing."""
    store = folder / "many"
    if not store.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = Material(folder)
        if not (folder / "store").exists():
            ingest_simulated(folder, days)
        describe(made, days)
        link(Store.open(str(folder / "store")), made.about["slots"], folder / "many.partial")
        (folder / "many.partial").rename(store)
    return store


def link(source: Store, slots: list[int], out: Path) -> None:
    """Make a store whose slots are hard links to some of the source's person-days, with rows of their own."""
    made = Store.create(str(out), Key(bytes(32)), {"made": "for a benchmark"}, source.attributes.counts_per_g)
    made.grow(SLOTS)
    rows = {row["slot"]: row for row in source.person_days.read().to_pylist()}
    for slot in range(SLOTS):
        for name, original in zip(slot_objects(slot), slot_objects(slots[slot % len(slots)]), strict=True):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(source.folder.at(original), out / name)
    made.person_days.append(
        [
            rows[slots[slot % len(slots)]] | {"slot": slot, "participant": f"{slot % PEOPLE:064x}"}
            for slot in range(SLOTS)
        ]
    )


def measure(store: Path, name: str, warm_s: float, run_s: float) -> dict[str, float]:
    """The speed of a contender in this process."""
    pin(sorted(os.sched_getaffinity(0))[:1])
    stream = WindowStream(store, BATCH, threads=1, counts=name in (INTERNAL, "WindowStream, counts"))
    plan = stream._selection.plan
    days = CountingReader(
        stream._opened().days, dict(zip(plan.members.slots.tolist(), plan.quotas.tolist(), strict=True))
    )
    stream._source = replace(stream._opened(), days=days)  # type: ignore[arg-type]
    if name == INTERNAL:
        return rate(lambda: CONTENDERS[name](stream), warm_s, run_s, lambda: days.drawn)
    next(stream)
    assert stream._stream is not None
    inner = Timed(stream._stream)
    stream._stream = inner  # type: ignore[assignment]
    cpu, own = time.process_time(), time.thread_time()
    found = rate(lambda: CONTENDERS[name](stream), warm_s, run_s, lambda: days.drawn)
    cpu, own = time.process_time() - cpu, time.thread_time() - own - inner.cpu_s
    return found | {"own share": own / cpu}


class Timed:
    """The internal stream, with the processor's time that its batches took on the thread that asks for them."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.cpu_s = stream, 0.0

    def __next__(self) -> Windows:
        began = time.thread_time()
        windows = next(self.stream)
        self.cpu_s += time.thread_time() - began
        return windows

    def close(self) -> None:
        """Close it."""
        self.stream.close()


def internal(stream: WindowStream) -> Iterable[Tensor]:
    """The batches of the internal stream over the same days."""
    inner = open_stream(stream.data, BATCH, stream._selection, stream._opened(), 0, stream._place)
    return (windows.signal_BCT for windows in inner)


INTERNAL = "internal stream"
CONTENDERS: dict[str, Callable[[WindowStream], Iterable[Tensor]]] = {
    INTERNAL: internal,
    "WindowStream, counts": lambda stream: (batch.x for batch in stream),
    "WindowStream, in g": lambda stream: (batch.x for batch in stream),
    "WindowStream, DataLoader, in g": lambda stream: (batch.x for batch in DataLoader(stream, batch_size=None)),
}


if __name__ == "__main__":
    main()
