"""Conformance of the checkpoint format: by name, checked, atomic."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from train.checkpoint import format as ck
from train.checkpoint.saver import Saver
from train.checkpoint.state import State, StreamFacts, state_from_json


def a_model(seed: int = 0, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv1d(3, width, 3), nn.BatchNorm1d(width), nn.Flatten(), nn.LazyLinear(2))


def trained(seed: int = 0, steps: int = 3, kind: Any = torch.optim.Adam) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = a_model(seed)
    model(torch.zeros(2, 3, 10))
    optimizer = kind(
        model.parameters(), lr=0.1, **({"amsgrad": True} if kind is torch.optim.Adam else {"momentum": 0.9})
    )
    more(model, optimizer, steps, seed)
    return model, optimizer


def more(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 3, 10, generator=random)).square().mean().backward()
        optimizer.step()


def held(model: nn.Module, optimizer: torch.optim.Optimizer, step: int, score: float | None = None) -> ck.Checkpoint:
    return ck.Checkpoint(
        ck.to_host(model.state_dict()), State(step, validation_loss=score), ck.optimizer_by_name(model, optimizer)
    )


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_training_continues_to_the_bit_after_a_round_trip(tmp_path: Path, kind: type[torch.optim.Optimizer]) -> None:
    model, optimizer = trained(0, 3, kind)
    ck.save(Folder(str(tmp_path)), held(model, optimizer, 3))
    more(model, optimizer, 4, seed=9)
    back = ck.open_checkpoint(str(tmp_path))
    other, fresh = trained(5, 0, kind)
    ck.load_model(other, back.model)
    ck.load_optimizer(other, fresh, back.optimizer)
    more(other, fresh, 4, seed=9)
    for (name, left), right in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(left, right), name


def test_the_files_follow_the_format(tmp_path: Path) -> None:
    model, optimizer = trained()
    ck.save(Folder(str(tmp_path)), held(model, optimizer, 1200, 0.5))
    folder = tmp_path / "step-000001200"
    assert {path.name for path in folder.iterdir()} == {ck.MODEL, ck.OPTIMIZER, ck.STATE, ck.MARKER}
    assert set(safetensors.torch.load_file(folder / ck.MODEL)) == set(model.state_dict())
    names = {name for name, _ in model.named_parameters()}
    fields = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"}
    assert set(safetensors.torch.load_file(folder / ck.OPTIMIZER)) == {
        f"{name}/{key}" for name in names for key in fields
    }
    marker = json.loads((folder / ck.MARKER).read_text())
    for file in (ck.MODEL, ck.OPTIMIZER, ck.STATE):
        data = (folder / file).read_bytes()
        assert marker["files"][file] == {"size": len(data), "sha256": sha256(data).hexdigest()}


def test_later_steps_do_not_change_the_copy() -> None:
    model, optimizer = trained()
    kept = held(model, optimizer, 3)
    before = kept.model["0.weight"].clone(), kept.optimizer["0.weight"]["exp_avg"].clone()
    more(model, optimizer, 2, seed=1)
    assert torch.equal(kept.model["0.weight"], before[0])
    assert torch.equal(kept.optimizer["0.weight"]["exp_avg"], before[1])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    ck.save(Folder(str(tmp_path)), held(*trained(), 3))
    file = tmp_path / "step-000000003" / ck.MODEL
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=r"model\.safetensors.*damaged"):
        ck.open_checkpoint(str(tmp_path))


def test_a_marker_with_a_flipped_bit_is_damaged_or_equivalent(tmp_path: Path) -> None:
    """Only the score has no checksum: it decides which checkpoint is best, not which is intact."""
    model, optimizer = trained()
    folder, whole = Folder(str(tmp_path)), held(model, optimizer, 3, 0.5)
    ck.save(folder, whole)
    file, damaged = tmp_path / "step-000000003" / ck.MARKER, 0
    data = file.read_bytes()
    for place in range(len(data)):
        file.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        try:
            found, _ = ck.newest(folder)
            assert torch.equal(found.model["0.weight"], whole.model["0.weight"])
        except ck.DamagedCheckpoint:
            damaged += 1
    assert damaged > 0.8 * len(data)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    model, optimizer = trained()
    other = a_model(width=8)
    other(torch.zeros(2, 3, 10))
    with pytest.raises(UserError, match="another network"):
        ck.load_model(other, model.state_dict())
    with pytest.raises(UserError, match="does not have: 0"):
        ck.load_optimizer(
            nn.Linear(2, 2), torch.optim.Adam(nn.Linear(2, 2).parameters()), ck.optimizer_by_name(model, optimizer)
        )


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    model, optimizer = trained()
    for step, score in ((1, 0.9), (2, 0.4), (3, 0.6), (4, None), (5, 0.7)):
        ck.save(folder, held(model, optimizer, step, score))
    (tmp_path / "step-000000003" / ck.MARKER).unlink()
    ck.prune(folder, keep=2)
    assert sorted(ck.complete(folder)) == [2, 4, 5]
    assert sorted(path.name for path in tmp_path.iterdir()) == [ck.name_of(step) for step in (2, 4, 5)]
    assert ck.open_checkpoint(str(tmp_path)).step == 5
    assert ck.open_checkpoint(str(tmp_path), "best").step == 2
    assert ck.open_checkpoint(str(tmp_path / "step-000000004")).step == 4


CUT_OFF = """
import os, sys, torch
from pipeline.storage.folder import Folder
from train.checkpoint import format as ck
from train.checkpoint.state import State
folder, step = Folder(sys.argv[1]), int(sys.argv[2])
"""
SAVING = """
write = Folder.write
def half(self, name, data):
    if name.endswith("state.json"): os.kill(os.getpid(), 9)
    write(self, name, data)
