"""Engines: a step is the same with either."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from tests.train.runs import alone, command, overrides, run
from train.checkpoint import format as ck
from train.distributed.deepspeed import configuration
from train.distributed.engine import Network
from train.distributed.engines import Engine, make_engine
from train.distributed.processes import Processes
from train.loop.step import in_pieces
from train.recipe import Recipe, load_recipe
from train.tracking.log import read_lines
from train.windows.pool import Windows

ELEMENTS = 1000
BUCKETS = {"reduce_bucket_size": ELEMENTS, "allgather_bucket_size": ELEMENTS}


class Small(nn.Module):
    """A network without BatchNorm, so that cutting a batch makes no difference."""

    def __init__(self) -> None:
        super().__init__()
        self.convolve, self.head = nn.Conv1d(3, 4, 5), nn.Linear(4, 2)

    def forward(self, x_BCT: Tensor) -> dict[str, Tensor]:
        return {"head": self.head(self.convolve(x_BCT).relu().mean(-1))}


def windows(count: int, seed: int = 0) -> Windows:
    random = torch.Generator().manual_seed(seed)
    return Windows(
        torch.randint(-2000, 2000, (count, 1, 3, 60), generator=random, dtype=torch.int16),
        torch.zeros((count, 4)).long(),
        torch.zeros(count, 0),
    )


def loss_of(network: Network, piece: Windows) -> Tensor:
    return (network(piece.signal_BCT / 1024)["head"] - 1).square().mean()


def engine_of(recipe: Recipe, model: nn.Module, optimizer: torch.optim.Optimizer, windows: int) -> Engine:
    return make_engine(recipe.engine, recipe.step_settings(windows), model, optimizer, Processes(1))


def stepped(pieces: int, clip: float | None, steps: int = 3) -> tuple[nn.Module, list[float]]:
    torch.manual_seed(1)
    model = Small()
    recipe = load_recipe("demo", [f"run.accumulate={pieces}", *([f"optimizer.clip_norm={clip}"] if clip else [])])
    engine = engine_of(recipe, model, torch.optim.Adam(model.parameters()), 24)
    norms = [float(engine.step(in_pieces(windows(24, seed), pieces), loss_of, 0.01)) for seed in range(steps)]
    return model, norms


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("pieces", [2, 3, 24])
def test_a_batch_in_pieces_gives_the_same_update(pieces: int, clip: float | None) -> None:
    (whole, norms), (cut, norms_cut) = stepped(1, clip), stepped(pieces, clip)
    np.testing.assert_allclose(norms_cut, norms, rtol=1e-5)
    for left, right in zip(whole.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


def test_only_a_long_gradient_is_clipped() -> None:
    """Compared with NumPy; plain gradient descent shows the gradient that it was given."""
    for most in (1e-3, 1e3):
        torch.manual_seed(1)
        model = Small()
        before = [value.detach().numpy().copy() for value in model.parameters()]
        loss_of(model, windows(8)).backward()
        gradient = [value.grad.numpy().copy() for value in model.parameters()]
        model.zero_grad()
        recipe = load_recipe("demo", [f"optimizer.clip_norm={most}"])
        engine = engine_of(recipe, model, torch.optim.SGD(model.parameters(), lr=1.0), 8)
        norm = float(engine.step([windows(8)], loss_of, 0.5))
        expected = np.sqrt(sum((part.astype(np.float64) ** 2).sum() for part in gradient))
        assert norm == pytest.approx(expected, rel=1e-5)
        for old, part, new in zip(before, gradient, model.parameters(), strict=True):
            wanted = old - 0.5 * part * min(1.0, most / expected)
            np.testing.assert_allclose(new.detach().numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_unequal_pieces_are_explained(store: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"16 windows of a process cannot be cut into 5 equal pieces: make it 4 or 8"):
        alone(store, tmp_path, run__accumulate=5)


def test_a_run_with_pieces_logs_whole_batches(store: str, tmp_path: Path) -> None:
    assert alone(store, tmp_path, run__accumulate=4, run__windows=32) == 0
    model = ck.open_checkpoint(str(tmp_path)).model
    passes = {int(value) for name, value in model.items() if name.endswith("num_batches_tracked")}
    assert passes == {2 * 4}
    (line,) = [line for line in read_lines(tmp_path / "logs" / "log.jsonl") if line["kind"] == "train"]
    assert line["windows"] == 32


@pytest.mark.parametrize("precision", ["bfloat16", "float64"])
def test_precision_and_the_type_of_the_weights(store: str, tmp_path: Path, precision: str) -> None:
    short: dict[str, Any] = {"run__windows": 160, "run__save_every": 160, "run__validate_every": 160}
    for kind in ("float32", precision):
        assert alone(store, tmp_path / kind, run__precision=kind, **short) == 0
    plain, other = (ck.open_checkpoint(str(tmp_path / kind)) for kind in ("float32", precision))
    wanted = torch.float64 if precision == "float64" else torch.float32
    for name, value in other.model.items():
        assert value.dtype == (wanted if value.is_floating_point() else torch.int64), name
        close: dict[str, Any] = (
            {"rtol": 0.02, "atol": 0.02} if precision == "bfloat16" else {"rtol": 1e-3, "atol": 1e-4}
        )
        torch.testing.assert_close(value, plain.model[name].to(value.dtype), **close)
    assert any(not torch.equal(value, plain.model[name].to(value.dtype)) for name, value in other.model.items())


def test_deterministic_mode_trains(store: str, tmp_path: Path) -> None:
    try:
        assert alone(store, tmp_path, run__deterministic=True, run__windows=80) == 0
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def configured(**settings: Any) -> dict[str, Any]:
    recipe = load_recipe("demo", overrides(settings))
    return configuration(recipe.engine, recipe.step_settings(16), ELEMENTS)


def test_deepspeeds_configuration_follows_the_recipe() -> None:
    settings = {"run__accumulate": 2, "optimizer__clip_norm": 0.5, "run__precision": "bfloat16"}
    made = configured(engine__zero_stage=2, **settings)
    assert made["train_micro_batch_size_per_gpu"] == 8
    assert made["gradient_accumulation_steps"] == 2
    assert made["gradient_clipping"] == 0.5
    assert made["zero_optimization"] == {"stage": 2} | BUCKETS
    assert made["torch_autocast"]["enabled"] is True
    assert "bf16" not in made
    assert configured(engine__zero_stage=0, **settings)["gradient_clipping"] == 0.0  # stage 0 clips by our own code


def test_a_deepspeed_file_is_merged_over_it(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"zero_optimization": {"reduce_bucket_size": 5000}, "wall_clock_breakdown": True}))
    made = configured(engine__deepspeed=str(path))
    assert made["zero_optimization"] == {"stage": 1} | BUCKETS | {"reduce_bucket_size": 5000}
    assert made["wall_clock_breakdown"] is True


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ('{"optimizer": {}, "bf16": {}}', "sets bf16, optimizer, which the recipe decides"),
        ('{"torch_autocast": {"enabled": true}}', "sets torch_autocast, which the recipe decides"),
        ('{"zero_optimization": {"stage": 3}}', "sets ZeRO stage 3, engine.zero_stage is 1"),
        ('{"zero_optimization": true}', "zero_optimization: expected an object, found True"),
        ("[1]", "expected an object, found list"),
        ("{", "cannot read .* as JSON"),
    ],
)
def test_settings_that_such_a_file_may_not_have(tmp_path: Path, text: str, output: str) -> None:
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(UserError, match=output):
        configured(engine__deepspeed=str(path))


def test_deepspeed_s_buckets_have_the_size_of_the_network() -> None:
    """By default they have 5e8 elements each, 2 GB in float32."""
    model = Small()
    model.head.bias.requires_grad_(False)
    optimizer = torch.optim.Adam([value for value in model.parameters() if value.requires_grad])
    engine: Any = engine_of(load_recipe("demo", ["engine.name=deepspeed"]), model, optimizer, 24)
    expected = 4 * 3 * 5 + 4 + 2 * 4
    assert engine.engine.zero_reduce_bucket_size() == engine.engine.zero_allgather_bucket_size() == expected


def test_deepspeed_does_not_train_in_float64(store: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Use --engine ddp"):
        alone(store, tmp_path, engine__name="deepspeed", run__precision="float64")


def on_deepspeed(store: str, folder: Path, processes: int, stage: int, **settings: Any) -> None:
    """Take more steps with DeepSpeed."""
    done = run(store, folder, processes, engine__name="deepspeed", engine__zero_stage=stage, **settings)
    assert done.returncode == 0, done.stderr
    assert "engine deepspeed; resuming after" in done.stderr


def test_each_engine_reads_the_others_checkpoints(store: str, tmp_path: Path) -> None:
    """One process, to DeepSpeed and back. Steps differ by rounding, which grows with every step."""
    constant: dict[str, Any] = {
        "optimizer__schedule": "constant",
        "optimizer__warmup_windows": 0,
        "optimizer__clip_norm": 0.5,
    }
    constant |= {"run__validate_every": 160, "run__save_every": 16}
    assert alone(store, tmp_path / "ddp", run__windows=160, **constant) == 0
    shutil.copytree(tmp_path / "ddp", tmp_path / "both")
    on_deepspeed(store, tmp_path / "both", 1, 1, run__windows=176, **constant)
    for name in ("ddp", "both"):
        assert alone(store, tmp_path / name, run__windows=192, **constant) == 0
    for step, near in ((11, 1e-5), (12, 1e-4)):
        left, right = (ck.read(Folder(str(tmp_path / name)), step) for name in ("ddp", "both"))
        assert left.state.windows_digest == right.state.windows_digest
        assert left.optimizer.keys() == right.optimizer.keys()
        for name, value in left.model.items():
            torch.testing.assert_close(right.model[name], value, rtol=near, atol=near)
        for name, fields in left.optimizer.items():
            assert float(fields["step"]) == step
            assert fields.keys() == right.optimizer[name].keys()
            for key, value in fields.items():
                torch.testing.assert_close(right.optimizer[name][key], value, rtol=10 * near, atol=near)
    ddp, both = (read_lines(tmp_path / name / "logs" / "log.jsonl") for name in ("ddp", "both"))
    norms = [line["gradient_norm"] for line in (*ddp, *both) if line["kind"] == "train" and line["step"] in (11, 12)]
    assert norms[2:] == pytest.approx(norms[:2], rel=1e-4)
    kinds = [line["kind"] for line in both]
    assert kinds.count("start") == 1
    assert kinds.count("resume") == 2


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_checkpoints_cross_engines_at_two_processes(store: str, tmp_path: Path, stage: int) -> None:
    """With pieces, bfloat16 and a user's DeepSpeed file, at every stage."""
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"zero_optimization": {"reduce_bucket_size": 20000}}))
    more: dict[str, Any] = {"engine__deepspeed": str(own), "run__accumulate": 2}
    assert alone(store, tmp_path / "both", run__windows=160, **more) == 0
    on_deepspeed(store, tmp_path / "both", 2, stage, run__windows=320, **more)
    assert alone(store, tmp_path / "both", **more) == 0
    state = ck.open_checkpoint(str(tmp_path / "both"))
    assert all(float(fields["step"]) == 30 for fields in state.optimizer.values())
    half = run(
        store, tmp_path / "half", 2, engine__name="deepspeed", engine__zero_stage=stage, run__precision="bfloat16"
    )
    assert half.returncode == 0, half.stderr
    assert {value.dtype for value in ck.open_checkpoint(str(tmp_path / "half")).model.values()} == {
        torch.float32,
        torch.int64,
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("engine", "processes"), [("ddp", 1), ("ddp", 2), ("deepspeed", 1)])
def test_a_compiled_network_learns_the_same(store: str, tmp_path: Path, engine: str, processes: int) -> None:
    few = {"run__windows": 32, "run__validate_every": 32, "run__save_every": 32, "engine__name": engine}
    ends = []
    for compiled in (False, True):
        out = tmp_path / str(compiled)
        done = run(store, out, processes, run__compile=compiled, **few)
        assert done.returncode == 0, done.stderr
        ends.append(ck.open_checkpoint(str(out)))
    eager, quick = ends
    assert eager.model.keys() == quick.model.keys()
    for name, value in eager.model.items():
        torch.testing.assert_close(quick.model[name], value, rtol=1e-3, atol=1e-4)


def test_an_unknown_engine_is_refused(store: str, tmp_path: Path) -> None:
    flags = [*command(store, tmp_path), "--engine", "zero"]
    done = subprocess.run(flags, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "deepspeed" in done.stderr
