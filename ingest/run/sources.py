"""The recordings under a URL, each with its keyed id and a fingerprint of its state.

A recording's id comes from its path below the given folder: the same folder at another place is the same set of
recordings. Its fingerprint comes from its size and the storage's own mark of a change (entity tag, else time of
modification), so that a file changed in place is noticed.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from ingest.devices.io.wrapped import ZIP_SUFFIX
from ingest.devices.joined import of_part
from ingest.devices.registry import NO_TABLE_SETTINGS, TABLE, WRAPPINGS, devices, is_recording, suffix_words, suffixes
from ingest.participants import Rule
from ingest.settings import TableSettings
from pipeline.errors import UserError
from pipeline.identity import SHORT_ID, Key
from pipeline.settings import fingerprint, plain
from pipeline.storage.folder import Folder, StorageError, StorageUnavailable
from pipeline.storage.retry import with_retry
from pipeline.storage.s3_read import read_object

MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")
"""Details by which file systems show that a file has changed; the first that exists counts."""

STORAGE_LIBRARIES = ("aiobotocore", "aiohttp", "azure", "botocore", "fsspec", "gcsfs", "google", "requests", "urllib3")
"""Packages whose exceptions mean that storage failed, even where they are not an OSError."""

MACHINE_ERRORS = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT)
"""Errors on a local file that are due to the machine or its disks, not to the file."""

MIN_WORD = 3
"""Shorter parts of a file name are not removed from texts."""

JOINED = "+"
"""In the fingerprint of a recording that was joined, before the number of its files."""

FIRST_SETTINGS = ("columns", "unit", "rate_hz")
"""The settings of tables that every fingerprint contains."""


class StorageFault(UserError):
    """The storage fails, not a recording: the run has to stop. (StorageUnavailable stops it too, after retries.)"""


class AccessDenied(StorageFault):
    """The storage denies access to a recording. A probe, which sees several, finds out whether to all of them."""


class UnreadableRecording(UserError):
    """A recording that cannot be read now. That says nothing about its content."""


@dataclass(frozen=True)
class Source:
    """One recording in its present state in storage."""

    name: str
    id: str
    size: int
    fingerprint: str
    """16 digits for the state of the file, or of all parts with their number after a plus; for a table with table
    settings, also a dash and 16 for those."""
    table: TableSettings = NO_TABLE_SETTINGS
    parts: tuple[Source, ...] = ()
    """The files of a recording that was joined, in the order of their ids; none where the recording is one file."""

    @property
    def files(self) -> tuple[Source, ...]:
        """The parts, or the recording itself where it is one file."""
        return self.parts or (self,)

    @property
    def file_state(self) -> str:
        """The part of the fingerprint for the state of the file."""
        return file_state(self.fingerprint)

    @property
    def suffix(self) -> str:
        """The end of a file's name, which shows its kind."""
        return max((suffix for suffix in suffixes() if self.name.lower().endswith(suffix)), key=len, default="")

    @property
    def is_compressed(self) -> bool:
        """Whether some of it has to be read completely to reach its end."""
        return any(file.suffix.endswith(WRAPPINGS) for file in self.files)

    @property
    def alias(self) -> str:
        """A file name that shows the kind of file and identifies nobody."""
        return self.id[:SHORT_ID] + self.suffix

    def scrub(self, text: str) -> str:
        """`text` without the names, their parts and their words, as they are or quoted for a URL."""
        words = {word for source in (self, *self.parts) for word in source._words()}
        forms = {form for word in words for form in (word, quote(word, errors="surrogateescape"))}
        longest_first = sorted((form for form in forms if len(form) >= MIN_WORD), key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)) or r"(?!)", "<name>", text, flags=re.IGNORECASE)

    def _words(self) -> set[str]:
        stem = self.name[: len(self.name) - len(self.suffix)]
        return {self.name, stem, *self.name.split("/"), *stem.split("/"), *re.split(r"[\W_]+", stem)}


def list_sources(
    url: str,
    key: Key,
    table: TableSettings = NO_TABLE_SETTINGS,
    beside: Sequence[Path] = (),
    join: Rule | None = None,
) -> tuple[Folder, list[Source]]:
    """The folder of recordings and the recordings in it, in the order of their ids. `url` may also name one recording.

    `table` has the settings of tables, which are recognised by their suffix. `beside` are files that are not
    recordings, though their names may end like those. `join` gives the name of the recording of which a file is a part,
    or None where the file is a recording of its own.

    Raises UserError where there is no file, or no recording.
    """
    folder, single = Folder(url), ""
    try:
        with folder.translate_errors():
            if folder.fs.isfile(folder.path):
                parent, _, single = folder.url.rpartition("/")
                folder = Folder(parent or "/")
            found = folder.fs.find(folder.at(single), detail=True)
            if not found and not folder.fs.exists(folder.path):
                raise FileNotFoundError
    except FileNotFoundError:
        raise UserError(f"{url}: there is no such file or folder. Check --recordings.") from None
    names = {path[len(folder.path) :].lstrip("/"): details for path, details in found.items()}
    ignored = {os.path.relpath(os.path.realpath(path), os.path.realpath(folder.path)) for path in beside}
    recordings = {name: details for name, details in names.items() if is_recording(name) and name not in ignored}
    sources = [_source(name, details, key, table) for name, details in recordings.items()]
    if not sources:
        others = "a file of another kind" if single else f"{len(names):,} files of other kinds" if names else "no file"
        raise UserError(
            f"{url}: expected recordings (files that end in {suffix_words()}), found {others}. Check --recordings."
        )
    return folder, sorted(joined(sources, key, join) if join else sources, key=lambda source: source.id)


