"""The benchmark of the training step times what it says: a compiled row has graphs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from bench.command import ROOT
from bench.train.cell import Cell, require_compiled
from bench.train.fused import measure
from train.recipe import load_recipe

CELL = """
import json
from bench.train.cell import Cell, measured
from torch._dynamo.utils import counters

cell = Cell("ours", "harnet5", 0.0625, 16, "float32", True, 1, 1, 1)
found = measured(cell)
print(json.dumps({"graphs": counters["stats"]["unique_graphs"], "flop": found["flop"]}))
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_a_compiled_cell_compiles_although_its_operations_were_counted() -> None:
    done = subprocess.run([sys.executable, "-c", CELL], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["graphs"] > 0
    assert found["flop"] > 0


def test_a_compiled_cell_without_graphs_is_refused() -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    require_compiled(Cell("ours", "harnet5", 0.0625, 16, "float32", False, 1, 1, 1))
    with pytest.raises(RuntimeError, match="nothing was compiled"):
        require_compiled(Cell("ours", "harnet5", 0.0625, 16, "float32", True, 1, 1, 1))


def test_fused_parts_are_captured_and_timed_in_turns() -> None:
    """Without a compiler: every part is one graph, and has a ratio."""
    sets = ["network.preset=harnet5", "network.width=0.0625", "data.seconds=5", "data.lanes=16", "run.batch=16"]
    rows = list(measure(load_recipe("harnet10", [*sets, "run.precision=bfloat16", "run.threads=1"]), 2, "eager"))
    assert [row[0] for row in rows] == ["views", "BatchNorm, ReLU, pad", "heads and loss", "step up to its gradients"]
    for _, precision, *times, ratio in rows:
        assert precision == "bfloat16"
        assert all(float(str(each)) > 0 for each in times)
        middle, lowest, highest = (float(each) for each in re.findall(r"\d+\.\d+", str(ratio)))
        assert 0 < lowest <= middle <= highest
