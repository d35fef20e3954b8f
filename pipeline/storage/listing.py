"""Names and sizes of millions of files, one after the other.

fsspec keeps about a kilobyte per name in memory. So local folders are walked and S3 is listed page by page; only other
storage goes through fsspec's own listing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from pipeline.storage.folder import Folder
from pipeline.storage.s3 import S3Client, is_s3


def list_files(folder: Folder, below: str = "") -> Iterator[tuple[str, int]]:
    """Names and sizes (bytes) of all files in the folder `below`, in no particular order; none where it does not exist.

    Names are relative to `folder`. Unfinished files of killed writers are included.
    """
    prefix = f"{below}/" if below else ""
    with folder.translate_errors():
        if folder.is_local:
            yield from _walk(folder.at(below), prefix)
        elif is_s3(folder):
            yield from ((name, size) for name, size in S3Client(folder).list_files(prefix) if name)
        else:
            folder.fs.invalidate_cache()
            found = folder.fs.find(folder.at(below), detail=True)
            yield from ((path[len(folder.path) :].lstrip("/"), int(info["size"])) for path, info in found.items())


def _walk(path: str, prefix: str) -> Iterator[tuple[str, int]]:
    try:
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
        else:
            try:
                yield prefix + entry.name, entry.stat().st_size
            except FileNotFoundError:  # a temporary file, renamed or removed in the meantime
                continue
