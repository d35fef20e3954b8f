"""Every version of every file of a store, and deleting them permanently.

A local folder keeps nothing of a deleted file. A bucket may keep versions: then a plain deletion only hides a file,
and each version has to be deleted by its id, which the bucket may refuse (no permission, object lock, legal hold).
Other storage cannot say whether it keeps versions, so older ones may remain there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Protocol

from pipeline.storage.folder import Folder
from pipeline.storage.listing import list_files
from pipeline.storage.retry import with_retry
from pipeline.storage.s3 import FileVersion, S3Client, Upload, is_s3
from pipeline.store.layout import ARRAYS, slot_folder, slot_objects
from pipeline.store.store import Store

LISTINGS_AT_ONCE = 16


class StoreFiles(Protocol):
    """The files of a store, as its storage keeps them."""

    doubt: str
    """Why older versions of deleted files may remain unseen; "" where that is excluded."""
    refused: list[str]
    """Names of what the storage refused to delete, with its reason."""

    def versions(self, below: str = "") -> Iterator[FileVersion]:
        """Every version of every file in the folder `below`, in no particular order."""
        ...

    def read(self, file: FileVersion, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end` of a file; raises FileNotFoundError."""
        ...

    def delete(self, files: Iterable[FileVersion]) -> None:
        """Delete these versions."""
        ...

    def delete_slots(self, slots: Sequence[int]) -> None:
        """Delete every version of every object of these slots; a slot may have none."""
        ...

    def unfinished_uploads(self) -> list[str]:
        """Names of multipart uploads that were never completed."""
        ...

    def abort_uploads(self) -> None:
        """Abort all unfinished uploads."""
        ...


def open_files(store: Store) -> StoreFiles:
    """The files of a store, by the means of its storage."""
    return BucketFiles(store.folder) if is_s3(store.folder) else PlainFiles(store)


class PlainFiles:
    """Files of a local folder, or of storage that cannot be asked about versions."""

    def __init__(self, store: Store) -> None:
        self.store, self.folder = store, store.folder
        self.refused: list[str] = []
        self.doubt = "" if self.folder.is_local else "this storage cannot be asked whether it keeps older versions"

    def versions(self, below: str = "") -> Iterator[FileVersion]:
        """See StoreFiles."""
        return (FileVersion(name, size) for name, size in list_files(self.folder, below))

    def read(self, file: FileVersion, start: int, end: int) -> bytes:
        """See StoreFiles."""
        return _read_range(self.folder, file.name, start, end)

    def delete(self, files: Iterable[FileVersion]) -> None:
        """See StoreFiles."""
        self.folder.delete([file.name for file in files])

    def delete_slots(self, slots: Sequence[int]) -> None:
        """Delete the objects of these slots, and what killed writers left beside them."""
        self.store.delete_days(list(slots))

    def unfinished_uploads(self) -> list[str]:
        """None: unfinished files are listed like others."""
        return []

    def abort_uploads(self) -> None:
        """Does nothing."""


class BucketFiles:
    """Files of a bucket, in every version that it keeps."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.client = folder, S3Client(folder)
        self.refused: list[str] = []
        self.has_versions, self.doubt = self.client.versioning()

    def versions(self, below: str = "") -> Iterator[FileVersion]:
        """See StoreFiles."""
        if self.has_versions:
            return self.client.list_versions(f"{below}/" if below else "")
        return (FileVersion(name, size) for name, size in list_files(self.folder, below))

    def read(self, file: FileVersion, start: int, end: int) -> bytes:
        """See StoreFiles."""
        return _read_range(self.folder, file.name, start, end, version_id=file.version)

    def delete(self, files: Iterable[FileVersion]) -> None:
        """Delete these versions. A file with a version that the bucket refuses to delete is hidden, or stays hidden.

        So delete markers go last, and only those that hide nothing any more.
        """
        markers: list[FileVersion] = []
        kept = self.client.delete(_set_markers_aside(files, markers))
        kept_names = {file.name for file, _ in kept}
        to_hide = (FileVersion(file.name, 0) for file, _ in kept if file.version and file.is_newest)
        self.client.delete(chain(to_hide, (marker for marker in markers if marker.name not in kept_names)))
        self.refused += [f"{file.name} ({reason})" for file, reason in kept]

    def delete_slots(self, slots: Sequence[int]) -> None:
        """See StoreFiles."""
        if not self.has_versions:  # deleting an object that does not exist is no error
            self.delete(FileVersion(name, 0) for slot in slots for name in slot_objects(slot))
            return
        folders = [slot_folder(array, slot) for slot in slots for array in ARRAYS]
        with ThreadPoolExecutor(LISTINGS_AT_ONCE) as pool:
            found = pool.map(lambda folder: [*self.versions(folder)], folders)
            self.delete(file for files in found for file in files)

    def unfinished_uploads(self) -> list[str]:
        """See StoreFiles."""
        return [self._name(key) for key, _ in self._uploads()]

    def abort_uploads(self) -> None:
        """See StoreFiles."""
        kept = self.client.abort_uploads(self._uploads())
        self.refused += [f"{self._name(key)} (unfinished upload; {reason})" for key, reason in kept]

    def _uploads(self) -> list[Upload]:
        found, missing = self.client.unfinished_uploads()
        if missing:
            self.doubt = self.doubt or f"unfinished uploads cannot be listed ({missing})"
        return found

    def _name(self, key: str) -> str:
        return key[len(self.client.prefix) :]


def _set_markers_aside(files: Iterable[FileVersion], markers: list[FileVersion]) -> Iterator[FileVersion]:
    """The versions that are not delete markers; the markers are appended to `markers`."""
    for file in files:
        if file.is_delete_marker:
            markers.append(file)
        else:
            yield file


def _read_range(folder: Folder, name: str, start: int, end: int, **options: Any) -> bytes:
    def read() -> bytes:
        with folder.translate_errors():
            return bytes(folder.fs.cat_file(folder.at(name), start=start, end=end, **options))

    return with_retry(read)
