"""Conformance of the checkpoint's format: by name, checked, complete or not there."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from train.checkpoint import format as ck
from train.checkpoint.saver import Saver


def a_model(seed: int = 0, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv1d(3, width, 3), nn.BatchNorm1d(width), nn.Flatten(), nn.LazyLinear(2))


def trained(
    seed: int = 0, steps: int = 3, kind: type[torch.optim.Optimizer] = torch.optim.Adam
) -> tuple[nn.Module, torch.optim.Optimizer]:
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
        ck.to_host(model.state_dict()), {"step": step, ck.SCORE: score}, ck.optimizer_by_name(model, optimizer)
    )


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_a_run_goes_on_to_the_bit_after_a_round_trip(tmp_path: Path, kind: type[torch.optim.Optimizer]) -> None:
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


def test_the_files_are_what_the_format_says(tmp_path: Path) -> None:
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


def test_the_copy_is_not_changed_by_later_steps() -> None:
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


def test_a_marker_with_a_flipped_bit_is_damaged_or_says_the_same(tmp_path: Path) -> None:
    """Its score alone is not checked twice: it decides what is best, never what is sound."""
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
    with pytest.raises(UserError, match="has not: 0"):
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
folder, step = Folder(sys.argv[1]), int(sys.argv[2])
"""
SAVING = """
write = Folder.write
def half(self, name, data):
    if name.endswith("state.json"): os.kill(os.getpid(), 9)
    write(self, name, data)
Folder.write = half
ck.save(folder, ck.Checkpoint({"w": torch.ones(2)}, {"step": step}))
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
def test_one_cut_off_is_no_checkpoint_and_the_others_stand(tmp_path: Path, doing: str, cut: int) -> None:
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


def test_no_checkpoint_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no complete one"):
        ck.open_checkpoint(str(tmp_path))
    ck.save(Folder(str(tmp_path)), held(*trained(), 3))
    with pytest.raises(UserError, match="no complete one with a validation loss"):
        ck.open_checkpoint(str(tmp_path), "best")


def test_a_failed_save_is_raised_at_the_next(tmp_path: Path) -> None:
    (tmp_path / "step-000000003").write_text("in the way")
    saver = Saver(Folder(str(tmp_path)), keep=2)
    saver.save(held(*trained(), 3))
    with pytest.raises(UserError, match="expected a folder"):
        saver.wait()
    saver.save(held(*trained(), 4))
    saver.wait()
    assert ck.open_checkpoint(str(tmp_path)).step == 4
