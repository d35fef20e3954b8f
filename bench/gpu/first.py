"""The first ten minutes on a GPU: is it right, does anything wait, how fast is it, and why.

    python -m bench.gpu.first --out FILE.json [--small] [--only PART ...] [--minutes 9.5]

Each part runs in a process of its own with a time limit, so that one that fails or hangs does not stop the rest, and a
part that is stopped keeps the figures that it had. `--help` lists the parts.

It needs torch, NumPy, SciPy, numba and safetensors; no store, ray, zarr or deepspeed, because windows are simulated.
Without a GPU, everything runs on the CPU, and what means nothing there says "needs CUDA"; `--small` is a short trial.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..command import ROOT, machine, module, write_json
from ..tables import markdown_table

if TYPE_CHECKING:
    from .figure import Figure, Sizes


class Part(NamedTuple):
    """A part: where its function is, the most seconds that it may take, and what it shows."""

    place: str
    limit_s: float
    shows: str


PARTS = {
    "machine": Part("machine:machine", 60, "versions, the device, rates of matrix products"),
    "words": Part("exactness:words", 40, "random words are those of the CPU, exactly"),
    "views": Part("exactness:views", 60, "views are those of the CPU to 1e-5"),
    "gradients": Part("exactness:gradients", 60, "loss and gradients against the CPU"),
    "waiting": Part("waiting:waiting", 80, "steps with synchronisations forbidden"),
    "bfloat16": Part("steps:bfloat16", 200, "the step in bfloat16: plain, ours, compiled, graphed"),
    "profile": Part("profiling:profiling", 60, "launches, busy share, top kernels of three steps"),
    "deterministic": Part("exactness:deterministic", 60, "a deterministic step twice"),
    "group": Part("group:group", 60, "one process over NCCL: save, resume, end"),
    "memory": Part("memory:memory", 40, "out of memory on purpose"),
    "kernels": Part("kernels:kernels", 60, "blur, pad, BatchNorm and layouts in several forms"),
    "tf32": Part("steps:tf32", 150, "the step in tf32: plain, ours, compiled, graphed"),
}


def figures_of(name: str, small: bool) -> Iterator[Figure]:
    """Run a part in this process."""
    import torch

    from .figure import Sizes

    file, _, function = PARTS[name].place.partition(":")
    part: Callable[[Sizes], Iterator[Figure]] = getattr(import_module(f"bench.gpu.parts.{file}"), function)
    yield from part(Sizes(small, torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")))


def child(name: str, small: bool) -> None:
    """Print the figures of a part, a line of JSON each."""
    for figure in figures_of(name, small):
        print(json.dumps(asdict(figure)), flush=True)


def run_part(name: str, small: bool, limit_s: float) -> dict[str, Any]:
    """Run a part in a process of its own: its figures, seconds, and the reason if it did not end well."""
    command = module("bench.gpu.first", "--part", name, *(["--small"] if small else []))
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err, text=True, start_new_session=True)
        reason = ""
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            reason = f"stopped after {limit_s:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0), err.seek(0)
        figures = [json.loads(line) for line in out.read().splitlines() if line.startswith("{")]
        if not reason and process.returncode:
            lines = [line for line in err.read().splitlines() if line.strip()]
            reason = lines[-1] if lines else f"exit status {process.returncode}"
    return {"figures": figures, "seconds": round(time.perf_counter() - began, 1), "failed": reason}


def table(found: dict[str, Any]) -> list[str]:
    """The lines of the table of all figures."""
    rows: list[list[Any]] = []
    for name, part in found["parts"].items():
        for each in part["figures"]:
            value = f"{each['value']:,}" if isinstance(each["value"], int | float) else each["value"]
            rows.append([name, each["name"], f"{value} {each['unit']}".strip(), each["status"]])
        if part["failed"]:
            rows.append([name, "the part", part["failed"], "fails"])
    return markdown_table(["part", "what", "found", ""], rows)


def main() -> int:
    """Run the parts, write the JSON after each, print the table; 1 if something fails."""
    made = argparse.ArgumentParser(
        prog="python -m bench.gpu.first",
        description=(__doc__ or "").splitlines()[0],
        epilog="parts: " + "; ".join(f"{name}: {part.shows}" for name, part in PARTS.items()),
    )
    made.add_argument("--out", type=Path, default=ROOT / "runs" / "bench" / "gpu" / "first.json", help="JSON file")
    made.add_argument("--small", action="store_true", help="a narrow network and small batches: a trial")
    made.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run; default: all")
    made.add_argument("--minutes", type=float, default=9.5, help="stop after this time altogether")
    made.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    given = made.parse_args()
    if given.part:
        child(given.part, given.small)
        return 0
    end = time.monotonic() + 60 * given.minutes
    found: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "host": machine(), "parts": {}}
    for name in given.only:
        left = end - time.monotonic()
        if left > 5:
            part = run_part(name, given.small, min(PARTS[name].limit_s, left))
        else:
            part = {"figures": [], "seconds": 0.0, "failed": "no time left"}
        found["parts"][name] = part
        write_json(given.out, found)
        print(f"{name}: {part['failed'] or 'done'} ({part['seconds']} s)", file=sys.stderr, flush=True)
    print("\n".join(table(found)))
    wrong = any(each["status"] == "fails" for part in found["parts"].values() for each in part["figures"])
    return int(wrong or any(part["failed"] for part in found["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
