"""Whole objects from object storage, by the client that takes least of a processor.

s3fs takes 16 ms of a core for a shard of 7 MB, obstore (Apache's object_store behind Python) 5: more than it takes to
decompress one. obstore is an extra (`pip install 'persondays[s3]'`): what it cannot do, s3fs does, and
s3fs tells what is wrong, so that errors read alike with and without it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pipeline.storage.folder import Folder

Fetch = Callable[[str], bytes | memoryview]
"""The bytes of an object, by its name in the folder; raises FileNotFoundError or a StorageError."""

PATIENCE = {"timeout": "120 seconds", "connect_timeout": "10 seconds"}


def fetcher(folder: Folder) -> Fetch:
    """What fetches a folder's objects. Threads may share it."""
    by_obstore = folder.url.startswith(("s3://", "s3a://")) and find_spec("obstore") is not None
    return ObstoreFetch(folder) if by_obstore else folder.read


class ObstoreFetch:
    """Fetches by obstore, and by s3fs what that fails to give; by s3fs alone if obstore never gave anything."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.gave, self.off = folder, False, False
        options = folder.delta_options()
        allow_http = options.pop("AWS_ALLOW_HTTP", "false") == "true"
        try:
            self.store = _open(folder.url, options, PATIENCE | {"allow_http": allow_http})
        except Exception:
            self.off = True

    def __call__(self, name: str) -> bytes | memoryview:
        """See Fetch."""
        if not self.off:
            try:
                data = memoryview(self.store.get(name).bytes())
                self.gave = True
                return data
            except FileNotFoundError:
                pass
            except Exception:
                self.off = not self.gave
        return self.folder.read(name)


def _open(url: str, options: dict[str, str], client: dict[str, Any]) -> Any:
    obstore: Any = import_module("obstore.store")
    url = url.replace("s3a://", "s3://", 1)
    return obstore.from_url(url, config=options, client_options=client, retry_config={"max_retries": 1})
