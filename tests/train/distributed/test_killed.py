"""Killed and back: a run that lost a process, or all of them, ends as one that never did, to the bit.

Four processes, because two cannot fail: a sum of two does not depend on their order.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from tests.train.runs import ranks_of, run, same_checkpoint, under_way, wait_for

ENGINES = {"ddp": {"engine__name": "ddp"}} | {
    f"zero-{stage}": {"engine__name": "deepspeed", "engine__zero_stage": stage} for stage in (0, 1, 2)
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("engine", "processes"), [("ddp", 2), *((name, 4) for name in ENGINES)])
def test_a_rank_that_is_killed_is_started_again(store: str, tmp_path: Path, engine: str, processes: int) -> None:
    """By torchrun, twice, from the last checkpoint; with other portions of saving than the run that was left alone."""
    whole = run(store, tmp_path / "whole", processes, **ENGINES[engine])
    assert whole.returncode == 0, whole.stderr
    assert f"{processes} process(es)" in whole.stderr
    with under_way(store, tmp_path / "cut", processes, restarts=3, run__save_every=48, **ENGINES[engine]) as torchrun:
        for checkpoints in (1, 4):
            wait_for(tmp_path / "cut", checkpoints)
            os.kill(random.choice(ranks_of(torchrun)), signal.SIGKILL)
        _, told = torchrun.communicate(timeout=600)
    assert torchrun.returncode == 0, told
    assert "going on after" in told
    same_checkpoint(tmp_path / "whole", tmp_path / "cut", 30)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ["ddp", "zero-1"])
def test_all_are_killed_and_the_same_command_goes_on(store: str, tmp_path: Path, engine: str) -> None:
    assert run(store, tmp_path / "whole", 4, **ENGINES[engine]).returncode == 0
    with under_way(store, tmp_path / "cut", 4, **ENGINES[engine]) as torchrun:
        wait_for(tmp_path / "cut", 2)
        os.killpg(torchrun.pid, signal.SIGKILL)
    assert run(store, tmp_path / "cut", 4, **ENGINES[engine]).returncode == 0
    same_checkpoint(tmp_path / "whole", tmp_path / "cut", 30)
