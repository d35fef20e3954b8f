"""What a run says of itself beside its settings: the code, the versions and the machines that it ran on."""

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
    """The commit of the checkout that this code runs from, `+changes` where files differ from it; else the package's.

    A checkout whose git cannot be asked counts as the package.
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
    """Versions, devices by name with their number, and machines; all processes ask together."""
    device = processes.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    both = processes.all((name, os.environ.get("GROUP_RANK", "0")))
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
        "devices": {kind: sum(kind == other for other, _ in both) for kind in sorted({kind for kind, _ in both})},
        "machines": len({machine for _, machine in both}),
        "world_size": processes.world_size,
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
