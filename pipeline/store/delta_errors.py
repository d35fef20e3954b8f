"""Translate failures of Delta Lake into the errors of our storage; no message shows a full id."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.identity import SHORT_ID
from pipeline.storage.folder import StorageError, StorageUnavailable

FULL_ID = re.compile("[0-9a-f]{64}")
RETRIED = "retries, max_retries"
"""In messages of Delta Lake's object store, which retries only failures that may pass."""


@contextmanager
def translate_delta_errors(url: str, what: str) -> Iterator[None]:
    """Raise StorageUnavailable where the storage of the table at `url` does not answer, StorageError where it refuses.

    `what` completes "the table cannot be ...".
    """
    try:
        yield
    except Exception as error:
        if not is_storage_failure(error):
            raise
        text = one_line(error)
        if RETRIED in text:
            raise StorageUnavailable(f"{url}: the storage does not answer ({text}).") from None
        raise StorageError(
            f"{url}: the table cannot be {what} ({text}). No unfinished commit counts: fix the storage and run the "
            "same command again."
        ) from error


def is_storage_failure(error: Exception) -> bool:
    """Whether Delta Lake failed for a reason outside it (not a conflict, say, or another schema).

    Its engine raises such failures without a type of their own.
    """
    from deltalake.exceptions import DeltaError

    return type(error) in (Exception, DeltaError) or isinstance(error, OSError)


def one_line(error: Exception) -> str:
    """A message of Delta Lake in one line, without colours, with ids shortened."""
    text = re.sub(r"\s*\x1b\[\d+m↳?|\s*\n\s*", " ", str(error)).strip()
    return FULL_ID.sub(lambda match: match[0][:SHORT_ID], text)
