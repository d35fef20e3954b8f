"""What S3 is asked directly: names page by page, and uploads in parts that nobody finished, which no listing shows.

A request may be refused (an auditor may read and no more; some storages do not know it): that is told in words
where the work can go on without an answer.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry

Upload = tuple[str, str]
"""Key and upload id."""
MARKERS = ("KeyMarker", "UploadIdMarker")


def is_s3(folder: Folder) -> bool:
    """Whether a folder is in a bucket of S3."""
    return folder.url.startswith(("s3://", "s3a://"))


def place_of(folder: Folder) -> tuple[str, str]:
    """A folder's bucket, and the prefix of its keys."""
    bucket, _, prefix = folder.path.partition("/")
    return bucket, f"{prefix}/" if prefix else ""


def ask(folder: Folder, what: str, **how: Any) -> dict[str, Any] | str:
    """The reply to a request, or in words why the storage refuses it; storage that is away is waited for."""
    bucket, _ = place_of(folder)

    def once() -> dict[str, Any] | str:
        with folder.translate_errors():
            try:
                reply: dict[str, Any] = folder.fs.call_s3(what, Bucket=bucket, **how)
                return reply
            except PermissionError:
                return "not permitted"
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL):
                    raise
                return "not known to this storage"

    return with_retry(once)


def pages(folder: Folder, below: str) -> Iterator[tuple[str, int]]:
    """Names below a folder, and their bytes."""
    bucket, root = place_of(folder)
    more: dict[str, str] = {}

    def next_page() -> dict[str, Any]:
        with folder.translate_errors():
            page: dict[str, Any] = folder.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{root}{below}/", **more)
            return page

    while True:
        page = with_retry(next_page)
        for entry in page.get("Contents", ()):
            yield entry["Key"][len(root) :], int(entry["Size"])
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def unfinished_uploads(folder: Folder) -> tuple[list[Upload], str]:
    """Uploads below a folder that nobody has completed, and which permission is missing to know of them, if one is."""
    found: list[Upload] = []
    more: dict[str, str] = {}
    while is_s3(folder):
        page = ask(folder, "list_multipart_uploads", Prefix=place_of(folder)[1], **more)
        if isinstance(page, str):
            return found, f"s3:ListBucketMultipartUploads: {page}"
        found += [(upload["Key"], upload["UploadId"]) for upload in page.get("Uploads") or ()]
        after = {name: page[f"Next{name}"] for name in MARKERS if page.get(f"Next{name}")}
        if not page.get("IsTruncated") or after in ({}, more):
            break
        more = after
    return found, ""


def abort_uploads(folder: Folder, uploads: Sequence[Upload]) -> list[tuple[str, str]]:
    """End unfinished uploads, so that nobody keeps their parts; gives the keys of those that are refused, and why."""
    refused = []
    for key, upload in uploads:
        try:
            reply = ask(folder, "abort_multipart_upload", Key=key, UploadId=upload)
        except FileNotFoundError:  # completed or ended meanwhile
            continue
        if isinstance(reply, str):
            refused.append((key, f"s3:AbortMultipartUpload: {reply}"))
    return refused
