"""How a process of torchrun ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.errors import UserError
from train.distributed.processes import require_usable_gpu

ALONE = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}

SCRIPT = """
import atexit
from train.distributed.process_exit import exit_without_destructors

class Library:
    def __del__(self): print("destructor")

def run():
    atexit.register(print, "handler")
    global library
    library = Library()
    print("work", end=" ")
    {end}

exit_without_destructors(run)
"""


@pytest.mark.parametrize(
    ("end", "status", "error"), [("return 0", 0, ""), ("return 3", 3, ""), ("raise ValueError('wrong')", 1, "wrong")]
)
def test_handlers_are_called_and_destructors_are_not(end: str, status: int, error: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(end=end)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "work handler\n")
    assert error in done.stderr


ONE_FAILS = """
import time
import torch
import torch.distributed as dist
from pipeline.errors import UserError
from train.distributed.processes import Processes

processes = Processes(threads=1)
processes.world_size, processes.device = 2, torch.device("{device}", 0)
dist.is_initialized = lambda: True
dist.destroy_process_group = lambda: (print("left the group", flush=True), time.sleep({wait}))
with processes.until_end():
    {end}
"""


def one_fails(device: str, end: str, wait: int = 600) -> subprocess.CompletedProcess[str]:
    script = ONE_FAILS.format(device=device, end=end, wait=wait)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300, env=ALONE
    )


@pytest.mark.parametrize(
    ("end", "error"),
    [("raise ValueError('torn window')", "ValueError: torn window"), ("raise UserError('bad day')", "error: bad day")],
)
def test_an_error_of_one_process_on_gpus_does_not_wait_for_the_others(end: str, error: str) -> None:
    """Leaving the group would block here for ten minutes, as NCCL does when peers wait in a collective."""
    done = one_fails("cuda", end)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().endswith(error)


def test_an_error_that_all_share_leaves_the_group() -> None:
    done = one_fails("cuda", "processes.fail('no store')", wait=0)
    assert (done.returncode, done.stdout) == (1, "left the group\n")
    assert "UserError: no store" in done.stderr


def test_on_cpus_an_error_of_one_process_leaves_the_group() -> None:
    done = one_fails("cpu", "raise ValueError('torn window')", wait=0)
    assert (done.returncode, done.stdout) == (1, "left the group\n")
    assert "ValueError: torn window" in done.stderr


def test_a_gpu_that_torch_cannot_use_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("torch can use a GPU here")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    require_usable_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    with pytest.raises(UserError, match=r"has an NVIDIA GPU .* cannot use it: the driver is too old"):
        require_usable_gpu(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    require_usable_gpu(tmp_path)
