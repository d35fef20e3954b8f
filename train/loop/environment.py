"""The code, package versions, devices and machines of a run, for its log and checkpoints."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from train.distributed.processes import Processes
from train.recipe import Recipe

PACKAGES = ("persondays", "torch", "numpy", "zarr", "numcodecs")
ROOT = Path(__file__).resolve().parents[2]


def code_version() -> str:
    """Return the commit of the checkout that runs, with `+changes` if files differ from it.

    Returns the package's version outside a checkout, or if git does not work.
    """
    commit = _git("rev-parse", "HEAD") if (ROOT / ".git").exists() else ""
    if not commit:
        return f"persondays {_version('persondays')}"
    return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def environment(recipe: Recipe, processes: Processes) -> dict[str, Any]:
    """Return versions, number of devices by name, machines. All processes have to call this."""
    device = processes.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    devices = processes.all((name, os.environ.get("GROUP_RANK", "0")))
    packages = (*PACKAGES, "deepspeed") if recipe.engine.name == "deepspeed" else PACKAGES
    return {
        "code": code_version(),
        "versions": {package: _version(package) for package in packages}
        | {"python": platform.python_version(), "device": device.type}
        | (
            {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
            if device.type == "cuda"
            else {}
        ),
        "devices": {kind: sum(kind == other for other, _ in devices) for kind in sorted({kind for kind, _ in devices})},
        "machines": len({machine for _, machine in devices}),
        "world_size": processes.world_size,
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
