"""Fetch objects from object storage with the client that takes the least processor time.

s3fs takes 16 ms of a core for a shard of 7 MB, obstore (Apache's object_store behind Python) takes 5: more than it
takes to decompress one. obstore is an extra (`pip install 'persondays[s3]'`): s3fs fetches what obstore cannot,
and reports failures, so that errors are the same with and without it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pipeline.storage.folder import Folder
from pipeline.storage.s3 import is_s3

Fetch = Callable[[str], bytes | memoryview]
"""Returns the bytes of an object, by its name in the folder; raises FileNotFoundError or a StorageError."""

SECRETS = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
TIMEOUTS = {"timeout": "120 seconds", "connect_timeout": "10 seconds"}


def fetcher(folder: Folder) -> Fetch:
    """A function that fetches a folder's objects. Threads may share it."""
    return ObstoreFetch(folder) if is_s3(folder) and find_spec("obstore") is not None else folder.read


class ObstoreFetch:
    """Fetches by obstore, and by s3fs where that fails; by s3fs alone if obstore never succeeded."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.has_succeeded, self.is_off = folder, False, False
        options = folder.delta_options()
        allow_http = options.pop("AWS_ALLOW_HTTP", "false") == "true"
        of_files = [options.pop(name) for name in SECRETS if name in options]
        try:
            credentials = {"credential_provider": _current_credentials()} if of_files else {}
            self.store = _open(folder.url, options, TIMEOUTS | {"allow_http": allow_http}, credentials)
        except Exception:
            self.is_off = True

    def __call__(self, name: str) -> bytes | memoryview:
        """See Fetch."""
        if not self.is_off:
            try:
                data = memoryview(self.store.get(name).bytes())
                self.has_succeeded = True
                return data
            except FileNotFoundError:
                pass
            except Exception:
                self.is_off = not self.has_succeeded
        return self.folder.read(name)


def _current_credentials() -> Callable[[], dict[str, Any]]:
    """A function that returns the credentials of the standard files, which botocore renews before they expire.

    obstore finds all others, those of the environment and of the machine, and renews them by itself.
    """
    import botocore.session

    found = botocore.session.get_session().get_credentials()

    def current() -> dict[str, Any]:
        keys = found.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(UTC) + timedelta(minutes=1),  # less than five: obstore asks again every time
        }

    return current


def _open(url: str, options: dict[str, str], client: dict[str, Any], credentials: dict[str, Any]) -> Any:
    obstore: Any = import_module("obstore.store")
    url = url.replace("s3a://", "s3://", 1)
    retries = {"max_retries": 1}
    return obstore.from_url(url, config=options, client_options=client, retry_config=retries, **credentials)
