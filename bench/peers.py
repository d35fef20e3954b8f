"""Others' packages, installed where ours do not meet them."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Iterable
from pathlib import Path


def peers_python(
    folder: Path, packages: Iterable[str], alone: Iterable[str] = (), in_the_way: Iterable[str] = ()
) -> Path:
    """The interpreter of the peers' own environment in `folder`, made on first use.

    `alone` are installed without what they ask for; `in_the_way` are what others bring along and is taken out again.
    """
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)

        def pip(*arguments: str) -> None:
            subprocess.run([python, "-m", "pip", *arguments], check=True)

        pip("install", "--quiet", *packages)
        if alone:
            pip("install", "--quiet", "--no-deps", *alone)
        if in_the_way:
            pip("uninstall", "--quiet", "--yes", *in_the_way)
        (folder / "ready").touch()
    return python
