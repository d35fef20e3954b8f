"""Wait for storage that is unavailable for a while: running work waits, for a limited time, and logs that it does.

Only work that can be repeated may wait: reading, and writing the same to the same place. A command's first request
to its storage does not wait, so that a wrong endpoint is reported within seconds.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.progress import duration
from pipeline.storage.folder import StorageUnavailable

PATIENCE_S = 180.0
FIRST_WAIT_S, MAX_WAIT_S = 0.5, 5.0
"""Between attempts."""

NEVER_SET = threading.Event()

Result = TypeVar("Result")
log = logging.getLogger(__name__)


def with_retry(
    work: Callable[[], Result], patience_s: float = PATIENCE_S, stopped: threading.Event = NEVER_SET
) -> Result:
    """The result of `work`, which is repeated while the storage is unavailable.

    Raises the last StorageUnavailable after `patience_s`, or as soon as `stopped` is set, and every other error at
    once.
    """
    wait, give_up = FIRST_WAIT_S, 0.0
    while True:
        try:
            result = work()
        except StorageUnavailable as error:
            if not give_up:
                give_up = time.monotonic() + patience_s
                log.warning("%s Waiting for it, up to %s.", error, duration(patience_s))
            elif time.monotonic() > give_up:
                raise
            if stopped.wait(wait * random.uniform(0.5, 1.0)):
                raise
            wait = min(2 * wait, MAX_WAIT_S)
        else:
            if give_up:
                log.warning("the storage answers again.")
            return result