Folder.write = half
ck.save(folder, ck.Checkpoint({"w": torch.ones(2)}, State(step)))
"""
PRUNING = """
remove = type(folder.fs).rm_file
def one(self, path):
    remove(self, path)
    os.kill(os.getpid(), 9)
type(folder.fs).rm_file = one
ck.prune(folder, 1)
"""


@pytest.mark.parametrize(
    ("doing", "cut"), [(SAVING, 5), (SAVING, 4), (PRUNING, 3)], ids=["saving", "saving again", "pruning"]
)
def test_an_interrupted_save_is_not_a_checkpoint_and_the_others_stay(tmp_path: Path, doing: str, cut: int) -> None:
    folder = Folder(str(tmp_path))
    for step in (3, 4):
        ck.save(folder, held(*trained(), step))
    done = subprocess.run([sys.executable, "-c", CUT_OFF + doing, str(tmp_path), str(cut)], check=False)
    assert done.returncode == -9
    assert any((tmp_path / ck.name_of(cut)).iterdir())
    found, damaged = ck.newest(folder)
    assert found.step == (3 if cut == 4 else 4)
    assert damaged == {}
    assert sorted(ck.marked(folder)) == [step for step in (3, 4) if step != cut]


def test_a_folder_without_checkpoints_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no complete one"):
        ck.open_checkpoint(str(tmp_path))
    ck.save(Folder(str(tmp_path)), held(*trained(), 3))
    with pytest.raises(UserError, match="no complete one with a validation loss"):
        ck.open_checkpoint(str(tmp_path), "best")


def test_the_error_of_a_save_is_raised_by_the_next_call(tmp_path: Path) -> None:
    (tmp_path / "step-000000003").write_text("in the way")
    saver = Saver(Folder(str(tmp_path)), keep=2)
    saver.save(held(*trained(), 3))
    with pytest.raises(UserError, match="expected a folder"):
        saver.wait()
    saver.save(held(*trained(), 4))
    saver.wait()
    assert ck.open_checkpoint(str(tmp_path)).step == 4


OLD_STATE = """
{
  "step": 30,
  "windows_seen": 480,
  "windows_digest": "0123456789abcdef",
  "settings": {"name": "demo", "seed": 0, "network": {"preset": "harnet10", "width": 0.0625}},
  "validation_loss": 0.69,
  "validation": {"real": {"loss": 0.69, "windows": 400}},
  "best": [0.68, 320],
  "store": {"fingerprint": "fedcba9876543210", "key_check": "00ff"},
  "stream": {"table_version": 3, "lanes": 4, "members": 8},
  "participants": 4,
  "code": "persondays 0.1.0",
  "versions": {"torch": "2.13.0", "device": "cpu"},
  "devices": {"x86_64": 1},
  "machines": 1,
  "world_size": 1,
  "threads": 1,
  "validation_participants": ["aa", "bb"]
}
"""


def test_an_old_state_can_be_read(tmp_path: Path) -> None:
    """Written before `slots_end`, `members_digest`, `validation_slots_withdrawn` and `init` existed."""
    table = json.loads(OLD_STATE)
    state = state_from_json(table)
    assert (state.step, state.windows_seen, state.best) == (30, 480, (0.68, 320))
    assert state.facts.stream == StreamFacts(table_version=3, lanes=4, members=8)
    assert state.facts.validation_participants == ["aa", "bb"]
    assert state.facts.validation_slots_withdrawn == []
    assert state.to_json() == table | {"validation_slots_withdrawn": [], "init": ""}
    assert list(state.to_json())[: len(table)] == list(table), "in the same order"
    ck.save(Folder(str(tmp_path)), ck.Checkpoint({"w": torch.ones(2)}, state))
    assert ck.open_checkpoint(str(tmp_path)).state == state


def test_unknown_keys_of_a_state_are_ignored_and_a_state_without_a_step_is_damaged(tmp_path: Path) -> None:
    assert state_from_json({"step": 1, "of a later release": {}}) == State(1)
    ck.save(Folder(str(tmp_path)), ck.Checkpoint({"w": torch.ones(2)}, State(3)))
    folder = tmp_path / ck.name_of(3)
    (folder / ck.STATE).write_text("{}")
    marker = json.loads((folder / ck.MARKER).read_text())
    marker["files"][ck.STATE] = {"size": 2, "sha256": sha256(b"{}").hexdigest()}
    (folder / ck.MARKER).write_text(json.dumps(marker))
    with pytest.raises(ck.DamagedCheckpoint, match=r"state\.json: expected a checkpoint's state"):
        ck.read(Folder(str(tmp_path)), 3)
