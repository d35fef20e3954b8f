"""The files of a store in an S3 bucket, whose older versions outlive a plain deletion.

A bucket that ever kept versions lists each with its id, and only a deletion that names the id is one. It
may be refused (permission, object lock, legal hold): the file is then hidden, and told to be left.
Multipart uploads that nobody finished are a third kind of remains, which only a listing of their own shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Any

from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from pipeline.storage.s3 import Upload, abort_uploads, ask, place_of, unfinished_uploads
from pipeline.store.layout import ARRAYS, slot_folder, slot_objects
from pipeline.verify.listing import names_below
from pipeline.withdraw.files import File, plain_files, read_part

AT_ONCE = 16
A_REQUEST = 1000
"""Keys that one request may delete."""


class BucketFiles:
    """Every version of the files of a store in a bucket."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.bucket, self.root = place_of(folder)
        self.left: list[str] = []
        self.doubt, self.versioned = self._look()

    def _look(self) -> tuple[str, bool]:
        """Why it is unknown whether there are versions, and whether there may be some that can be listed."""
        reply = ask(self.folder, "get_bucket_versioning")
        if isinstance(reply, str):
            return f"the bucket may not be asked whether it keeps versions (s3:GetBucketVersioning: {reply})", False
        if "Status" not in reply:
            return "", False
        listed = ask(self.folder, "list_object_versions", Prefix=self.root, MaxKeys=1)
        if isinstance(listed, str):
            return f"the bucket keeps versions, which may not be listed (s3:ListBucketVersions: {listed})", False
        return "", True

    def _call(self, what: str, **how: Any) -> dict[str, Any]:
        """The reply to a request that may be made twice; storage that is away is waited for."""

        def call() -> dict[str, Any]:
            with self.folder.translate_errors():
                reply: dict[str, Any] = self.folder.fs.call_s3(what, Bucket=self.bucket, **how)
                return reply

        return with_retry(call)

    def below(self, place: str) -> Iterator[File]:
        """Every version of every file below a folder."""
        if self.versioned:
            return self._versions(f"{place}/")
        return (File(name, size) for name, size in names_below(self.folder, place))

    def everything(self) -> Iterator[File]:
        """Every version of every file of the store."""
        return self._versions("") if self.versioned else plain_files(self.folder)

    def _versions(self, prefix: str) -> Iterator[File]:
        more: dict[str, str] = {}
        while True:
            page = self._call("list_object_versions", Prefix=self.root + prefix, **more)
            for kind in ("Versions", "DeleteMarkers"):
                for entry in page.get(kind) or ():
                    name, size = entry["Key"][len(self.root) :], int(entry.get("Size") or 0)
                    yield File(name, size, entry["VersionId"], bool(entry["IsLatest"]), kind == "DeleteMarkers")
            if not page.get("IsTruncated"):
                return
            more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def read(self, file: File, start: int, end: int) -> bytes:
        """Some bytes of one version of a file."""
        return read_part(self.folder, file.name, start, end, version_id=file.version)

    def delete(self, files: Iterable[File]) -> None:
        """Delete these versions; what is refused is hidden at least, or stays hidden, and is noted in `left`."""
        marks: list[File] = []
        refused = self._delete_many(_but_marks(files, marks))
        held = {file.name for file, _ in refused}
        hidden = (File(file.name, 0) for file, _ in refused if file.version and file.is_newest)
        self._delete_many(chain(hidden, (mark for mark in marks if mark.name not in held)))
        self.left += [f"{file.name} ({why})" for file, why in refused]

    def _delete_many(self, files: Iterable[File]) -> list[tuple[File, str]]:
        """Delete versions, many requests at a time; gives those that are refused, and why."""
        remaining, refused = iter(files), []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while some := list(islice(remaining, A_REQUEST * AT_ONCE)):
                parts = [some[i : i + A_REQUEST] for i in range(0, len(some), A_REQUEST)]
                refused += [file for part in pool.map(self._delete, parts) for file in part]
        return refused

    def _delete(self, files: list[File]) -> list[tuple[File, str]]:
        """Delete versions by one request; gives those that are refused, and why."""
        if not files:
            return []
        objects = [
            {"Key": self.root + file.name, **({"VersionId": file.version} if file.version else {})} for file in files
        ]
        reply = self._call("delete_objects", Delete={"Objects": objects, "Quiet": True})
        why = {(error["Key"], error.get("VersionId")): error.get("Code", "") for error in reply.get("Errors") or ()}
        keys = ((file, (self.root + file.name, file.version)) for file in files)
        return [(file, why[key]) for file, key in keys if key in why]

    def delete_slots(self, slots: Sequence[int]) -> None:
        """Delete every version of the objects of slots."""
        if not self.versioned:  # deleting what is not there costs nothing and leaves nothing
            self.delete(File(name, 0) for slot in slots for name in slot_objects(slot))
            return
        folders = [slot_folder(array, slot) for slot in slots for array in ARRAYS]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda folder: list(self._versions(f"{folder}/")), folders)
            self.delete(file for files in found for file in files)

    def unfinished(self) -> list[str]:
        """Uploads in parts that nobody finished, by name."""
        return [key[len(self.root) :] for key, _ in self._uploads()]

    def end_unfinished(self) -> None:
        """Give up uploads that nobody finished; what is refused is noted in `left`."""
        refused = abort_uploads(self.folder, self._uploads())
        self.left += [f"{key[len(self.root) :]} (unfinished upload; {why})" for key, why in refused]

    def _uploads(self) -> list[Upload]:
        found, unlisted = unfinished_uploads(self.folder)
        if unlisted:
            self.doubt = self.doubt or f"unfinished uploads may not be listed ({unlisted})"
        return found


def _but_marks(files: Iterable[File], marks: list[File]) -> Iterator[File]:
    """What is no mark of a deletion; those are put aside."""
    for file in files:
        if file.is_mark:
            marks.append(file)
        else:
            yield file
