"""Read a large object of S3 into memory that is allocated once: several ranges at a time, each to its place.

s3fs joins the pieces of an answer, copies them into a buffer, and copies that again, and new memory costs more
processor time than the network. Here botocore, the library below s3fs, makes the same requests with the same settings
and credentials, and the next recording uses the memory of the last one. What botocore cannot read, s3fs reads, and
s3fs reports failures: errors are the same either way.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.storage.folder import Folder
from pipeline.storage.s3 import is_s3

PART_BYTES = 50 * 2**20
"""A request asks for this much at most."""
PARTS_AT_ONCE = 5
MAX_SPARE = 1.25
"""Memory of up to this many times an object's size is used for it."""
PIECE_BYTES = 1 << 18
"""Read at a time: small enough for a core's own cache."""
OWN_OPTIONS = {"config_kwargs"}
"""What `Folder` sets in s3fs. Where a user has configured more, by fsspec's own means, only s3fs knows it."""
CHECKSUMS = dict.fromkeys(("request_checksum_calculation", "response_checksum_validation"), "when_required")


class Memory:
    """Memory for one object at a time, kept for the next one: the system clears all memory that it hands out."""

    def __init__(self) -> None:
        self._kept, self._lock = bytearray(), threading.Lock()

    def take(self, size: int) -> NDArray[np.uint8]:
        """Memory for `size` bytes, (size,) uint8: what is kept, if nothing refers to it and it is not much larger."""
        with self._lock:
            if not size <= len(self._kept) <= MAX_SPARE * size or _is_referred_to(self._kept):
                self._kept = bytearray()
                self._kept = bytearray(size)
            return np.frombuffer(self._kept, np.uint8, size)


def _is_referred_to(memory: bytearray) -> bool:
    """Whether an array or memoryview shows this memory: Python then refuses to change its size."""
    try:
        memory.append(0)
    except BufferError:
        return True
    memory.pop()
    return False


MEMORY = Memory()


class _Changed(Exception):
    """The object is not the one that was listed, or not the same in all of its parts."""


def read_object(folder: Folder, name: str, size: int) -> Any:
    """The bytes of an object that was listed with this size. Raises what `folder.fs` raises."""
    data = _read_by_parts(folder, name, size) if size and is_s3(folder) else None
    return folder.fs.cat_file(folder.at(name)) if data is None else data


def _read_by_parts(folder: Folder, name: str, size: int) -> NDArray[np.uint8] | None:
    """The bytes, (size,) uint8; None where they cannot be read."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    if not set(folder.fs.storage_options) <= OWN_OPTIONS:
        return None
    bucket, _, key = folder.at(name).partition("/")
    data = MEMORY.take(size)

    def read_part(begin: int) -> str:
        return _read_part(client, {"Bucket": bucket, "Key": key}, data, begin)

    try:
        client = _client(_environment())
        with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="parts") as pool:
            states = set(pool.map(read_part, range(0, size, PART_BYTES)))
    except (BotoCoreError, ClientError, HTTPError, OSError, _Changed):
        return None
    data.flags.writeable = False  # as bytes and memory maps are: code is compiled for one kind
    return data if len(states) == 1 else None


def _read_part(client: Any, place: dict[str, str], data: NDArray[np.uint8], begin: int) -> str:
    """Read a part of an object into its place in `data`; returns the object's entity tag."""
    part = data.data[begin : begin + PART_BYTES]
    last = begin + len(part) - 1
    reply = client.get_object(**place, Range=f"bytes={begin}-{last}")
    if reply.get("ContentRange") != f"bytes {begin}-{last}/{len(data)}":
        reply["Body"].close()
        raise _Changed
    with closing(reply["Body"]) as body:
        filled = 0
        while filled < len(part):
            read = body.readinto(part[filled : filled + PIECE_BYTES])  # raises where the answer ends early
            if not read:
                raise _Changed
            filled += read
    return str(reply.get("ETag"))


def _environment() -> tuple[tuple[str, str], ...]:
    """The variables that decide which storage is reached, and how."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(("AWS_", "BOTO_"))))


@lru_cache(maxsize=1)
def _client(environment: tuple[tuple[str, str], ...]) -> Any:
    """A client for this environment. Making one takes longer than reading a small recording."""
    import botocore.session
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=10, **CHECKSUMS)
    return botocore.session.get_session().create_client("s3", config=config)
