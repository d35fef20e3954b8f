"""The arrows between the rooms, and the lightness of the command line."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "ingest": {"train", "torch", "deepspeed"},
    "train": {"ingest", "ray"},
    "pipeline": {"ingest", "train", "ray", "torch", "deepspeed"},
}
HEAVY = ("ray", "torch", "deepspeed", "matplotlib", "zarr", "numba", "scipy", "pyarrow", "deltalake", "numpy")


def imported(file: Path) -> set[str]:
    """The top-level packages that a file imports, at its top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_arrows_run_one_way(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    crossed = {str(file.relative_to(ROOT)): imported(file) & FORBIDDEN[room] for file in files}
    assert {file: names for file, names in crossed.items() if names} == {}


def test_train_can_be_imported_without_ray_deepspeed_zarr_and_deltalake() -> None:
    modules = sorted(
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in (ROOT / "train").rglob("*.py")
        if file.name not in ("__main__.py", "hubconf.py")
    )
    code = (
        "import importlib, sys\n"
        "for name in ('ray', 'deepspeed', 'zarr', 'deltalake'): sys.modules[name] = None\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_line_loads_nothing_heavy() -> None:
    """What makes `--help` fast: no heavy module is imported on the way to it."""
    code = (
        "import sys\n"
        "from pipeline.cli import application\n"
        "import typer\n"
        "typer.main.get_command(application())\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_every_command_has_help() -> None:
    done = subprocess.run([sys.executable, "-m", "pipeline", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    commands = [point.name for point in entry_points(group="persondays.commands")]
    assert len(commands) >= 8
    for name in commands:
        assert name in done.stdout
