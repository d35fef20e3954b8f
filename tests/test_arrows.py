"""The arrows between rooms, folders and files; and that the command line imports nothing heavy."""

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
KNOWN_CIRCLES = [
    {"ingest.capacity", "ingest.run"},
]
"""Circles of files or folders that still have to be broken. Take them out; add none."""
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


Graph = dict[str, set[str]]


def import_graph() -> Graph:
    """Which module of the three rooms imports which, for type checking and inside functions too."""
    files = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for room in FORBIDDEN
        for file in (ROOT / room).rglob("*.py")
    }
    graph: Graph = {}
    for module, file in files.items():
        names = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                below = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= {name if name in files else node.module for name in below}
        graph[module] = names & set(files)
    return graph


def circles(graph: Graph) -> list[set[str]]:
    """The groups of nodes that lead to each other."""
    leads_to: Graph = {}
    for start in graph:
        ahead = list(graph[start])
        leads_to[start] = set()
        while ahead:
            node = ahead.pop()
            if node not in leads_to[start]:
                leads_to[start].add(node)
                ahead += graph[node]
    groups = {frozenset(other for other in leads_to[node] if node in leads_to[other]) for node in graph}
    return [set(group) for group in groups if len(group) > 1]


def test_files_import_each_other_in_no_circle() -> None:
    assert [circle for circle in circles(import_graph()) if circle not in KNOWN_CIRCLES] == []


def test_folders_import_each_other_in_no_circle() -> None:
    """Folders one level below a room. Files beside them, such as `train/recipe.py`, only pass imports on."""
    graph: Graph = {}
    for module, names in import_graph().items():
        graph.setdefault(folder_of(module), set()).update(map(folder_of, names))
    folders = {folder for folder in graph if (ROOT / folder.replace(".", "/")).is_dir()}
    found = [circle & folders for circle in circles(graph)]
    assert [circle for circle in found if len(circle) > 1 and circle not in KNOWN_CIRCLES] == []


def folder_of(module: str) -> str:
    """`train.windows` for `train.windows.pool`."""
    return ".".join(module.split(".")[:2])


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
