"""The first ten minutes on a GPU, tried on a CPU: every part runs, and one that fails or hangs stops no other."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.command import ROOT, module
from bench.gpu.first import PARTS, figures_of, run_part, table

COMPILED = ("bfloat16", "tf32")


@pytest.mark.parametrize("name", [name for name in PARTS if name not in COMPILED])
def test_every_part_runs(name: str) -> None:
    """In this process; `memory` comes last of those that set global switches, and sets them back."""
    found = list(figures_of(name, small=True))
    assert found
    assert not [figure for figure in found if figure.status == "fails"]
    assert len({figure.name for figure in found}) == len(found)


@pytest.mark.slow
def test_the_command_writes_one_json_and_prints_one_table(tmp_path: Path) -> None:
    flags = ("--small", "--minutes", 20, "--out", tmp_path / "first.json", "--only", "words", "bfloat16")
    command = module("bench.gpu.first", *flags)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads((tmp_path / "first.json").read_text())
    assert list(found["parts"]) == ["words", "bfloat16"]
    steps = {each["name"]: each for each in found["parts"]["bfloat16"]["figures"]}
    assert done.returncode == int(any(each["status"] == "fails" for each in steps.values()))
    assert "| words | random words that differ, of 16,384 | 0 | ok |" in done.stdout
    assert steps["16 windows, bfloat16, plain"]["unit"] == steps["32 windows, bfloat16, ours"]["unit"] == "windows/s"
    assert steps["32 windows, bfloat16, graphed"]["status"] == "needs CUDA"


def test_a_part_that_is_stopped_or_fails_says_so() -> None:
    stopped = run_part("waiting", small=True, limit_s=0.3)
    failed = run_part("no such part", small=True, limit_s=100)
    assert stopped["failed"] == "stopped after 0 s"
    assert "invalid choice: 'no such part'" in failed["failed"]
    assert table({"parts": {"waiting": stopped}})[-1] == "| waiting | the part | stopped after 0 s | fails |"
