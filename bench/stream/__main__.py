"""The stream compared with other loaders, on one core each, and how it grows.

    python -m bench.stream [--days 48] [--only peers|growth] [--repeats 5] [--quick] [--markdown]

Every reader gives the same windows as int16 (the loader of the reference: float32), in batches of 512, shuffled, from
a warm page cache. LitData, MosaicML Streaming and WebDataset read windows that our stream drew and cut beforehand. The
zarr-python readers, and a loader like that of the published ssl-wearables code, draw by weight themselves. Readers are
measured in turn. Peers run in their own virtual environment. Tables go to standard output, figures to `stream.json`
and `stream.png`.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from infra.s3_server import s3_server
from pipeline.store.layout import slot_objects

from ..clock import warm_cache
from ..command import RESULTS, ROOT, figures_of_last_run, machine, module, parser, read_json, write_json
from ..peers import peers_python
from ..tables import markdown_table
from . import growth
from .growth import Server
from .material import Material, prepare
from .ours import Setting, measured

PEERS = (
    *("torch==2.13.0", "numpy==2.1.3", "litdata==0.2.76", "webdataset==1.0.2"),
    *("zarr==3.1.6", "zarrs==0.2.3", "numcodecs==0.16.6"),
    *("Brotli", "python-snappy", "xxhash", "zstd", "tqdm", "catalogue", "boto3", "transformers<5"),
)
"""The last eight are the dependencies of MosaicML Streaming that are needed for local files."""
WITHOUT_DEPENDENCIES = ("mosaicml-streaming==0.13.0",)
REMOVE = ("torchvision",)
"""LitData depends on a build for another version of torch; it is not needed here."""
READS_WINDOWS = "LitData", "LitData, bytes", "MosaicML Streaming", "WebDataset"
FILES = {name: f"formats/{name}" for name in READS_WINDOWS} | {
    ".npy, as the reference": "days",
    "zarr-python": "store",
    "zarr-python, zarrs": "store",
}
"""The folder that each peer reads."""
OURS = "ours, a folder", "ours, S3"
BUCKET = "stream"


def main() -> None:
    """Measure, and print the tables."""
    arguments = parser(__doc__, "stream", quick="one short run of each: a trial", markdown=True)
    arguments.add_argument("--days", type=int, default=48, help="person-days to simulate")
    arguments.add_argument("--only", choices=("peers", "growth"))
    arguments.add_argument("--repeats", type=int, default=5, help="runs; the median is shown")
    given = arguments.parse_args()
    name = "quick" if given.quick else "stream"
    figures = given.out / f"{name}.json"
    found = read_json(figures)
    if given.markdown:
        print(markdown(figures_of_last_run(figures)))
        return
    warm_s, run_s, repeats = (1.0, 1.5, 1) if given.quick else (2.0, 6.0, given.repeats)
    cores = tuple(sorted(os.sched_getaffinity(0)))
    made = prepare(given.out, given.days)
    python = peers_python(RESULTS / "stream-peers", PEERS, WITHOUT_DEPENDENCIES, REMOVE)
    run_peers(python, "write", str(given.out))
    os.sched_setaffinity(0, {cores[-1]})  # for this process and its S3 server; readers run on the first core
    baseline = Setting(str(given.out), made.about["store"], cores[:1], warm_s, run_s)
    about = {"device": machine(), "date": str(date.today()), "person-days": given.days}
    with served(made) as server:
        if given.only != "growth":
            found["readers"] = {"about": about, **against_peers(baseline, server, python, repeats)}
        if given.only != "peers":
            linked = Setting(baseline.folder, str(given.out / "linked"), cores[:1], warm_s, 2 * run_s, linked=True)
            found["growth"] = {"about": about, "rows": list(growth.grow(linked, cores, server))}
    write_json(figures, found)
    rows = found.get("growth", {}).get("rows", [])
    readers = {row["reader"]: row["windows/s"] for row in found.get("readers", {}).get("rows", [])}
    growth.picture(given.out / f"{name}.png", rows, readers)
    print(text(found))


@contextmanager
def served(made: Material) -> Iterator[Server]:
    """The store's days on a local S3 server."""
    import s3fs

    folder = made.folder / "s3"
    shutil.rmtree(folder, ignore_errors=True)
    with s3_server(folder) as environment:
        files = s3fs.S3FileSystem(
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            key=environment["AWS_ACCESS_KEY_ID"],
            secret=environment["AWS_SECRET_ACCESS_KEY"],
        )
        files.mkdir(BUCKET)
        for slot in made.about["slots"]:
            for name in slot_objects(slot):
                files.pipe_file(f"{BUCKET}/{name}", (made.folder / "store" / name).read_bytes())
        yield Server(f"s3://{BUCKET}", environment)
    shutil.rmtree(folder)


