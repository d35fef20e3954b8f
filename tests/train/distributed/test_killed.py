"""A run of which one process is killed, or all of them, ends with the same bits as an undisturbed one.

Four processes, because the order of summation cannot differ with two. Kills come while the run waits at a step.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from tests.train.runs import background_run, ranks_of, run, same_checkpoint, wait_for

ENGINES = {"ddp": {"engine__name": "ddp"}} | {
    f"zero-{stage}": {"engine__name": "deepspeed", "engine__zero_stage": stage} for stage in (0, 1, 2)
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("engine", "processes"), [("ddp", 2), *((name, 4) for name in ENGINES)])
def test_a_killed_rank_is_restarted(store: str, tmp_path: Path, engine: str, processes: int) -> None:
    """torchrun restarts it twice, from the last checkpoint; it saves at other steps than the undisturbed run."""
    undisturbed = run(store, tmp_path / "undisturbed", processes, **ENGINES[engine])
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert f"{processes} process(es)" in undisturbed.stderr
    gates = {5: tmp_path / "first", 14: tmp_path / "second"}
    saved = {"run__save_every": 48} | ENGINES[engine]  # after 3, 6, 9, ... steps
    with background_run(store, tmp_path / "killed", processes, restarts=3, held=gates, **saved) as torchrun:
        for step, gate in gates.items():
            wait_for(tmp_path / "killed", step // 3)
            os.kill(random.choice(ranks_of(torchrun)), signal.SIGKILL)
            gate.touch()
        _, output = torchrun.communicate(timeout=600)
    assert torchrun.returncode == 0, output
    assert output.count("resuming after") == 2
    same_checkpoint(tmp_path / "undisturbed", tmp_path / "killed", 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ["ddp", "zero-1"])
def test_the_same_command_resumes_after_all_are_killed(store: str, tmp_path: Path, engine: str) -> None:
    assert run(store, tmp_path / "undisturbed", 4, **ENGINES[engine]).returncode == 0
    gate = tmp_path / "gate"  # never opened
    with background_run(store, tmp_path / "killed", 4, held={12: gate}, **ENGINES[engine]) as torchrun:
        wait_for(tmp_path / "killed", 2)
        for process in (torchrun.pid, *ranks_of(torchrun)):
            os.kill(process, signal.SIGKILL)
    assert run(store, tmp_path / "killed", 4, **ENGINES[engine]).returncode == 0
    same_checkpoint(tmp_path / "undisturbed", tmp_path / "killed", 30)
