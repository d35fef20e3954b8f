"""What stands in a store's folder, as slot numbers: millions of names pass by, and only odd ones are kept.

fsspec lists into dictionaries of a kilobyte a name. So folders are walked and S3 is listed page by page,
the three arrays at a time; only other storage goes by fsspec's own listing.
"""

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
class Objects:
    """What stands in a store's folder."""

    slots: dict[str, Int]
    """By array: slots that have an object, ascending."""
    empty: Int
    """Slots with an object of no bytes."""
    leftovers: list[str]
    """Unfinished writes, by name."""
    uploads: list[Upload]
    """Unfinished multipart uploads of object storage."""
    unlisted: str
    """The permission without which those are not known; "" where they are."""
    foreign: list[str]
    """Files that are none of a store's."""

    def slots_of_any(self) -> Int:
        """Slots that have an object in one array at least."""
        return np.unique(np.concatenate([*self.slots.values(), self.empty]))


@dataclass
class _Seen:
    """What has been listed so far below one folder."""

    slots: array[int] = field(default_factory=lambda: array("q"))
    empty: array[int] = field(default_factory=lambda: array("q"))
    others: list[str] = field(default_factory=list)


def list_objects(folder: Folder, expected: int) -> Objects:
    """List a store; `expected` is about how many objects there are, for the progress line."""
    seen = {name: _Seen() for name in ARRAYS}
    with Progress("list", expected, "objects") as progress, ThreadPoolExecutor(len(ARRAYS)) as pool:
        running = [pool.submit(_list_array, folder, name, seen[name]) for name in ARRAYS]
        while wait(running, timeout=1).not_done:
            progress.update(sum(len(part.slots) for part in seen.values()))
        for future in running:
            future.result()
        progress.update(expected)
    beside = [
        name for place in (TABLES_FOLDER, LEASE_FOLDER, WITHDRAWN_FOLDER) for name, _ in list_files(folder, place)
    ]
    others = [name for part in seen.values() for name in part.others] + beside + _top(folder)
    uploads, unlisted = S3Client(folder).unfinished_uploads() if is_s3(folder) else ([], "")
    return Objects(
        slots={name: np.unique(np.frombuffer(part.slots, np.int64)) for name, part in seen.items()},
        empty=np.unique(np.concatenate([np.frombuffer(part.empty, np.int64) for part in seen.values()])),
        leftovers=sorted(name for name in others if is_leftover(name)),
        uploads=uploads,
        unlisted=unlisted,
        foreign=sorted(name for name in others if not (is_expected(name) or is_leftover(name))),
    )


def _list_array(folder: Folder, name: str, seen: _Seen) -> None:
    for path, size in list_files(folder, name):
        if (slot := slot_of_object(path)) is not None:
            (seen.slots if size else seen.empty).append(slot)
        else:
            seen.others.append(path)


def _top(folder: Folder) -> list[str]:
    """Names at the top of the folder that are none of a store's."""
    with folder.translate_errors():
        folder.fs.invalidate_cache()
        names = (path.rstrip("/").rpartition("/")[2] for path in folder.fs.ls(folder.path, detail=False))
        return sorted({name for name in names if name and name not in TOP_NAMES})
