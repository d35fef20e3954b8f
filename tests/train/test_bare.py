"""The modules of a training step import, and its benchmark runs, without ray, deepspeed, zarr and storage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.gpu.first import PARTS

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("ray", "deepspeed", "zarr", "deltalake", "numcodecs", "google_crc32c", "s3fs", "obstore", "tensorboard")
MODULES = (
    "train.windows.stream",
    "train.windows.feed",
    "train.loop.validate",
    "train.recipe",
    "train.loop.step",
    "train.distributed.engines",
    *("bench.gpu.first", *(f"bench.gpu.parts.{part.place.partition(':')[0]}" for part in PARTS.values())),
)


def bare(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that cannot import the packages in ABSENT."""
    refuse = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ABSENT!r}:
            raise ImportError(name + " is not installed here")
sys.meta_path.insert(0, Absent())
"""
    command = [sys.executable, "-c", refuse + code]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


def test_modules_of_a_step_import_without_storage() -> None:
    done = bare(f"for module in {MODULES!r}: print(__import__(module).__name__)")
    assert done.stdout.split() == [module.partition(".")[0] for module in MODULES]


def test_the_bench_of_a_step_runs_without_storage() -> None:
    shared = {"network": "harnet5", "width": 0.125, "batch": 16, "precision": "float32", "compiled": False}
    shared |= {"threads": 1, "workers": 1, "steps": 1}
    code = f"""
import json
from bench.train import cell
cell.FEED_S, cell.WINDOWS = 0.0, 64
for way in (*cell.WAYS, "feed"):
    print(json.dumps(cell.measured(cell.Cell(way=way, **{shared!r}))))
"""
    plain, ours, channels_first, feed = map(json.loads, bare(code).stdout.splitlines()[-4:])
    assert all(found["windows_s"] > 0 for found in (plain, ours, channels_first, feed))
    assert ours["flop"] == channels_first["flop"] > 0