def against_peers(baseline: Setting, server: Server, python: Path, repeats: int) -> dict[str, Any]:
    """Measure all readers in turn. A first trial decides whether a peer loads in its own process or in a worker."""

    def peer(name: str, workers: int) -> dict[str, float]:
        warm_cache(Path(baseline.folder) / FILES[name])
        flags = str(workers), str(baseline.cores[0]), str(baseline.warm_s), str(baseline.run_s)
        found: dict[str, float] = json.loads(run_peers(python, "rate", baseline.folder, name, *flags).splitlines()[-1])
        return found

    def ours(url: str, environment: dict[str, str]) -> dict[str, float]:
        warm_cache(Path(baseline.folder) / "store")
        setting = Setting(baseline.folder, url, baseline.cores, baseline.warm_s, baseline.run_s)
        return measured(setting, environment)

    workers = {name: max((0, 1), key=lambda count: peer(name, count)["windows/s"]) for name in FILES}
    contenders: dict[str, Callable[[], dict[str, float]]] = {
        OURS[0]: lambda: ours(baseline.objects, {}),
        OURS[1]: lambda: ours(server.url, server.environment),
        **{name: lambda name=name: peer(name, workers[name]) for name in FILES},  # type: ignore[misc]
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(repeats):
        for name, measure in contenders.items():
            rounds[name].append(measure())
            speed = rounds[name][-1]["windows/s"]
            print(f"{number + 1} of {repeats}, {name}: {speed:,.0f} windows/s", file=sys.stderr)
    medians = {name: statistics.median(row["windows/s"] for row in found) for name, found in rounds.items()}
    rows = [
        {
            "reader": name,
            "windows/s": medians[name],
            "lowest": min(row["windows/s"] for row in found),
            "highest": max(row["windows/s"] for row in found),
            "ours from a folder, times": medians[OURS[0]] / medians[name],
            "ours from S3, times": medians[OURS[1]] / medians[name],
            "windows/CPU s": statistics.median(row["windows"] / row["cpu s"] for row in found),
            "workers": workers.get(name, 0),
            "peak MB": max(row["peak MB"] for row in found),
        }
        for name, found in rounds.items()
    ]
    return {"repeats": repeats, "seconds per repeat": baseline.run_s, "rows": rows}


def run_peers(python: Path, *arguments: str) -> str:
    """Run `bench.stream.theirs` and return its output; exits with the last lines of its error if it fails."""
    done = subprocess.run(
        module("bench.stream.theirs", *arguments, python=python), cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"bench.stream.theirs {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def text(found: dict[str, Any]) -> str:
    """The tables."""
    lines = []
    if "readers" in found:
        lines += [
            f"{'reader':<26}{'windows/s':>10}{'lowest':>10}{'highest':>10}{'ours':>8}{'ours, S3':>10}"
            f"{'a CPU s':>10}{'MB':>8}"
        ]
        for row in found["readers"]["rows"]:
            times = f"{row['ours from a folder, times']:>7.2f}x{row['ours from S3, times']:>9.2f}x"
            speeds = f"{row['windows/s']:>10,.0f}{row['lowest']:>10,.0f}{row['highest']:>10,.0f}"
            lines.append(f"{row['reader']:<26}{speeds}{times}{_of_cpu(row):>10}{row['peak MB']:>8,.0f}")
    if "growth" in found:
        lines += ["", growth.text(found["growth"]["rows"])]
    return "\n".join(lines)


def _of_cpu(row: dict[str, Any]) -> str:
    """Windows per CPU second of the reader: higher than its speed if it waits for I/O. Unknown for a worker."""
    return "" if row["workers"] else f"{row['windows/CPU s']:,.0f}"


def markdown(found: dict[str, Any]) -> str:
    """The tables for docs/benchmarks.md."""
    readers = found["readers"]
    lines = [
        f"{readers['about']['device']}; {readers['about']['date']}; {readers['about']['person-days']} person-days;"
    ]
    lines += [f"medians of {readers['repeats']} runs of {readers['seconds per repeat']:g} s or more.", ""]
    cells = []
    for row in readers["rows"]:
        place = "a worker" if row["workers"] else "its own process"
        times = [f"{row[name]:.2f}x" for name in ("ours from a folder, times", "ours from S3, times")]
        cells.append([row["reader"], place, f"{row['windows/s']:,.0f}", *times, _of_cpu(row)])
    head = ["reader", "loads in", "windows/s", "ours from a folder", "ours from S3", "windows per second of processor"]
    lines += markdown_table(head, cells)
    return "\n".join([*lines, "", growth.markdown(found["growth"]["rows"])])


if __name__ == "__main__":
    main()
