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
HEAVY = ("ray", "torch", "deepspeed", "matplotlib", "zarr", "numba", "scipy", "pyarrow", "deltalake", "numpy")


def modules(root: Path) -> dict[str, Path]:
    """The modules of the three rooms below `root`, by name."""
    return {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file
        for room in FORBIDDEN
        for file in sorted((root / room).rglob("*.py"))
    }


def imported(module: str, file: Path) -> set[str]:
    """The names that a module imports, at its top or inside functions: `a.b` and `a` for `from a import b`."""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*start, *filter(None, [node.module])])
            names |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return names


def crossings(root: Path) -> dict[str, set[str]]:
    """The forbidden packages that each module imports, without modules that import none."""
    found = {}
    for module, file in modules(root).items():
        packages = {name.split(".")[0] for name in imported(module, file)}
        if forbidden := packages & FORBIDDEN[module.split(".")[0]]:
            found[module] = forbidden
    return found


def test_arrows_run_one_way() -> None:
    assert {module.split(".")[0] for module in modules(ROOT)} == set(FORBIDDEN)
    assert crossings(ROOT) == {}


Graph = dict[str, set[str]]


def import_graph(root: Path) -> Graph:
    """Which module of the three rooms imports which, for type checking and inside functions too.

    `from a import b` counts as an import of `a` only where there is no module `a.b`.
    """
    files = modules(root)
    graph: Graph = {}
    for module, file in files.items():
        names = imported(module, file) & set(files)
        graph[module] = {name for name in names if not any(other.startswith(f"{name}.") for other in names)}
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


def folder_circles(root: Path) -> list[set[str]]:
    """Circles of folders at every depth. Files beside folders, such as `train/recipe.py`, only pass imports on."""
    graph, found = import_graph(root), []
    for depth in range(2, max(module.count(".") for module in graph) + 1):
        at_depth: Graph = {}
        for module, names in graph.items():
            at_depth.setdefault(cut(module, depth), set()).update(cut(name, depth) for name in names)
        folders = {
            name for name in at_depth if name.count(".") == depth - 1 and (root / name.replace(".", "/")).is_dir()
        }
        found += [circle & folders for circle in circles(at_depth) if len(circle & folders) > 1]
    return found


def cut(module: str, depth: int) -> str:
    """`train.windows` for `train.windows.pool` and depth 2."""
    return ".".join(module.split(".")[:depth])


def test_files_import_each_other_in_no_circle() -> None:
    assert circles(import_graph(ROOT)) == []


def test_folders_import_each_other_in_no_circle() -> None:
    assert folder_circles(ROOT) == []


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Three rooms without a fault."""
    for room in FORBIDDEN:
        for folder in (room, f"{room}/one", f"{room}/two"):
            write(tmp_path, f"{folder}/__init__.py", "")
    write(tmp_path, "train/one/part.py", "import torch\nfrom pipeline.two import other\n")
    write(tmp_path, "pipeline/two/other.py", "import numpy\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_these_checks_accept_rooms_without_a_fault(small: Path) -> None:
    assert (crossings(small), circles(import_graph(small)), folder_circles(small)) == ({}, [], [])
    assert import_graph(small)["train.one.part"] == {"pipeline.two.other"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ingest/one/part.py", "def f() -> None:\n    from torch import nn\n"),
        ("pipeline/one/part.py", "import train.one.part\n"),
        ("train/one/late.py", "if TYPE_CHECKING:\n    from ingest import one\n"),
    ],
)
def test_a_forbidden_import_is_found(small: Path, name: str, text: str) -> None:
    write(small, name, text)
    assert list(crossings(small)) == [name.removesuffix(".py").replace("/", ".")]


@pytest.mark.parametrize(
    "back", ["from train.two import b", "from . import b", "from .b import f", "import train.two.b"]
)
def test_a_circle_of_files_is_found(small: Path, back: str) -> None:
    write(small, "train/two/a.py", f"def f() -> None:\n    {back}\n")
    write(small, "train/two/b.py", "from train.two.a import f\n")
    assert circles(import_graph(small)) == [{"train.two.a", "train.two.b"}]


@pytest.mark.parametrize("below", ["train", "train/deep"])
def test_a_circle_of_folders_is_found_at_every_depth(small: Path, below: str) -> None:
    name = below.replace("/", ".")
    write(small, f"{below}/three/a.py", f"from {name}.four.b import f\n")
    write(small, f"{below}/four/b.py", "")
    write(small, f"{below}/four/c.py", f"import {name}.three.d\n")
    write(small, f"{below}/three/d.py", "")
    assert circles(import_graph(small)) == []
    assert folder_circles(small) == [{f"{name}.three", f"{name}.four"}]


def test_train_can_be_imported_without_ray_deepspeed_zarr_and_deltalake() -> None:
    modules = sorted(
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in (ROOT / "train").rglob("*.py")
        if file.name not in ("__main__.py", "hubconf.py", "hub_mixin.py")
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
