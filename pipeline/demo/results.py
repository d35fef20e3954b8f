"""The result files in a demo's folder; a file that is absent, incomplete or of another format is None."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.pages import html

Json = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """The results of a demo; None where a step has not left a readable file.

    name: the folder `run` as a user would type it.
    """

    run: Path
    name: str
    simulation: Json | None
    inspect: Json | None
    training: Json | None
    evaluation: Json | None
    box: dict[str, Json]
    """Evaluations of backbones that come with the project, by their names."""

    @staticmethod
    def read(run: Path) -> Results:
        """Read the results in a demo's folder."""
        return Results(
            run,
            _as_typed(run),
            _read(run / "recordings" / "simulation.json"),
            _read(run / "report" / "inspect.json", "persondays-inspect"),
            _read(run / "report" / "training.json", "persondays-training"),
            _read(run / "evaluation" / "results.json", "persondays-evaluation"),
            {
                path.parent.name: found
                for path in sorted(run.glob("box/*/results.json"))
                if (found := _read(path, "persondays-evaluation")) is not None
            },
        )

    def picture(self, path: str, description: str) -> str:
        """Return a picture as a piece of HTML, or a box that says that it is missing."""
        try:
            png = (self.run / path).read_bytes()
        except OSError:
            png = b""
        if not png.startswith(b"\x89PNG") or len(png) < 24:
            return self.missing(path)
        return html.picture(png, description)

    def missing(self, path: str) -> str:
        """Return a box that says that a file is missing."""
        return html.box(
            "missing",
            [
                f"`{self.name}/{path}` does not exist or cannot be read, because its step has not finished. Run the "
                "command below, or run the demo again."
            ],
        )


def _read(path: Path, kind: str | None = None) -> Json | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or (kind is not None and (found.get("format"), found.get("version")) != (kind, 1)):
        return None
    return found


def _as_typed(run: Path) -> str:
    """Return the path relative to the working folder; only the folder's name if that would start with `..`."""
    relative = os.path.relpath(run)
    return run.absolute().name if relative.startswith("..") else relative
