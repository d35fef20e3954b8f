"""Several machines, each a torchrun of its own on loopback: one is lost and comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.infra.test_job_submit import free_ports
from tests.train.runs import overrides, ranks_of, run, same_checkpoint, wait_for
from train.distributed.processes import FRESH_STORE, hang_warning

LONG = {"run__windows": 960, "run__validate_every": 960, "run__save_every": 80}


def wait_for_listener(port: int) -> None:
    """Until somebody listens there."""
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as end:
            if end.connect_ex(("localhost", port)) == 0:
                return
        assert time.monotonic() < deadline, "the first torchrun does not listen"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_machine_is_lost_and_comes_back(store: str, tmp_path: Path) -> None:
    """With its torchrun and all of its processes, at once; the other one waits for it at the rendezvous."""
    whole = run(store, tmp_path / "whole", 2, **LONG)
    assert whole.returncode == 0, whole.stderr
    (port,) = free_ports(1)
    flags = [part for override in overrides(LONG) for part in ("--set", override)]
    torchrun = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=3"]
    torchrun += ["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", "--rdzv-id=a-run"]
    train = ["-m", "train", "demo", "--store", store, "--checkpoints", str(tmp_path / "cut"), *flags]
    told = [tmp_path / name for name in ("first", "lost", "back")]

    def machine(number: int) -> subprocess.Popen[bytes]:
        with told[number].open("wb") as out:
            return subprocess.Popen(
                [sys.executable, *torchrun, *train],
                env=os.environ | {FRESH_STORE: "1"}, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    machines = [machine(0)]
    try:
        wait_for_listener(port)  # who keeps the rendezvous may not be lost
        machines.append(machine(1))
        wait_for(tmp_path / "cut", 2)
        for process in (machines[1].pid, *ranks_of(machines[1])):  # each has a session of its own
            os.kill(process, signal.SIGKILL)
        machines.append(machine(2))
        assert [machines[number].wait(timeout=400) for number in (0, 2)] == [0, 0], told[0].read_text()
    finally:
        for each in machines:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()
    text = "".join(path.read_text() for path in told)
    assert "going on after" in text
    assert "may meet at the store of the dead" not in text
    same_checkpoint(tmp_path / "whole", tmp_path / "cut", 60)


def test_a_torchrun_of_several_machines_is_told_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("GROUP_WORLD_SIZE", "2"), ("TORCHELASTIC_MAX_RESTARTS", "3"), (FRESH_STORE, "0")):
        monkeypatch.setenv(name, value)
    assert f"{FRESH_STORE}=1 is not set" in hang_warning()
    for name, value in (("GROUP_WORLD_SIZE", "1"), ("TORCHELASTIC_MAX_RESTARTS", "0"), (FRESH_STORE, "1")):
        with monkeypatch.context() as one:
            one.setenv(name, value)
            assert hang_warning() == ""
