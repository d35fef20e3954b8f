"""Gathering with gradients, NT-Xent and synchronised BatchNorm over processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from train.distributed import collectives
from train.networks.batch_norm import CpuSyncBatchNorm

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("world", [2, 4])
def test_several_processes_equal_one_with_the_whole_batch(tmp_path: Path, world: int) -> None:
    command = [sys.executable, "-m", "tests.train.distributed.collective_checks", str(world), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr


def test_a_single_process_exchanges_nothing() -> None:
    x = torch.randn(5, 4, requires_grad=True)
    assert collectives.gather(x) is x
    assert (collectives.world_size(), collectives.rank()) == (1, 0)
    plain, synchronised = nn.BatchNorm1d(4), CpuSyncBatchNorm(4)
    windows = torch.randn(3, 4, 9)
    assert torch.equal(synchronised(windows), plain(windows))
    assert synchronised.running_var is not None
    assert plain.running_var is not None
    assert torch.equal(synchronised.running_var, plain.running_var)
