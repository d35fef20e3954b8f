"""How a run ends before its time: on a signal with a checkpoint, or because it stands still.

| signal | meaning | status |
| --- | --- | --- |
| SIGINT | Ctrl-C | 130 |
| SIGTERM | this process, its machine or torchrun goes | 143: a torchrun that was not told to go starts it again |
| SIGUSR1 | the whole run goes, for now | 138; 0 under torchrun, which would start it again |
| | stood still (`run.timeout_s`) | 124: said where; nothing was saved since the last checkpoint |

Whichever process is told, all save at the same step and leave alike.
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

STOOD_STILL = 124
PR_SET_PDEATHSIG = 1
LOOKS = 20
"""A watchdog's looks within its time."""


def exit_status(number: int, by_torchrun: bool) -> int:
    """The status of a process that saved because of a signal; 0 for none."""
    return 0 if number == 0 or (by_torchrun and number == signal.SIGUSR1) else 128 + number


def go_with_parent() -> None:
    """Have SIGTERM sent to this process when the one that started it dies, a SIGKILLed torchrun; on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class StopSignal:
    """Notes SIGINT, SIGTERM and SIGUSR1 (before pre-emption), so that a run can end at a step with a checkpoint.

    A second Ctrl-C ends the run at once. Schedulers and torchrun pass one signal on in several ways, so that others
    may come twice. One process of a run tells that it heard, since its step and its save take their time.
    """

    def __init__(self, tells: bool) -> None:
        self.number, self.tells = 0, tells

    def __enter__(self) -> StopSignal:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number == number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a third one waits for nothing
            raise KeyboardInterrupt
        if self.number:
            return
        self.number = number
        if self.tells and sys.stderr is not None:
            told = f"\n{signal.Signals(number).name}: saves after this step or the next, then leaves\n"
            with suppress(OSError):  # a terminal that is gone
                os.write(2, told.encode())  # print may be what was interrupted

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Watchdog:
    """Ends a process that does not call `beat` for so long: others that wait for it would do so for ever.

    It counts its own looks and not the clock, lest a process that was stopped as a whole, and continued, be taken for
    one that stands still. Before it ends the process with status 124 it writes where all threads stand.
    """

    def __init__(self, timeout_s: float, who: str) -> None:
        self.timeout_s, self.who = timeout_s, who
        self._beats, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def beat(self) -> None:
        """Say that something went on."""
        self._beats += 1

    def _watch(self) -> None:
        seen, still = self._beats, 0
        while not self._done.wait(self.timeout_s / LOOKS):
            seen, still = self._beats, still + 1 if seen == self._beats else 0
            if still >= LOOKS:
                print(
                    f"error: {self.who} has taken no step for {self.timeout_s:g} s (run.timeout_s) and is ended with "
                    f"status {STOOD_STILL}. It stood here, most recent call first; a process that waits in a "
                    "collective waits for another one, whose own lines say more:",
                    file=sys.stderr,
                )
                faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                os._exit(STOOD_STILL)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
