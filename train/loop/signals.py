"""How a run ends early: on a signal, with a checkpoint, or because a process takes no more steps.

| signal | meaning | exit status |
| --- | --- | --- |
| SIGINT | Ctrl-C | 130 |
| SIGTERM | this process, its machine or torchrun shuts down | 143: torchrun restarts it, unless torchrun stops too |
| SIGUSR1 | the whole run stops for now, as before pre-emption | 138; 0 under torchrun, which would restart it |
| | no step for `run.timeout_s` | 124: prints stacks, saves nothing |

Whichever process gets the signal, all processes save after the same step and exit alike.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

STATUS_TIMEOUT = 124
PR_SET_PDEATHSIG = 1
CHECKS_PER_TIMEOUT = 20
"""How often a watchdog checks its process within the timeout."""


def exit_status(number: int, by_torchrun: bool) -> int:
    """Return the exit status of a process that saved because of a signal; 0 for no signal."""
    return 0 if number == 0 or (by_torchrun and number == signal.SIGUSR1) else 128 + number


def stop_with_parent() -> None:
    """On Linux, have SIGTERM sent to this process when its parent dies, for example a torchrun killed by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class StopSignal:
    """Notes SIGINT, SIGTERM and SIGUSR1, so that a run can save after the current step and end.

    A second SIGINT ends the run at once. Other signals may arrive twice, because schedulers and torchrun forward them
    in several ways. The one process that `announces` prints a line, because step and save may take a while.
    """

    def __init__(self, announces: bool) -> None:
        self.number, self.announces = 0, announces

    def __enter__(self) -> StopSignal:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number == number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a third one ends the process without clean-up
            raise KeyboardInterrupt
        if self.number:
            return
        self.number = number
        if self.announces and sys.stderr is not None:
            text = f"\n{signal.Signals(number).name}: will save after this step or the next, then exit\n"
            with suppress(OSError):  # the terminal may be closed
                os.write(2, text.encode())  # the signal may have interrupted a print

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Watchdog:
    """Ends a process that does not call `beat` for `timeout_s`; the other processes would wait for it forever.

    It counts its own checks instead of reading the clock, so that a process that was suspended and continued is not
    taken for one that hangs. It prints the stacks of all threads, then exits with status 124.
    """

    def __init__(self, timeout_s: float, who: str) -> None:
        self.timeout_s, self.who = timeout_s, who
        self._beats, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def beat(self) -> None:
        """Report progress."""
        self._beats += 1

    def _watch(self) -> None:
        last, idle_checks = self._beats, 0
        while not self._done.wait(self.timeout_s / CHECKS_PER_TIMEOUT):
            last, idle_checks = self._beats, idle_checks + 1 if last == self._beats else 0
            if idle_checks >= CHECKS_PER_TIMEOUT:
                print(
                    f"error: {self.who} has taken no step for {self.timeout_s:g} s (run.timeout_s) and exits with "
                    f"status {STATUS_TIMEOUT}. Its stacks follow, most recent call first. A process in a collective "
                    "waits for another process, whose own output says more:",
                    file=sys.stderr,
                )
                faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                os._exit(STATUS_TIMEOUT)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
