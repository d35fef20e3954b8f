"""Other readers of the same windows, run in their own environment by bench.stream.

    -m bench.stream.theirs write FOLDER                              write windows in their formats, and read them back
    -m bench.stream.theirs rate FOLDER NAME WORKERS CORE WARM_S S    one reader's speed on one core, as JSON

FOLDER contains the data of bench/stream/material.py: windows.npy (int16, (N, 3, 300), one epoch in the order of our
stream), days/*.npy (float32, g, (3, 2592000)), material.json. LitData, MosaicML Streaming and WebDataset cannot draw by
weight: they read windows that were cut beforehand, and shuffle in their own way. The other readers read full days and
draw by weight. Each may load in its own process or in a worker; bench.stream uses the faster of the two.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from .clock import BATCH, multiset, pin, rate

Array = np.ndarray[Any, Any]
TICKS, WINDOW_S, DAYS_AT_ONCE = 30, 10, 4
SHARD = 4096
"""Windows per tar of WebDataset; files of LitData and MosaicML Streaming are limited by size (64 MB)."""
BUFFER = 2048
"""Windows in WebDataset's shuffle buffer."""
COPIES = 20
"""Repeats of the cut windows in an epoch of a peer: 1.4 million windows of 48 days."""
FLOOR_G = 1e-6
os.environ["LITDATA_DISABLE_VERSION_CHECK"] = "1"


def stacked(items: list[Array]) -> Tensor:
    """A batch of windows read as arrays; faster than torch's default collation."""
    return torch.from_numpy(np.stack(items))


def joined(items: list[bytes]) -> Tensor:
    """A batch of windows read as bytes; faster than `stacked`."""
    return torch.frombuffer(bytearray().join(items), dtype=torch.int16).view(len(items), 3, -1)


# LitData: windows as arrays, as in its documentation, and as bytes, which it reads faster


def step_arrays(path: str, step: int) -> Iterator[Array]:
    """The windows of a step, for LitData's writer."""
    yield from np.array(np.load(path, mmap_mode="r")[step * BATCH : (step + 1) * BATCH])


def step_bytes(path: str, step: int) -> Iterator[bytes]:
    """The windows of a step as bytes."""
    yield from (window_CT.tobytes() for window_CT in step_arrays(path, step))


