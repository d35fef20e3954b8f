"""A step as one graph: what it computes, how many operations it launches, and that validation stays out of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pytest
import torch
from torch._inductor.utils import run_and_get_code

from bench.train.operations import Counted
from bench.train.ours import bare_run
from pipeline.errors import UserError
from train.distributed.processes import Processes
from train.loop.forward import StepForward
from train.loop.step import take_step
from train.objectives.collossl import Collo
from train.recipe import load_recipe
from train.windows.feed import DeviceBatch
from train.windows.pool import ANCHOR, Windows

WINDOWS = 8
SMALL = ("network.preset=harnet5", "data.seconds=5", "network.width=0.0625", f"run.batch={WINDOWS}", "run.threads=1")
FULL_WIDTH = [f"run.batch={WINDOWS}", "run.compile=false", "network.width=0.125"]

STEP = {"multitask": 847, "simclr": 973}
"""Operations of an eager step as a GPU would launch them, where random words are operations of torch."""
COMPILED = 132
"""The most kernels and library calls of a compiled step, without the optimizer's few."""
GOAL = 500


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Compile anew in each test."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def a_run(*sets: str, count: int = WINDOWS) -> Any:
    """A run whose every batch is the same."""
    recipe = load_recipe("harnet10", sets)
    windows = made_windows(count, recipe.data.ticks, recipe.objective.name)
    return bare_run(recipe, Processes(1), repeat(DeviceBatch(windows, windows.place_BP)))


def made_windows(count: int, ticks: int, objective: str = "multitask") -> Windows:
    random, together = torch.Generator().manual_seed(0), 2 if objective == "collossl" else 1
    signal_BDCT = torch.randint(-2000, 2000, (count, together, 3, ticks), generator=random, dtype=torch.int16)
    place_BP = torch.randint(0, 80_000, (count, ANCHOR + 2 * (together - 1)), generator=random)
    return Windows(signal_BDCT, place_BP, torch.zeros(count, 0))


@pytest.mark.parametrize("objective", ["multitask", "simclr", "joint", "masked", "collossl"])
def test_a_step_of_every_objective_is_one_graph(objective: str) -> None:
    """Captured by dynamo with `fullgraph`, and run without a compiler; the loss is that of eager code."""
    run = a_run(*SMALL, f"objective.name={objective}")
    forward: StepForward = run.engine.network
    windows = made_windows(WINDOWS, run.recipe.data.ticks, objective)
    if isinstance(run.objective, Collo):
        assert windows.signal_BDCT.shape[1] == run.recipe.objective.collossl.devices
    eager, _ = forward(*windows.tensors)
    graphs: list[torch.fx.GraphModule] = []

    def kept(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    forward.compile(backend=kept, fullgraph=True, dynamic=False)
    for _ in range(2):
        loss, _figures = forward(*windows.tensors)
    assert len(graphs) == 1
    torch.testing.assert_close(loss, eager, rtol=1e-4, atol=1e-5)


def test_validation_s_odd_sizes_stay_out_of_the_graph() -> None:
    run, graphs = a_run(*SMALL), []

    def kept(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    run.engine.network.compile(backend=kept, fullgraph=True, dynamic=False)
    take_step(run)
    for count in (3, 5):
        run.model(torch.randn(count, 3, run.recipe.data.ticks))
    take_step(run)
    assert len(graphs) == 1
    sizes = [node.meta["example_value"].shape for node in graphs[0].graph.nodes if node.op == "placeholder"]
    assert all(isinstance(size, int) for shape in sizes for size in shape), "no symbolic sizes"


@pytest.mark.parametrize("objective", STEP)
def test_an_eager_step_launches_no_more_operations(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted as on a GPU, where the random words are torch's operations; a tenth more fails."""
    monkeypatch.setattr("train.random.philox", in_torch)
    run = a_run(*FULL_WIDTH, f"objective.name={objective}")
    take_step(run)
    with Counted() as launches:
        take_step(run)
    assert launches.total <= 1.1 * STEP[objective], launches.operations.most_common()


def in_torch(counter: Any, key: Any) -> Any:
    from train.random import philox_in_torch

    return philox_in_torch(counter, key)


def test_cuda_graphs_ask_for_a_compiled_step_in_one_piece() -> None:
    for sets in (["run.graphs=true"], ["run.graphs=true", "run.compile=true", "run.accumulate=2"]):
        with pytest.raises(UserError, match="graphs: expected compile = true and accumulate = 1"):
            load_recipe("harnet10", sets)


def test_with_graphs_the_rate_is_a_tensor_and_a_step_is_the_same() -> None:
    """Without a compiler here: a step with the optimizer that CUDA graphs need."""
    ends = []
    for graphs in ("false", "true"):
        run = a_run(*SMALL, "run.compile=true", f"run.graphs={graphs}")
        run.engine.network.compile(backend="eager")
        for _ in range(2):
            take_step(run)
        ends.append(run)
    plain, graphed = ends
    rate = graphed.optimizer.param_groups[0]["lr"]
    assert isinstance(rate, torch.Tensor)
    assert float(rate) == pytest.approx(plain.optimizer.param_groups[0]["lr"])
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(graphed.model.state_dict()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_a_compiled_step_launches_few_kernels_and_learns_the_same() -> None:
    run, eager = a_run(*SMALL, "run.compile=true"), a_run(*SMALL)

    def step() -> None:
        take_step(run)

    _, codes = run_and_get_code(step)
    assert len(codes) == 2, "one graph forward, one backward"
    launched = sum(len(CALLS.findall(code[code.index("def call(") :])) for code in codes)
    assert launched <= 1.1 * COMPILED < GOAL
    take_step(eager)
    for name, value in eager.model.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value, rtol=1e-3, atol=2e-3)


CALLS = re.compile(r"^\s+(?:\w+ = )?(?:cpp_fused\w*|extern_kernels\.\w+|torch\.ops\.[\w.]+)\(", re.MULTILINE)
