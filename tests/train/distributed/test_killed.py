"""A run that lost one process, or all of them, ends with the same bits as one that lost none.

Four processes, because with two, no order of summation can differ.
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
    whole = run(store, tmp_path / "whole", processes, **ENGINES[engine])
    assert whole.returncode == 0, whole.stderr
    assert f"{processes} process(es)" in whole.stderr
    with background_run(
        store, tmp_path / "cut", processes, restarts=3, run__save_every=48, **ENGINES[engine]
    ) as torchrun:
        for checkpoints in (1, 4):
            wait_for(tmp_path / "cut", checkpoints)
            os.kill(random.choice(ranks_of(torchrun)), signal.SIGKILL)
        _, output = torchrun.communicate(timeout=600)
    assert torchrun.returncode == 0, output
    assert "resuming after" in output
    same_checkpoint(tmp_path / "whole", tmp_path / "cut", 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ["ddp", "zero-1"])
def test_the_same_command_resumes_after_all_are_killed(store: str, tmp_path: Path, engine: str) -> None:
    assert run(store, tmp_path / "whole", 4, **ENGINES[engine]).returncode == 0
    with background_run(store, tmp_path / "cut", 4, **ENGINES[engine]) as torchrun:
        wait_for(tmp_path / "cut", 2)
        os.killpg(torchrun.pid, signal.SIGKILL)
    assert run(store, tmp_path / "cut", 4, **ENGINES[engine]).returncode == 0
    same_checkpoint(tmp_path / "whole", tmp_path / "cut", 30)
