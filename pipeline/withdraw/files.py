"""Every file of a store, in every version that its storage keeps, and deleting it for good.

A plain folder forgets what is deleted. A bucket may keep versions, so that deleting only hides
(`pipeline.withdraw.bucket`); other storages cannot be asked, and that is a doubt, never a "no".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from pipeline.store.store import Store
from pipeline.verify.listing import names_below


@dataclass(frozen=True)
class File:
    """One version of a file, or a mark that it was deleted."""

    name: str
    """Below the store."""
    size: int
    version: str | None = None
    """Where the storage keeps versions."""
    is_newest: bool = True
    is_mark: bool = False
    """Says that the file is deleted, and holds nothing."""


class Files(Protocol):
    """What can be done with the files of a store."""

    doubt: str
    """Why it is not known whether older versions of deleted files are left; "" where it is known."""
    left: list[str]
    """What the storage refused to delete, and why, by name."""

    def below(self, place: str) -> Iterator[File]:
        """Every version of every file below a folder, in no order."""
        ...

    def everything(self) -> Iterator[File]:
        """Every version of every file of the store, in no order."""
        ...

    def read(self, file: File, start: int, end: int) -> bytes:
        """Some bytes of a file; raises FileNotFoundError."""
        ...

    def delete(self, files: Iterable[File]) -> None:
        """Delete these versions."""
        ...

    def delete_slots(self, slots: Sequence[int]) -> None:
        """Delete every version of every object of these slots, whether there are any or not."""
        ...

    def unfinished(self) -> list[str]:
        """Files whose writing was begun in parts and never finished: no listing shows them, yet the parts are kept."""
        ...

    def end_unfinished(self) -> None:
        """Give up what `unfinished` lists."""
        ...


def files_of(store: Store) -> Files:
    """The files of a store, as its storage keeps them."""
    from pipeline.withdraw.bucket import BucketFiles

    return BucketFiles(store.folder) if store.folder.url.startswith(("s3://", "s3a://")) else PlainFiles(store)


class PlainFiles:
    """A folder of this machine, or storage that cannot be asked about versions."""

    def __init__(self, store: Store) -> None:
        self.store, self.folder = store, store.folder
        self.left: list[str] = []
        self.doubt = "" if self.folder.is_local else "this storage cannot be asked whether it keeps older versions"

    def below(self, place: str) -> Iterator[File]:
        """Every file below a folder, unfinished ones of killed writers too."""
        return (File(name, size) for name, size in names_below(self.folder, place))

    def everything(self) -> Iterator[File]:
        """Every file of the store."""
        return plain_files(self.folder)

    def read(self, file: File, start: int, end: int) -> bytes:
        """Some bytes of a file."""
        return read_part(self.folder, file.name, start, end)

    def delete(self, files: Iterable[File]) -> None:
        """Delete files."""
        self.folder.delete([file.name for file in files])

    def delete_slots(self, slots: Sequence[int]) -> None:
        """Delete the objects of slots, and what killed writers left beside them."""
        self.store.delete_days(list(slots))

    def unfinished(self) -> list[str]:
        """None that no listing shows."""
        return []

    def end_unfinished(self) -> None:
        """Nothing to do."""


def plain_files(folder: Folder) -> Iterator[File]:
    """Every file below a folder, whatever it is."""
    with folder.translate_errors():
        folder.fs.invalidate_cache()
        entries = folder.fs.ls(folder.path, detail=True)
    for entry in entries:
        name = entry["name"].rstrip("/").rpartition("/")[2]
        if entry["type"] == "directory":
            yield from (File(below, size) for below, size in names_below(folder, name))
        elif name:
            yield File(name, int(entry["size"] or 0))


def read_part(folder: Folder, name: str, start: int, end: int, **how: Any) -> bytes:
    """Some bytes of a file; storage that is away is waited for. Raises FileNotFoundError."""

    def read() -> bytes:
        with folder.translate_errors():
            return bytes(folder.fs.cat_file(folder.at(name), start=start, end=end, **how))

    return with_retry(read)
