"""Cells: the result of one row, draw and split, saved as soon as it is there, so that an interrupted run resumes.

A cell's key covers everything that its result depends on: windows, labels, people, weights, the split, settings and
versions. A saved cell with another key is not used. The folder of unfinished cells lies beside the output; when the
results are written, the cells move into the output's folder `cells`, where a later run with more rows finds them.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.storage.folder import write_file

FOLDER = "cells"
LEFT = (".npz", ".partial", "")
"""Suffixes of what an interrupted run leaves; a process killed while it saves a cell leaves a .partial."""


@dataclass(frozen=True)
class Cell:
    """Predicted classes, int64 (1 + variants, test windows): of the test windows, then of each variant of them.

    `variants` are the names of the variants, facts are JSON-ready. Logits are float32 (test windows, classes), kept
    where a block asks for them.
    """

    predicted_VN: NDArray[np.int64]
    facts: dict[str, Any]
    variants: tuple[str, ...] = ()
    logits_NK: NDArray[np.float32] | None = None

    def only(self, variants: Sequence[str], logits: bool = False) -> Cell | None:
        """Return the cell with these variants, with or without logits, or None if it lacks something."""
        if not set(variants) <= set(self.variants) or (logits and self.logits_NK is None):
            return None
        rows = [0, *(1 + self.variants.index(name) for name in variants)]
        return Cell(self.predicted_VN[rows], self.facts, tuple(variants), self.logits_NK if logits else None)


def digest(parts: Iterable[object]) -> str:
    """Return a SHA-256 of arrays, bytes and JSON values, in their order."""
    total = sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            total.update(f"{part.dtype.str}{part.shape}".encode())
            total.update(np.ascontiguousarray(part).data)
        else:
            total.update(part if isinstance(part, bytes) else json.dumps(part, sort_keys=True).encode())
    return total.hexdigest()


@dataclass
class Cells:
    """Saved cells, in the folder of unfinished ones and in that of an earlier result. Without folders nothing is saved.

    `stale` counts cells that were found with another key.
    """

    unfinished: Path | None = None
    earlier: Path | None = None
    stale: int = 0
    used: set[str] = field(default_factory=set)

    @staticmethod
    def beside(out: Path | None) -> Cells:
        """Return the cells of an output folder; raises UserError where its neighbour of that name is something else."""
        if out is None:
            return Cells()
        unfinished = out.with_name(f"{out.name}.unfinished")
        foreign = unfinished.exists() and (
            not unfinished.is_dir() or any(path.suffix not in LEFT for path in unfinished.iterdir())
        )
        if foreign:
            raise UserError(
                f"{unfinished}: expected no such folder, or the saved results of an interrupted evaluation; found "
                "something else. Move it away, or choose another --out."
            )
        return Cells(unfinished, out / FOLDER)

    def load(self, name: str, key: str, variants: Sequence[str] = (), logits: bool = False) -> Cell | None:
        """Return a saved cell, or None if there is none with this key, these variants and, if asked for, logits."""
        self.used.add(f"{name}.npz")
        for folder in (self.unfinished, self.earlier):
            if folder is None or not (folder / f"{name}.npz").is_file():
                continue
            try:
                with np.load(folder / f"{name}.npz") as saved:
                    if str(saved["key"]) == key:
                        names = tuple(saved["variants"].tolist())
                        facts, logits_NK = json.loads(str(saved["facts"])), saved.get("logits")
                        cell = Cell(saved["predicted"].astype(np.int64), facts, names, logits_NK)
                        if (found := cell.only(variants, logits)) is not None:
                            return found
                        continue
            except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # cut short, or not a cell
                pass
            self.stale += 1
        return None

    def save(self, name: str, key: str, cell: Cell) -> None:
        """Save a cell, atomically."""
        if self.unfinished is None:
            return
        try:
            self.unfinished.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot create the folder {self.unfinished} ({error.strerror}). Choose another with --out."
            ) from None
        data = io.BytesIO()
        logits: dict[str, Any] = {} if cell.logits_NK is None else {"logits": cell.logits_NK}
        np.savez_compressed(
            data,
            predicted=cell.predicted_VN.astype(np.int32),
            facts=json.dumps(cell.facts),
            variants=np.array(cell.variants, np.str_),
            key=np.array(key),
            **logits,
        )
        write_file(self.unfinished / f"{name}.npz", data.getvalue())

    def copy_to(self, folder: Path) -> None:
        """Copy the cells that this run used into `folder`, which must not exist."""
        folder.mkdir()
        for name in self.used:
            for source in (self.unfinished, self.earlier):
                if source is not None and (source / name).is_file():
                    shutil.copyfile(source / name, folder / name)
                    break

    def clear(self) -> None:
        """Remove the folder of unfinished cells."""
        if self.unfinished is not None:
            shutil.rmtree(self.unfinished, ignore_errors=True)


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of installed packages; of others, an empty string."""
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str] = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
