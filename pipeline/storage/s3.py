"""S3 requests beyond plain files: paged listings, object versions, bulk deletion, unfinished multipart uploads.

A storage may refuse some of them: a user may only read, or a server may not implement a request. Where work can
continue without an answer, the reason is returned in words.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline.storage.folder import KEYS_PER_DELETE, Folder
from pipeline.storage.retry import with_retry

Upload = tuple[str, str]
"""Key and id of a multipart upload."""

DELETES_AT_ONCE = 16
UPLOAD_MARKERS = ("KeyMarker", "UploadIdMarker")


@dataclass(frozen=True)
class FileVersion:
    """One version of a file, or a delete marker."""

    name: str
    """Relative to the folder."""
    size: int
    """Bytes."""
    version: str | None = None
    """None where the storage keeps no versions."""
    is_newest: bool = True
    is_delete_marker: bool = False


def is_s3(folder: Folder) -> bool:
    """Whether a folder is in an S3 bucket."""
    return folder.url.startswith(("s3://", "s3a://"))


class S3Client:
    """Requests about the objects below a folder. All can be repeated, so they wait for storage that is unavailable."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.bucket, _, path = folder.path.partition("/")
        self.prefix = f"{path}/" if path else ""

    def request(self, method: str, **arguments: Any) -> dict[str, Any]:
        """The reply to a request; raises StorageError where it is refused."""

        def call() -> dict[str, Any]:
            with self.folder.translate_errors():
                return self._call(method, **arguments)

        return with_retry(call)

    def try_request(self, method: str, **arguments: Any) -> dict[str, Any] | str:
        """The reply to a request, or in words why the storage refuses it."""

        def call() -> dict[str, Any] | str:
            with self.folder.translate_errors():
                try:
                    return self._call(method, **arguments)
                except PermissionError:
                    return "not permitted"
                except OSError as error:
                    if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL):
                        raise
                    return "not supported by this storage"

        return with_retry(call)

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        reply: dict[str, Any] = self.folder.fs.call_s3(method, Bucket=self.bucket, **arguments)
        return reply

    def list_files(self, below: str = "") -> Iterator[tuple[str, int]]:
        """Names and sizes (bytes) of the objects whose names start with `below`."""
        position: dict[str, str] = {}
        while True:
            page = self.request("list_objects_v2", Prefix=self.prefix + below, **position)
            for entry in page.get("Contents", ()):
                yield self._name(entry), int(entry["Size"])
            if not page.get("IsTruncated"):
                return
            position = {"ContinuationToken": page["NextContinuationToken"]}

    def list_versions(self, below: str = "") -> Iterator[FileVersion]:
        """All versions and delete markers of the objects whose names start with `below`."""
        position: dict[str, str] = {}
        while True:
            page = self.request("list_object_versions", Prefix=self.prefix + below, **position)
            for kind in ("Versions", "DeleteMarkers"):
                for entry in page.get(kind) or ():
                    size, newest = int(entry.get("Size") or 0), bool(entry["IsLatest"])
                    yield FileVersion(self._name(entry), size, entry["VersionId"], newest, kind == "DeleteMarkers")
            if not page.get("IsTruncated"):
                return
            position = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def versioning(self) -> tuple[bool, str]:
        """Whether the bucket may have versions that can be listed, and why that is unknown ("" where it is known).

        A bucket that ever kept versions says so; one that never did has no versioning status.
        """
        reply = self.try_request("get_bucket_versioning")
        if isinstance(reply, str):
            return False, f"whether the bucket keeps versions is unknown (s3:GetBucketVersioning: {reply})"
        if "Status" not in reply:
            return False, ""
        listed = self.try_request("list_object_versions", Prefix=self.prefix, MaxKeys=1)
        if isinstance(listed, str):
            return False, f"the bucket keeps versions that cannot be listed (s3:ListBucketVersions: {listed})"
        return True, ""

    def delete(self, files: Iterable[FileVersion]) -> list[tuple[FileVersion, str]]:
        """Delete versions, or plain files where `version` is None; returns those that are refused, and why.

        Deleting a plain file in a bucket with versions only adds a delete marker.
        """
        remaining, refused = iter(files), []
        with ThreadPoolExecutor(DELETES_AT_ONCE) as pool:
            while batch := list(islice(remaining, KEYS_PER_DELETE * DELETES_AT_ONCE)):
                parts = [batch[i : i + KEYS_PER_DELETE] for i in range(0, len(batch), KEYS_PER_DELETE)]
                refused += [file for part in pool.map(self._delete, parts) for file in part]
        return refused

    def _delete(self, files: list[FileVersion]) -> list[tuple[FileVersion, str]]:
        objects = [
            {"Key": self.prefix + file.name, **({"VersionId": file.version} if file.version else {})} for file in files
        ]
        reply = self.request("delete_objects", Delete={"Objects": objects, "Quiet": True})
        reasons = {(error["Key"], error.get("VersionId")): error.get("Code", "") for error in reply.get("Errors") or ()}
        keys = ((file, (self.prefix + file.name, file.version)) for file in files)
        return [(file, reasons[key]) for file, key in keys if key in reasons]

    def unfinished_uploads(self) -> tuple[list[Upload], str]:
        """Multipart uploads that were never completed, and the permission without which they cannot be listed.

        A plain listing does not show them, but the storage keeps their parts.
        """
        found: list[Upload] = []
        position: dict[str, str] = {}
        while True:
            page = self.try_request("list_multipart_uploads", Prefix=self.prefix, **position)
            if isinstance(page, str):
                return found, f"s3:ListBucketMultipartUploads: {page}"
            found += [(upload["Key"], upload["UploadId"]) for upload in page.get("Uploads") or ()]
            following = {name: page[f"Next{name}"] for name in UPLOAD_MARKERS if page.get(f"Next{name}")}
            if not page.get("IsTruncated") or following in ({}, position):
                return found, ""
            position = following

    def abort_uploads(self, uploads: Sequence[Upload]) -> list[tuple[str, str]]:
        """Abort multipart uploads, so that their parts are dropped; returns the keys that are refused, and why."""
        refused = []
        for key, upload in uploads:
            try:
                reply = self.try_request("abort_multipart_upload", Key=key, UploadId=upload)
            except FileNotFoundError:  # completed or aborted in the meantime
                continue
            if isinstance(reply, str):
                refused.append((key, f"s3:AbortMultipartUpload: {reply}"))
        return refused

    def _name(self, entry: dict[str, Any]) -> str:
        return str(entry["Key"])[len(self.prefix) :]
