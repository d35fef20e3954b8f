"""An S3 server for tests, set in this process's environment variables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.s3_server import S3Server


@contextmanager
def s3_here(folder: Path, *buckets: str) -> Iterator[S3Server]:
    """Run a server over `folder` with these buckets, and restore the environment afterwards.

    s3fs caches its clients with their endpoints, so the cache is cleared before and after.
    """
    import s3fs

    before, server = dict(os.environ), S3Server(folder)
    try:
        server.start()
        os.environ.update(server.environment)
        s3fs.S3FileSystem.clear_instance_cache()
        for bucket in buckets:
            s3fs.S3FileSystem().mkdir(bucket)
        yield server
    finally:
        server.kill()
        s3fs.S3FileSystem.clear_instance_cache()
        os.environ.clear()
        os.environ.update(before)
