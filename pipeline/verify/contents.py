"""What a store's folder contains, as slot numbers: of millions of names, only unexpected ones are kept."""

from __future__ import annotations

from array import array
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.progress import Progress
from pipeline.storage.folder import Folder
from pipeline.storage.listing import list_files
from pipeline.storage.s3 import S3Client, Upload, is_s3
from pipeline.store.layout import (
    ARRAYS,
    LEASE_FOLDER,
    TABLES_FOLDER,
    TOP_NAMES,
    WITHDRAWN_FOLDER,
    is_expected,
    is_leftover,
    slot_of_object,
)

Int = NDArray[np.int64]


@dataclass
class Contents:
    """What a store's folder contains."""

    slots: dict[str, Int]
    """By array: slots that have an object, ascending."""
    empty: Int
    """Slots with an object of no bytes."""
    leftovers: list[str]
    """Unfinished writes, by name."""
    uploads: list[Upload]
    """Unfinished multipart uploads of object storage."""
    missing_permission: str
    """The permission without which uploads cannot be listed; "" where they can."""
    foreign: list[str]
    """Files that do not belong to a store."""

    def slots_of_any(self) -> Int:
        """Slots that have an object in at least one array."""
        return np.unique(np.concatenate([*self.slots.values(), self.empty]))


@dataclass
class _ArrayContents:
    """What has been listed of one array."""

    slots: array[int] = field(default_factory=lambda: array("q"))
    empty: array[int] = field(default_factory=lambda: array("q"))
    others: list[str] = field(default_factory=list)


def list_contents(folder: Folder, expected: int) -> Contents:
    """List a store, its arrays in parallel; `expected` is an estimate of the number of objects, for progress."""
    found = {name: _ArrayContents() for name in ARRAYS}
    with Progress("list", expected, "objects") as progress, ThreadPoolExecutor(len(ARRAYS)) as pool:
        running = [pool.submit(_list_array, folder, name, found[name]) for name in ARRAYS]
        while wait(running, timeout=1).not_done:
            progress.update(sum(len(part.slots) for part in found.values()))
        for future in running:
            future.result()
        progress.update(expected)
    others = [name for part in found.values() for name in part.others] + _foreign_top_names(folder)
    for place in (TABLES_FOLDER, LEASE_FOLDER, WITHDRAWN_FOLDER):
        others += [name for name, _ in list_files(folder, place)]
    uploads, missing_permission = S3Client(folder).unfinished_uploads() if is_s3(folder) else ([], "")
    return Contents(
        slots={name: np.unique(np.frombuffer(part.slots, np.int64)) for name, part in found.items()},
        empty=np.unique(np.concatenate([np.frombuffer(part.empty, np.int64) for part in found.values()])),
        leftovers=sorted(filter(is_leftover, others)),
        uploads=uploads,
        missing_permission=missing_permission,
        foreign=sorted(name for name in others if not (is_expected(name) or is_leftover(name))),
    )


def _list_array(folder: Folder, name: str, found: _ArrayContents) -> None:
    for path, size in list_files(folder, name):
        if (slot := slot_of_object(path)) is not None:
            (found.slots if size else found.empty).append(slot)
        else:
            found.others.append(path)


def _foreign_top_names(folder: Folder) -> list[str]:
    """Names directly in the folder that do not belong to a store."""
    with folder.translate_errors():
        folder.fs.invalidate_cache()
        names = (path.rstrip("/").rpartition("/")[2] for path in folder.fs.ls(folder.path, detail=False))
        return sorted({name for name in names if name and name not in TOP_NAMES})
