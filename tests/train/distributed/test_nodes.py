"""Several machines, each simulated by a torchrun on loopback: one is lost and replaced."""

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
from tests.train.runs import RECIPE, overrides, ranks_of, run, same_checkpoint, trainer, wait_for
from train.distributed.processes import FRESH_STORE, hang_warning

LONG = {"run__windows": 960, "run__validate_every": 960, "run__save_every": 80}


def wait_for_listener(port: int) -> None:
    """Wait until a process listens on the port."""
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as end:
            if end.connect_ex(("localhost", port)) == 0:
                return
        assert time.monotonic() < deadline, "the first torchrun does not listen"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_continues_when_a_lost_machine_is_replaced(store: str, tmp_path: Path) -> None:
    """It dies with its torchrun and all processes at once; the other machine waits for it at the rendezvous."""
    undisturbed = run(store, tmp_path / "undisturbed", 2, **LONG)
    assert undisturbed.returncode == 0, undisturbed.stderr
    (port,) = free_ports(1)
    flags = [part for override in overrides(LONG) for part in ("--set", override)]
    torchrun = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=3"]
    torchrun += ["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", "--rdzv-id=a-run"]
    gate = tmp_path / "gate"
    train = [*trainer({13: gate}), RECIPE, "--store", store, "--checkpoints", str(tmp_path / "interrupted"), *flags]
    outputs = [tmp_path / name for name in ("first", "lost", "back")]

    def machine(number: int) -> subprocess.Popen[bytes]:
        with outputs[number].open("wb") as out:
            return subprocess.Popen(
                [sys.executable, *torchrun, *train],
                env=os.environ | {FRESH_STORE: "1"},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    machines = [machine(0)]
    try:
        wait_for_listener(port)  # this machine hosts the rendezvous and must not be lost
        machines.append(machine(1))
        wait_for(tmp_path / "interrupted", 2)
        for process in (machines[1].pid, *ranks_of(machines[1])):  # each has its own session
            os.kill(process, signal.SIGKILL)
        gate.touch()
        machines.append(machine(2))
        assert [machines[number].wait(timeout=400) for number in (0, 2)] == [0, 0], outputs[0].read_text()
    finally:
        for each in machines:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
            each.wait()
    text = "".join(path.read_text() for path in outputs)
    assert "resuming after" in text
    assert "may connect to the old rendezvous store" not in text
    same_checkpoint(tmp_path / "undisturbed", tmp_path / "interrupted", 60)


def test_a_torchrun_on_several_machines_without_the_variable_gets_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("GROUP_WORLD_SIZE", "2"), ("TORCHELASTIC_MAX_RESTARTS", "3"), (FRESH_STORE, "0")):
        monkeypatch.setenv(name, value)
    assert f"{FRESH_STORE}=1 is not set" in hang_warning()
    for name, value in (("GROUP_WORLD_SIZE", "1"), ("TORCHELASTIC_MAX_RESTARTS", "0"), (FRESH_STORE, "1")):
        with monkeypatch.context() as one:
            one.setenv(name, value)
            assert hang_warning() == ""
