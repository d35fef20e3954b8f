"""The stream against other readers, one core each, and how it grows.

    python bench/stream.py [--days 48] [--only peers|growth] [--repeats 5] [--quick] [--markdown]

The same windows for all, int16 (the reference's own reader: float32), in batches of 512, shuffled, from a warm page
cache. LitData, MosaicML Streaming and WebDataset read windows that our stream drew and cut beforehand; the plain
zarr-python readers and the reader in the manner of the reference (the published ssl-wearables loader) draw by weights
themselves. Contenders take turns. The peers live in an environment of their own. Tables on standard output, figures in
`stream.json`, `stream.png`; `--markdown` prints what is there for docs/benchmarks.md and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import stream_growth
from peers import peers_python
from stream_data import ROOT, Material, prepare
from stream_growth import Server
from stream_ours import Setting, measured

from infra.s3_server import s3_server
from pipeline.store.layout import slot_objects

BENCH = ROOT / "runs" / "bench"
SCRIPT = Path(__file__).with_name("stream_peers.py")
PEERS = (
    *("torch==2.13.0", "numpy==2.1.3", "litdata==0.2.76", "webdataset==1.0.2"),
    *("zarr==3.1.6", "zarrs==0.2.3", "numcodecs==0.16.6"),
    *("Brotli", "python-snappy", "xxhash", "zstd", "tqdm", "catalogue", "boto3", "transformers<5"),
)
"""The last eight are what MosaicML Streaming needs, of all it asks for, to read and write local files."""
WITHOUT_WHAT_IT_ASKS_FOR = ("mosaicml-streaming==0.13.0",)
IN_THE_WAY = ("torchvision",)
"""That LitData brings along is made for another build of torch, and nothing here needs it."""
CUT_BEFORE = "LitData", "LitData, bytes", "MosaicML Streaming", "WebDataset"
FILES = {name: f"formats/{name}" for name in CUT_BEFORE} | {
    ".npy, as the reference": "days",
    "zarr-python": "store",
    "zarr-python, zarrs": "store",
}
"""What each peer reads."""
OURS = "ours, a folder", "ours, S3"
BUCKET = "stream"


def main() -> None:
    """Measure what is asked for, and tell."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--days", type=int, default=48, help="person-days")
    arguments.add_argument("--only", choices=("peers", "growth"))
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--quick", action="store_true", help="short stretches, once: to see that it works")
    arguments.add_argument("--markdown", action="store_true", help="print what was measured before")
    arguments.add_argument("--out", type=Path, default=BENCH / "stream")
    given = arguments.parse_args()
    name = "quick" if given.quick else "stream"
    figures = given.out / f"{name}.json"
    found: dict[str, Any] = json.loads(figures.read_text()) if figures.exists() else {}
    if given.markdown:
        print(markdown(found))
        return
    warm_s, stretch_s, repeats = (1.0, 1.5, 1) if given.quick else (2.0, 6.0, given.repeats)
    cores = tuple(sorted(os.sched_getaffinity(0)))
    made = prepare(given.out, given.days)
    python = peers_python(BENCH / "stream-peers", PEERS, WITHOUT_WHAT_IT_ASKS_FOR, IN_THE_WAY)
    run_peers(python, "write", str(given.out))
    os.sched_setaffinity(0, {cores[-1]})  # of this process and its S3 server; a contender takes the first
    usual = Setting(str(given.out), made.about["store"], cores[:1], warm_s, stretch_s)
    about = {"device": device(), "date": str(date.today()), "person-days": given.days}
    with served(made) as server:
        if given.only != "growth":
            found["readers"] = {"about": about, **against_peers(usual, server, python, repeats)}
        if given.only != "peers":
            linked = Setting(usual.folder, str(given.out / "linked"), cores[:1], warm_s, 2 * stretch_s, linked=True)
            found["growth"] = {"about": about, "rows": list(stream_growth.grow(linked, cores, server))}
    figures.write_text(json.dumps(found, indent=2) + "\n")
    rows = found.get("growth", {}).get("rows", [])
    readers = {row["reader"]: row["windows/s"] for row in found.get("readers", {}).get("rows", [])}
    stream_growth.picture(given.out / f"{name}.png", rows, readers)
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


def against_peers(usual: Setting, server: Server, python: Path, repeats: int) -> dict[str, Any]:
    """Each peer in its own process or with a worker, whichever a first trial finds faster; then all in turns."""

    def peer(name: str, workers: int) -> dict[str, float]:
        warm_cache(Path(usual.folder) / FILES[name])
        how = str(workers), str(usual.cores[0]), str(usual.warm_s), str(usual.stretch_s)
        found: dict[str, float] = json.loads(run_peers(python, "rate", usual.folder, name, *how).splitlines()[-1])
        return found

    def ours(url: str, environment: dict[str, str]) -> dict[str, float]:
        warm_cache(Path(usual.folder) / "store")
        return measured(Setting(usual.folder, url, usual.cores, usual.warm_s, usual.stretch_s), environment)

    workers = {name: max((0, 1), key=lambda count: peer(name, count)["windows/s"]) for name in FILES}
    contenders: dict[str, Callable[[], dict[str, float]]] = {
        OURS[0]: lambda: ours(usual.objects, {}),
        OURS[1]: lambda: ours(server.url, server.environment),
        **{name: lambda name=name: peer(name, workers[name]) for name in FILES},  # type: ignore[misc]
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(repeats):
        for name, measure in contenders.items():
            rounds[name].append(measure())
            told = f"{name}: {rounds[name][-1]['windows/s']:,.0f} windows/s"
            print(f"{number + 1} of {repeats}, {told}", file=sys.stderr)
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
    return {"repeats": repeats, "stretch s": usual.stretch_s, "rows": rows}


def run_peers(python: Path, *arguments: str) -> str:
    """What bench/stream_peers.py prints; ends with the end of its complaint where it fails."""
    done = subprocess.run([str(python), str(SCRIPT), *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"stream_peers.py {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def warm_cache(folder: Path) -> None:
    """Have all files of a folder in the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def device() -> str:
    """This machine, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{model}, {os.cpu_count()} cores"


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
        lines += ["", stream_growth.text(found["growth"]["rows"])]
    return "\n".join(lines)


def _of_cpu(row: dict[str, Any]) -> str:
    """Windows a second of its processor: more than the speed where a reader waits. A worker's is not known."""
    return "" if row["workers"] else f"{row['windows/CPU s']:,.0f}"


def markdown(found: dict[str, Any]) -> str:
    """The tables for docs/benchmarks.md."""
    readers, growth = found["readers"], found["growth"]
    lines = [
        f"{readers['about']['device']}; {readers['about']['date']}; {readers['about']['person-days']} person-days;"
    ]
    lines += [f"medians of {readers['repeats']} stretches of {readers['stretch s']:g} s or more.", ""]
    lines += [
        "| reader | loads in | windows/s | ours from a folder | ours from S3 | windows a second of processor |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in readers["rows"]:
        place = "a worker" if row["workers"] else "its own process"
        times = f"{row['ours from a folder, times']:.2f}x | {row['ours from S3, times']:.2f}x"
        lines.append(f"| {row['reader']} | {place} | {row['windows/s']:,.0f} | {times} | {_of_cpu(row)} |")
    return "\n".join([*lines, "", stream_growth.markdown(growth["rows"])])


if __name__ == "__main__":
    main()
