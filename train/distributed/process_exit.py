"""The end of a process that torchrun started."""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from pipeline.errors import UserError


def exit_without_destructors(run: Callable[[], int]) -> None:
    """Run, and end the process with the status that `run` returns; 1 if it raises.

    Python's own handlers of the exit are called, but the destructors of C++ libraries are not. With DeepSpeed on a busy
    machine, about 1 process in 30 aborts in one of them ("terminate called without an active exception"), and torchrun
    then reports a run as failed that has saved everything. Call this before torch is imported.
    """
    status = 1

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(leave)  # the first to be registered is the last to be called
    status = run()


def leave_at_once(error: BaseException) -> NoReturn:
    """Report an error, as the command line would, and end the process with status 1, without any clean-up."""
    if isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
