"""How fast a store is embedded, beside the network's bare forward pass on the same cores.

    python -m bench.embed [--days 6] [--network harnet10] [--width 0.25] [--threads 1] [--repeats 5] [--quick]

`persondays embed` reads simulated person-days, cuts a window every 10 s, computes features and writes Parquet. The bare
pass computes features of as many windows that are in memory as float32, in the same batches, and keeps nothing. They
take turns in one process; the table shows medians. The days are hard links to those of one simulated recording, so that
many days take little space. Figures are written to `embed.json`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pipeline.identity import Key
from pipeline.store.layout import slot_objects
from pipeline.store.store import Store
from train.distributed.processes import Processes
from train.embed.inference import BATCH
from train.embed.run import EmbedSettings, embed
from train.embed.table import read_index
from train.networks import Encoder, NetworkSettings, make_network

from ..clock import in_turns, peak_mb, warm_cache
from ..command import machine, parser, write_json
from ..stream.material import FULL_DAYS, ingest_simulated
from ..tables import markdown_table


def linked(folder: Path, days: int) -> Store:
    """Return a store of this many days, made if it is missing: the full days of one recording, again and again."""
    if not (folder / "recorded" / "store").exists():
        shutil.rmtree(folder / "recorded", ignore_errors=True)
        ingest_simulated(folder / "recorded", FULL_DAYS)
    recorded, place = Store.open(str(folder / "recorded" / "store")), folder / f"{days}-days"
    rows = sorted(recorded.person_days.read().to_pylist(), key=lambda row: -int(row["eligible_seconds"]))[:FULL_DAYS]
    if not place.exists():
        made = place.with_suffix(".partial")
        shutil.rmtree(made, ignore_errors=True)
        store = Store.create(str(made), Key(bytes(32)), {"made": "for a benchmark"})
        store.grow(days)
        for slot in range(days):
            names = zip(slot_objects(rows[slot % len(rows)]["slot"]), slot_objects(slot), strict=True)
            for source, target in names:
                (made / target).parent.mkdir(parents=True, exist_ok=True)
                os.link(recorded.folder.at(source), made / target)
        store.person_days.append([rows[slot % len(rows)] | {"slot": slot} for slot in range(days)])
        made.rename(place)
    return Store.open(str(place))


@torch.inference_mode()
def forward(network: Encoder, x_BCT: torch.Tensor, windows: int) -> None:
    """Compute features of so many windows."""
    for first in range(0, windows, len(x_BCT)):
        network(x_BCT[: windows - first])


def main() -> None:
    """Measure, and print the table."""
    arguments = parser(__doc__, "embed", quick="2 days, 1 round")
    arguments.add_argument("--days", type=int, default=6, help="person-days to embed in each round")
    arguments.add_argument("--network", default="harnet10", help="preset of the network")
    arguments.add_argument("--width", type=float, default=0.25, help="its width")
    arguments.add_argument("--threads", type=int, default=1, help="threads of torch")
    arguments.add_argument("--repeats", type=int, default=5, help="rounds; the median is shown")
    given = arguments.parse_args()
    days, repeats = (2, 1) if given.quick else (given.days, given.repeats)
    processes = Processes(given.threads)
    store = linked(given.out, days)
    warm_cache(Path(store.folder.path))
    torch.manual_seed(0)
    network, table = make_network(NetworkSettings(given.network, given.width)).eval(), given.out / "table"

    def embedded() -> None:
        shutil.rmtree(table, ignore_errors=True)
        embed(network, store.folder.url, str(table), EmbedSettings(), processes)

    embedded()
    windows = len(read_index(str(table))[0])
    x_BCT = torch.randn(BATCH["cpu"], 3, network.ticks)
    calls: dict[str, Callable[[], object]] = {
        "bare forward": partial(forward, network, x_BCT, windows),
        "embed": embedded,
    }
    seconds = in_turns(calls, repeats)
    rate = {name: windows / median(each) for name, each in seconds.items()}
    found: dict[str, Any] = {
        "machine": machine(),
        "network": f"{given.network}, width {given.width:g}",
        "threads": given.threads,
        "days": days,
        "windows": windows,
        "windows/s": rate,
        "embed of bare": rate["embed"] / rate["bare forward"],
        "peak MB": peak_mb(),
        "bytes a window": sum(file.stat().st_size for file in table.iterdir()) / windows,
        "seconds": seconds,
    }
    rows = [[name, f"{value:,.0f}", f"{value / rate['bare forward']:.2f}"] for name, value in rate.items()]
    print(f"{found['machine']}; {found['network']}; {given.threads} threads; {days} days, {windows:,} windows\n")
    print("\n".join(markdown_table(["", "windows/s", "of the bare forward"], rows)))
    print(f"\npeak memory {found['peak MB']:,.0f} MB, {found['bytes a window']:,.0f} bytes a window on disk")
    write_json(given.out / "embed.json", found)


if __name__ == "__main__":
    main()
