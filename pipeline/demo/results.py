"""What a run's folder holds, read without trust: a file that is absent, cut short or of another kind is None."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.pages import html

Found = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """What a run's folder holds; None where a step left nothing that can be read.

    name: the run's folder as one types it.
    """

    run: Path
    name: str
    simulation: Found | None
    inspect: Found | None
    training: Found | None
    evaluation: Found | None

    @staticmethod
    def read(run: Path) -> Results:
        """Read the files of a run."""
        return Results(
            run,
            _typed(run),
            _read(run / "recordings" / "simulation.json"),
            _read(run / "report" / "inspect.json", "persondays-inspect"),
            _read(run / "report" / "training.json", "persondays-training"),
            _read(run / "evaluation" / "results.json", "persondays-evaluation"),
        )

    def picture(self, path: str, what: str) -> str:
        """A picture of the run, or that it is not there."""
        try:
            png = (self.run / path).read_bytes()
        except OSError:
            png = b""
        if not png.startswith(b"\x89PNG") or len(png) < 24:
            return self.missing(path)
        return html.picture(png, what)

    def missing(self, path: str) -> str:
        """That a file is not there."""
        return html.box(
            "missing",
            [
                f"{self.name}/{path} is not there, or cannot be read: its step has not run to its end. Run the command "
                "below, or the demo again."
            ],
        )


def _read(path: Path, kind: str | None = None) -> Found | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or (kind is not None and (found.get("format"), found.get("version")) != (kind, 1)):
        return None
    return found


def _typed(run: Path) -> str:
    """The folder as one would type it here; its own name where that would lead through other folders."""
    near = os.path.relpath(run)
    return run.absolute().name if near.startswith("..") else near
