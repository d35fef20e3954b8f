"""Virtual environments for peers, the programs that benchmarks compare with. The project does not depend on them."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Iterable
from pathlib import Path


def peers_python(
    folder: Path, packages: Iterable[str], without_dependencies: Iterable[str] = (), remove: Iterable[str] = ()
) -> Path:
    """The interpreter of the environment in `folder`, which is made on first use.

    `without_dependencies` are installed alone; `remove` names dependencies to uninstall afterwards.
    """
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)

        def pip(*arguments: str) -> None:
            subprocess.run([python, "-m", "pip", *arguments], check=True)

        pip("install", "--quiet", *packages)
        if without_dependencies:
            pip("install", "--quiet", "--no-deps", *without_dependencies)
        if remove:
            pip("uninstall", "--quiet", "--yes", *remove)
        (folder / "ready").touch()
    return python
