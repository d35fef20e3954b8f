"""The lease of a store: one holder at a time, who is replaced only when dead or silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from pipeline.store.lease import Lease, LeaseLost

HOLD = """
import sys, time
from pipeline.store.lease import Lease
from pipeline.storage.folder import Folder
with Lease(Folder(sys.argv[1]), ttl_s=1.0, heartbeat_s=0.1) as lease:
    print("held", flush=True)
    sys.stdin.readline()
    lease.check()
"""


def holder(folder: Folder) -> subprocess.Popen[str]:
    """A process that holds the lease until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "store"))


def test_a_second_holder_is_refused_while_the_first_lives(folder: Folder) -> None:
    process = holder(folder)
    with pytest.raises(UserError, match="another run"), Lease(folder, ttl_s=60, heartbeat_s=0.1):
        pass
    assert process.communicate("go\n") == ("", "")
    with Lease(folder) as lease:
        assert lease.epoch == 2


def test_a_killed_holder_on_this_machine_is_taken_over_at_once(folder: Folder) -> None:
    process = holder(folder)
    process.kill()
    process.wait()
    with Lease(folder, ttl_s=3600) as lease:
        lease.check()
        assert lease.epoch == 2


def test_a_silent_holder_on_another_machine_is_taken_over_and_cannot_commit(folder: Folder) -> None:
    process = holder(folder)
    (record,) = (name for name in folder.names("lease") if "." not in name)
    folder.write(record, b'{"owner": "x", "host": "another machine", "process": "1:1"}')
    os.kill(process.pid, signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    with Lease(folder, ttl_s=0.8, heartbeat_s=0.1):
        os.kill(process.pid, signal.SIGCONT)
        _, errors = process.communicate("go\n")
        assert process.returncode != 0
        assert LeaseLost.__name__ in errors


def test_create_has_one_winner(folder: Folder) -> None:
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda name: folder.create("prize", name.encode()), map(str, range(16))))
    assert sum(won) == 1
    assert folder.read("prize").decode() == str(won.index(True))
    assert folder.names() == ["prize"]
