"""A run with companions on the DeepSpeed engine ends with the same bits if all its processes are killed on the way."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.train.objectives.test_cmc import located
from tests.train.runs import background_run, ranks_of, run, same_checkpoint, wait_for
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.embed.run import EmbedSettings, embed
from train.networks import NetworkSettings, make_network

SETTINGS: dict[str, Any] = {
    "engine__name": "deepspeed",
    "engine__zero_stage": 1,
    "network__preset": "transformer10",
    "network__width": 0.25,
    "data__windows_per_day": 8_000,
    "run__windows": 240,
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "nearby": {"objective__name": "simclr", "objective__simclr__positive": "nearby"},
    "same time, two encoders": {"objective__name": "cmc"},
    "vectors of a teacher": {"objective__name": "distil", "objective__distil__queue": 40},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two aligned days of each participant, of a wrist and a hip."""
    return located(str(tmp_path_factory.mktemp("made") / "store")).folder.url


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_same_command_resumes_after_all_are_killed(store: str, tmp_path: Path, name: str) -> None:
    settings = SETTINGS | OBJECTIVES[name]
    if settings["objective__name"] == "distil":
        settings["objective__distil__table"] = str(tmp_path / "table")
        teacher = make_network(NetworkSettings("transformer10", 0.25))
        embed(teacher, store, str(tmp_path / "table"), EmbedSettings(stride_s=5), Processes(1))
    undisturbed = run(store, tmp_path / "undisturbed", 2, **settings)
    assert undisturbed.returncode == 0, undisturbed.stderr
    with background_run(store, tmp_path / "killed", 2, held={12: tmp_path / "never"}, **settings) as torchrun:
        wait_for(tmp_path / "killed", 2)
        for process in (torchrun.pid, *ranks_of(torchrun)):
            os.kill(process, signal.SIGKILL)
    assert run(store, tmp_path / "killed", 2, **settings).returncode == 0
    same_checkpoint(tmp_path / "undisturbed", tmp_path / "killed", 15)
    assert "engine deepspeed" in undisturbed.stderr
    assert ck.open_checkpoint(str(tmp_path / "killed")).step == 15
