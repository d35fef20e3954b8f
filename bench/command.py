"""Shared by the command lines of benchmarks: flags, the folder of results, the machine's description, JSON files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "runs" / "bench"


def parser(doc: str | None, name: str, quick: str = "", markdown: bool = False) -> argparse.ArgumentParser:
    """A command line with --out (default runs/bench/NAME), and --quick and --markdown where the benchmark has them.

    `doc` is the benchmark's docstring, `quick` the help of --quick.
    """
    running = sys.modules["__main__"].__spec__
    program = f"python -m {running.name.removesuffix('.__main__')}" if running else None
    made = argparse.ArgumentParser(prog=program, description=(doc or "").splitlines()[0])
    made.add_argument("--out", type=_absolute, default=RESULTS / name, help="folder for the results")
    if quick:
        made.add_argument("--quick", action="store_true", help=quick)
    if markdown:
        made.add_argument("--markdown", action="store_true", help="print the tables of the last run; measure nothing")
    return made


def _absolute(text: str) -> Path:
    return Path(text).absolute()


def with_real_recordings(made: argparse.ArgumentParser) -> None:
    """Add --shared, the folder of real recordings."""
    made.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "data", help="folder of real recordings")


def module(name: str, *arguments: object, python: Path | str = sys.executable) -> list[str]:
    """The command that runs a module in a process of its own; start it with `cwd=ROOT`."""
    return [str(python), "-m", name, *map(str, arguments)]


def machine() -> str:
    """The processor and its cores, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{model}, {os.cpu_count()} cores"


def write_json(path: Path, found: Any) -> None:
    """Write figures, indented; an interrupted command leaves the file as it was, or complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(json.dumps(found, indent=2) + "\n")
    unfinished.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read figures; none if there is no such file."""
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def figures_of_last_run(path: Path) -> dict[str, Any]:
    """Read figures for --markdown; exits with a message if there are none."""
    if not path.exists():
        sys.exit(f"{path}: expected the figures of a run, found none. Run without --markdown first.")
    return read_json(path)
