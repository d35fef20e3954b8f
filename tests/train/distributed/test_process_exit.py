"""How a process of torchrun ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import atexit
from train.distributed.process_exit import exit_without_destructors

class Library:
    def __del__(self): print("destructor")

def run():
    atexit.register(print, "handler")
    global library
    library = Library()
    print("work", end=" ")
    {end}

exit_without_destructors(run)
"""


@pytest.mark.parametrize(
    ("end", "status", "error"), [("return 0", 0, ""), ("return 3", 3, ""), ("raise ValueError('wrong')", 1, "wrong")]
)
def test_handlers_are_called_and_destructors_are_not(end: str, status: int, error: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(end=end)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "work handler\n")
    assert error in done.stderr