def write_litdata(cut: Callable[[str, int], Iterator[Any]], windows_BCT: Path, out: Path) -> None:
    import litdata

    steps = list(range(len(np.load(windows_BCT, mmap_mode="r")) // BATCH))
    one = partial(cut, str(windows_BCT))
    litdata.optimize(fn=one, inputs=steps, output_dir=str(out), chunk_bytes="64MB", num_workers=1)


def read_litdata(collate: Callable[[list[Any]], Tensor], folder: Path, workers: int) -> Iterable[Tensor]:
    import litdata

    windows = litdata.StreamingDataset(str(folder), shuffle=True)
    return litdata.StreamingDataLoader(windows, batch_size=BATCH, num_workers=workers, collate_fn=collate)


# MosaicML Streaming


def mosaic() -> Any:
    """Import `streaming.base` without the parts for images and text, whose dependencies are not installed."""
    if "streaming" not in sys.modules:
        found = find_spec("streaming")
        assert found is not None
        package = types.ModuleType("streaming")
        package.__path__ = list(found.submodule_search_locations or [])
        sys.modules["streaming"] = package
    import streaming.base

    return streaming.base


def write_mosaic(windows_BCT: Path, out: Path) -> None:
    with mosaic().MDSWriter(out=str(out), columns={"x": "bytes"}, size_limit="64mb") as writer:
        for window_CT in np.load(windows_BCT, mmap_mode="r"):
            writer.write({"x": window_CT.tobytes()})


def read_mosaic(folder: Path, workers: int) -> Iterable[Tensor]:
    windows = mosaic().StreamingDataset(local=str(folder), shuffle=True, batch_size=BATCH)
    return DataLoader(windows, BATCH, num_workers=workers, collate_fn=lambda items: joined([i["x"] for i in items]))


# WebDataset


def write_webdataset(windows_BCT: Path, out: Path) -> None:
    cut = np.load(windows_BCT, mmap_mode="r")
    for first in range(0, len(cut), SHARD):
        with tarfile.open(out / f"{first // SHARD:04d}.tar", "w") as tar:
            for number, window_CT in enumerate(cut[first : first + SHARD], first):
                entry = tarfile.TarInfo(f"{number:08d}.bin")
                entry.size = window_CT.nbytes
                tar.addfile(entry, io.BytesIO(window_CT.tobytes()))


def read_webdataset(folder: Path, workers: int) -> Iterable[Tensor]:
    import webdataset

    def as_batch(samples: list[dict[str, Any]]) -> Tensor:
        return joined([sample["bin"] for sample in samples])

    shards = sorted(str(path) for path in folder.glob("*.tar"))
    windows = webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False)
    batches = windows.shuffle(BUFFER).batched(BATCH, collation_fn=as_batch)
    return webdataset.WebLoader(batches, batch_size=None, num_workers=workers)


# Readers of full days that draw by weight


def weighted_draw(weight_S: Array, quota: int, random: np.random.Generator) -> Array:
    """Draw starts without replacement, with probabilities by weight."""
    able = np.flatnonzero(weight_S > 0)
    arrival = random.standard_exponential(able.size, np.float32) / weight_S[able]
    return able[np.argpartition(arrival, quota - 1)[:quota]]


def window_mean(value_S: Array, good_S: Array) -> Array:
    """The mean of the window that starts at each second, at least FLOOR_G; 0 if a second of the window is not good."""
    ones = np.ones(WINDOW_S)
    mean = np.convolve(np.where(good_S, value_S, 0.0), ones, "valid") / WINDOW_S
    all_good = np.convolve(good_S, ones, "valid") > WINDOW_S - 0.5
    return np.where(all_good, np.maximum(mean, FLOOR_G), 0.0).astype(np.float32)


def cut(signal_CT: Array, start_N: Array) -> Array:
    """Windows (N, 3, 300) that begin at these seconds."""
    views = np.lib.stride_tricks.sliding_window_view(signal_CT, WINDOW_S * TICKS, axis=1)
    return np.ascontiguousarray(views[:, start_N * TICKS].swapaxes(0, 1))


class Days(IterableDataset[Tensor]):
    """Endless batches from days in random order: a few days at a time, their windows shuffled as one pool."""

    def __init__(self, days: list[tuple[int, int]], windows: Callable[[int, int, np.random.Generator], Array]) -> None:
        self.days, self.windows = days, windows

    def __iter__(self) -> Iterator[Tensor]:
        random = np.random.default_rng()
        left: list[Array] = []
        while True:
            visit = [self.days[day] for day in random.permutation(len(self.days)).tolist()]
            for first in range(0, len(visit), DAYS_AT_ONCE):
                drawn = [self.windows(slot, quota, random) for slot, quota in visit[first : first + DAYS_AT_ONCE]]
                pool = np.concatenate([*left, *drawn])
                place = random.permutation(len(pool))
                full = len(pool) // BATCH * BATCH
                for begin in range(0, full, BATCH):
                    yield torch.from_numpy(pool[place[begin : begin + BATCH]])
                left = [pool[place[full:]]]


def read_npy(folder: Path, workers: int) -> Iterable[Tensor]:
    """A loader like the published one: cached days as float32 .npy, weights from the x axis."""

    def windows(slot: int, quota: int, random: np.random.Generator) -> Array:
        signal_CT = np.load(folder / "days" / f"{slot}.npy")
        spread_S = signal_CT[0].reshape(-1, TICKS).std(axis=1)
        return cut(signal_CT, weighted_draw(window_mean(spread_S, np.ones(spread_S.size, np.bool_)), quota, random))

    return DataLoader(Days(material(folder)["days"], windows), batch_size=None, num_workers=workers)


def read_zarr(folder: Path, workers: int, pipeline: str | None = None) -> Iterable[Tensor]:
    """Our store read with zarr-python: a full day at a time, windows drawn by motion."""
    import numcodecs
    import zarr

    numcodecs.blosc.use_threads = False
    settings = {"threading.max_workers": 1, "async.concurrency": 24}
    zarr.config.set(settings | ({"codec_pipeline.path": pipeline} if pipeline else {}))
    about = material(folder)
    group = zarr.open_group(about["store"], mode="r")
    arrays: Any = {name: group[name] for name in ("signal", "motion", "state")}
    mask, good = about["eligible"]

    def windows(slot: int, quota: int, random: np.random.Generator) -> Array:
        able_S = arrays["state"][slot] & mask == good
        return cut(arrays["signal"][slot], weighted_draw(window_mean(arrays["motion"][slot], able_S), quota, random))

    return DataLoader(Days(about["days"], windows), batch_size=None, num_workers=workers)


def material(folder: Path) -> dict[str, Any]:
    """Read material.json: the store, (slot, windows) of each day, which seconds are eligible."""
    found: dict[str, Any] = json.loads((folder / "material.json").read_text())
    return found


FORMATS: dict[str, tuple[Callable[[Path, Path], None], Callable[[Path, int], Iterable[Tensor]]]] = {
    "LitData": (partial(write_litdata, step_arrays), partial(read_litdata, stacked)),
    "LitData, bytes": (partial(write_litdata, step_bytes), partial(read_litdata, joined)),
    "MosaicML Streaming": (write_mosaic, read_mosaic),
    "WebDataset": (write_webdataset, read_webdataset),
}
DRAWING: dict[str, Callable[[Path, int], Iterable[Tensor]]] = {
    ".npy, as the reference": read_npy,
    "zarr-python": read_zarr,
    "zarr-python, zarrs": partial(read_zarr, pipeline="zarrs.ZarrsCodecPipeline"),
}


def epochs(folder: Path, name: str, workers: int) -> Callable[[], Iterable[Tensor]]:
    """A function that starts an epoch of a reader's batches."""
    batches = (
        FORMATS[name][1](folder / "formats" / name, workers) if name in FORMATS else DRAWING[name](folder, workers)
    )
    return lambda: batches


def write(folder: Path) -> None:
    """Write every missing format; exits if the windows read back differ from those written."""
    cut_before = folder / "windows.npy"
    expected = multiset([torch.from_numpy(np.load(cut_before))])
    for name, (write_format, read) in FORMATS.items():
        out = folder / "formats" / name
        if out.exists():
            continue
        partial_ = folder / "formats" / f"{name}.partial"
        partial_.mkdir(parents=True)
        write_format(cut_before, partial_)
        found = multiset(read(partial_, 0))
        if found != expected:
            sys.exit(f"{name} gives {found}, expected {expected}")
        lengthen(partial_)
        partial_.rename(out)


def lengthen(folder: Path) -> None:
    """Make an epoch longer than a measurement: hard links give the same files many names.

    The index (LitData's chunks, MosaicML's shards) lists every copy.
    """
    for path in folder.iterdir():
        if path.name != "index.json":
            for copy in range(COPIES):
                os.link(path, path.with_name(f"{copy:02d}-{path.name}"))
            path.unlink()
    index = folder / "index.json"
    if not index.exists():
        return
    about = json.loads(index.read_text())
    for copy, chunk in product(range(COPIES), about.pop("chunks", [])):
        about.setdefault("chunks", []).append(chunk | {"filename": f"{copy:02d}-{chunk['filename']}"})
    for copy, shard in product(range(COPIES), about.pop("shards", [])):
        named = shard["raw_data"] | {"basename": f"{copy:02d}-{shard['raw_data']['basename']}"}
        about.setdefault("shards", []).append(shard | {"raw_data": named})
    index.write_text(json.dumps(about))


def main() -> None:
    warnings.simplefilter("ignore")
    command, folder = sys.argv[1], Path(sys.argv[2])
    if command == "write":
        write(folder)
        return
    name, workers, core, warm_s, run_s = sys.argv[3:]
    pin([int(core)])
    found = rate(epochs(folder, name, int(workers)), float(warm_s), float(run_s))
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # threads of some readers never end


if __name__ == "__main__":
    main()