def joined(files: Sequence[Source], key: Key, join: Rule) -> list[Source]:
    """The recordings of which `files` are the parts, and the files that `join` does not cover.

    Raises UserError where a recording would have the name of such a file.
    """
    groups: dict[str | None, list[Source]] = {}
    for file in files:
        groups.setdefault(join(file.name), []).append(file)
    alone = groups.pop(None, [])
    if taken := {file.name for file in alone} & groups.keys():
        raise UserError(
            f"{len(taken):,} of the recordings to join have the name of a file that is a recording of its own. Name "
            "them otherwise with --join-map."
        )
    return [*alone, *(_of_parts(str(name), parts, key) for name, parts in groups.items())]


def _of_parts(name: str, files: list[Source], key: Key) -> Source:
    parts = tuple(sorted(files, key=lambda file: file.id))
    state = f"{fingerprint([(part.id, part.file_state) for part in parts])}{JOINED}{len(parts)}"
    as_tables = next((part for part in parts if part.table != NO_TABLE_SETTINGS), None)
    table = as_tables.table if as_tables else NO_TABLE_SETTINGS
    read_as = f"-{as_tables.fingerprint.partition('-')[2]}" if as_tables else ""
    return Source(name, key.recording(name), sum(part.size for part in parts), state + read_as, table, parts)


def _source(name: str, details: dict[str, Any], key: Key, table: TableSettings) -> Source:
    mark = next((str(details[mark]) for mark in MARKS if details.get(mark)), "")
    size = int(details.get("size") or 0)
    source = Source(name, key.recording(name), size, fingerprint([size, mark]))
    if table == NO_TABLE_SETTINGS or not _may_be_table(source.suffix):
        return source
    return replace(source, fingerprint=f"{source.fingerprint}-{fingerprint(_stated(table))}", table=table)


def _stated(table: TableSettings) -> dict[str, Any]:
    """The settings of tables for a fingerprint; later ones only if given, so that older fingerprints hold."""
    return {name: value for name, value in plain(table).items() if name in FIRST_SETTINGS or value is not None}


def _may_be_table(suffix: str) -> bool:
    tables = {kind + wrapping for kind, module in devices() if module == TABLE for wrapping in ("", *WRAPPINGS)}
    return suffix in {*tables, ZIP_SUFFIX}


def is_joined(fingerprint: str) -> bool:
    """Whether a recording with this fingerprint was joined from files."""
    return JOINED in fingerprint


def file_state(fingerprint: str) -> str:
    """The part of a recording's fingerprint for the state of the file."""
    return fingerprint.partition("-")[0]


@contextmanager
def open_source(folder: Folder, source: Source) -> Iterator[BinaryIO]:
    """The file of a recording, for range reads (a compressed one is streamed). Raises as `classified_errors` does."""
    cache = {"cache_type": "readahead", "block_size": 1 << 23} if source.is_compressed else {"cache_type": "none"}
    with (
        classified_errors(folder, source),
        folder.fs.open(folder.at(source.name), "rb", **({} if folder.is_local else cache)) as file,
    ):
        yield file


def read_source(folder: Folder, source: Source) -> Any:
    """The complete recording: a memory map for a file of this machine, else its bytes.

    Raises as `classified_errors` does.
    """
    import numpy as np

    def read() -> Any:
        with classified_errors(folder, source):
            if folder.is_local and source.size:
                return np.memmap(folder.at(source.name), mode="r")
            return read_object(folder, source.name, source.size)

    return with_retry(read)


@contextmanager
def classified_errors(folder: Folder, source: Source) -> Iterator[None]:
    """Distinguish a recording that cannot be read (UserError: reject it) from storage that fails (StorageFault: stop).

    Network storage can fail for a while (StorageUnavailable); there, only a missing file is a fault of the recording.
    """
    try:
        with folder.translate_errors():
            yield
    except FileNotFoundError:
        if not _is_seen(folder):
            raise StorageFault(
                f"{folder.url}: a worker cannot find this folder. On a cluster, recordings have to be on storage "
                "that all nodes share."
            ) from None
        raise UnreadableRecording("the file existed when the run began and is gone now: restore it") from None
    except StorageUnavailable as error:
        raise StorageUnavailable(
            f"{source.scrub(str(error))} This happened while recording {source.id[:SHORT_ID]} was read. No "
            "recording is rejected for it: run the same command again."
        ) from None
    except StorageError as error:
        if folder.is_local:
            raise UnreadableRecording("no permission to read the file: check its owner and permissions") from None
        raise AccessDenied(f"recording {source.id[:SHORT_ID]} cannot be read: {source.scrub(str(error))}") from None
    except UserError:
        raise
    except Exception as error:
        if not is_of_storage(error):
            raise
        cause = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        if folder.is_local and not (isinstance(error, OSError) and error.errno in MACHINE_ERRORS):
            raise UnreadableRecording(f"the file cannot be read ({cause})") from None
        raise StorageFault(
            f"{folder.url}: the storage failed while recording {source.id[:SHORT_ID]} was read ({cause}). No "
            "recording is rejected for it: run the same command again."
        ) from None


@contextmanager
def of_file(source: Source, file: Source) -> Iterator[None]:
    """Add to a UserError which part of a recording it is about; faults of storage name the file already."""
    try:
        yield
    except (StorageFault, StorageUnavailable):
        raise
    except UserError:
        with of_part(file.id[:SHORT_ID], len(source.parts)):
            raise


def _is_seen(folder: Folder) -> bool:
    try:
        return bool(folder.fs.exists(folder.path))
    except Exception:
        return False


def is_of_storage(error: Exception) -> bool:
    """Whether an exception comes from the storage and not from a fault of the program."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in STORAGE_LIBRARIES
