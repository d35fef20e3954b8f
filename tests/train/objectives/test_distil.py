"""Distillation: its loss against plain NumPy in float64, the queue, runs that are killed and resumed, wrong tables."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipeline import grid
from pipeline.errors import UserError
from pipeline.settings import build
from pipeline.store.store import Store
from tests.train.days import NoiseDays, write_store
from tests.train.plain import Array, randoms
from tests.train.runs import alone, background_run, run, same_checkpoint, wait_for
from tests.train.windows.companions.streams import SECONDS, Streamed, check_any_world_size, check_resuming
from tests.train.windows.withdrawn.six_people import person, trained, withdraw
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.embed.lookup import Lookup
from train.embed.run import EmbedSettings, embed
from train.export.folder import write_export
from train.loop.data import select_days
from train.networks import NetworkSettings, make_network
from train.objectives import ObjectiveSettings
from train.objectives.distil import Distil, DistilSettings, Student, distillation
from train.objectives.teacher import InTable, InTableChooser
from train.optim.averaging import averages
from train.tracking.log import read_lines
from train.windows.draw import weights
from train.windows.lanes import deal, quotas
from train.windows.settings import DataSettings

PEOPLE, DAYS, EVERY_S = 5, 2, 5
SLOTS, UNNAMED = PEOPLE * DAYS, 3
"""Days of the store, and the one without a vector."""
WIDTH = 4


def write_table(folder: Path, every_s: int = EVERY_S, width: int = WIDTH, shift: float = 0.0) -> str:
    """Write a vector for a start every so many seconds, measured or not, a file a day; it begins with the place."""
    folder.mkdir()
    for slot in set(range(SLOTS)) - {UNNAMED}:
        start_N = np.arange(0, grid.SECONDS_PER_DAY, every_s)
        noise_NF = np.random.default_rng(slot).normal(shift, 1, (start_N.size, width))
        noise_NF[:, 0], noise_NF[:, 1] = slot, start_N
        vectors = pa.FixedSizeListArray.from_arrays(noise_NF.astype(np.float32).ravel(), width)
        table = {"slot": np.full_like(start_N, slot), "start_second": start_N, "vector": vectors}
        pq.write_table(pa.table(table), folder / f"{slot}.parquet", row_group_size=5_000)
    return str(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = str(tmp_path_factory.mktemp("made") / "store")
    return write_store(made, people=PEOPLE, days=DAYS, made=NoiseDays()).folder.url


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_table(tmp_path_factory.mktemp("tables") / "table")


def settings(table: str, **further: Any) -> dict[str, Any]:
    return {
        "objective__name": "distil",
        "objective__distil__table": table,
        "objective__distil__queue": 40,
        "data__windows_per_day": 8_000,
        "network__preset": "transformer10",
        "network__width": 0.25,
        "network__sync_batch_norm": True,
        "optimizer__average_windows": 64,
        **further,
    }


@pytest.fixture(scope="module")
def whole(store: str, table: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    assert alone(store, out, **settings(table)) == 0
    return out


def plain_loss(z: Array, among: Array, own: Any, compared: Any, tau: float, tau_teacher: float) -> list[float]:
    """COMODO's loss of each row, one at a time."""
    losses = []
    for i, row in enumerate(z):
        there = np.flatnonzero(compared[i])
        student = np.exp(among[there] @ row / tau)
        if tau_teacher == 0:
            wanted = (there == own[i]).astype(float)
        else:
            wanted = np.exp(among[there] @ among[own[i]] / tau_teacher)
        wanted /= wanted.sum()
        losses.append(-sum(wanted * np.log(student / student.sum())))
    return losses


def unit_rows(generator: np.random.Generator, *shape: int) -> Array:
    rows = generator.normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.parametrize("tau_teacher", [0.0, 0.1, 1.0])
def test_the_loss_equals_numpy_in_float64(tau_teacher: float) -> None:
    generator = np.random.default_rng(2)
    z, among = unit_rows(generator, 6, 5), unit_rows(generator, 11, 5)
    own, compared = np.array([5, 10, 6, 7, 9, 8]), generator.random((6, 11)) < 0.7
    compared[np.arange(6), own] = True
    tensors = [torch.tensor(each) for each in (z, among, own, compared)]
    losses, correct = distillation(tensors[0], tensors[1], tensors[2], tensors[3], 0.05, tau_teacher)
    assert losses.tolist() == pytest.approx(plain_loss(z, among, own, compared, 0.05, tau_teacher), rel=1e-12)
    alike = np.where(compared, z @ among.T, -2)
    assert correct.tolist() == (alike.argmax(1) == own).tolist()


def test_a_student_that_equals_its_teacher_has_no_gradient() -> None:
    among = torch.tensor(unit_rows(np.random.default_rng(4), 9, 5))
    own, compared = torch.arange(4), torch.ones(4, 9, dtype=torch.bool)
    for tau_teacher, flat in ((0.2, True), (0.1, False)):
        z = among[:4].clone().requires_grad_()
        losses, correct = distillation(z, among, own, compared, 0.2, tau_teacher)
        losses.sum().backward()
        assert correct.all()
        assert z.grad is not None
        assert (z.grad.abs().max().item() < 1e-12) == flat


def test_a_step_compares_with_batch_and_queue_and_then_appends() -> None:
    objective = Distil(DistilSettings(table="none", queue=10, temperature=0.3, teacher_temperature=0.2))
    objective.student = Student(8, 5, 10).double()
    generator, queue = np.random.default_rng(6), np.zeros((0, 5))
    for step in range(5):
        random = randoms(4, step)
        z, vector_BF = unit_rows(generator, 4, 5), unit_rows(generator, 4, 5).astype(np.float32)
        _, places = objective.views(torch.zeros(4, 3, 300), random)
        targets = objective.with_vectors(places, torch.tensor(vector_BF))
        loss, figures = objective.loss({"student": torch.tensor(3 * z)}, targets)
        order = np.lexsort((random.start.numpy(), random.slot.numpy()))
        vectors = vector_BF.astype(float) / np.linalg.norm(vector_BF.astype(float), axis=1, keepdims=True)
        among = np.concatenate((queue, vectors[order]))
        own = len(queue) + np.argsort(order)
        losses = plain_loss(z, among, own, np.ones((4, len(among)), bool), 0.3, 0.2)
        assert loss.item() == pytest.approx(np.mean(losses), rel=1e-12)
        assert figures["contrast/guessing_sum"].item() == pytest.approx(4 / len(among))
        queue = among[-10:]
        held = objective.student.queue[objective.student.is_filled].numpy()
        np.testing.assert_allclose(np.roll(held, -(4 * step + 4) % len(held), 0), queue, atol=1e-12)


def test_a_batch_larger_than_the_queue_leaves_its_last_rows() -> None:
    student = Student(8, 1, 3)
    for first in (0, 5, 10):
        student.append(torch.arange(first, first + 5.0)[:, None])
        rows = student.queue[:, 0].roll(-(int(student.queued) % 3), 0)
        assert rows.tolist() == [first + 2, first + 3, first + 4]


def test_validation_compares_windows_of_the_same_day() -> None:
    objective, generator = Distil(DistilSettings(table="none")), np.random.default_rng(8)
    slot = np.array([3, 3, 3, 4, 5, 5])
    z, vectors = unit_rows(generator, 6, 5), unit_rows(generator, 6, 5)
    targets = torch.tensor(np.concatenate(((slot * 86_400 + np.arange(6))[:, None], vectors), 1))
    figures = objective.score({"student": torch.tensor(z)}, targets)
    losses = plain_loss(z, vectors, np.arange(6), slot[:, None] == slot, 0.05, 0.1)
    assert figures["loss_sum"].item() == pytest.approx(sum(losses[i] for i in (0, 1, 2, 4, 5)), rel=1e-12)
    assert (figures["count"].item(), figures["contrast/guessing_sum"].item()) == pytest.approx((5, 2))


def test_windows_with_a_vector_are_the_same_at_any_world_size_and_after_resuming(table: str) -> None:
    days, slots = NoiseDays(), np.array(sorted(set(range(SLOTS)) - {UNNAMED}))
    lookup = Lookup(table)
    named = {day.slot: day.start_N for day in lookup.index()}
    starts = [np.count_nonzero(weights(*days.open_day(slot).states(), SECONDS)[named[slot]]) for slot in slots.tolist()]
    streamed = Streamed(days, deal(slots, quotas(np.array(starts), 8_000), 4, 11, 3), InTableChooser(lookup))
    drawn = streamed.round()
    assert (drawn.start_B % EVERY_S == 0).all()
    assert len(drawn.place_BP.unique(dim=0)) == len(drawn) == streamed.lanes[0].windows_in(0)
    assert drawn.signal_BDCT.shape[1:] == (1, 3, 300)
    assert torch.equal(drawn.vector_BF[:, :2], drawn.place_BP[:, 2:4].float())
    check_any_world_size(streamed, 2)
    check_resuming(streamed, 17)


def test_a_run_that_is_killed_and_resumes_has_the_bits_of_one_that_was_not(
    store: str, table: str, whole: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with background_run(store, tmp_path, held={12: gate}, **settings(table)) as killed:
        wait_for(tmp_path, 2)
        os.killpg(killed.pid, signal.SIGKILL)
    assert max(ck.complete(ck.Folder(str(tmp_path)))) == 10
    assert alone(store, tmp_path, **settings(table)) == 0
    same_checkpoint(whole, tmp_path, 30)


def test_the_checkpoint_has_the_queue_but_no_mean_of_it_and_the_export_neither(whole: Path, tmp_path: Path) -> None:
    last = ck.open_checkpoint(str(whole))
    assert last.model["student.queue"].shape == (40, WIDTH)
    assert last.model["student.queued"] == 480
    names = {name for name in averages(last.optimizer) if name.startswith("student.")}
    assert names == {f"student.projection.linear{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias")}
    write_export(last.model, last.state, tmp_path / "model", "checkpoint")
    from safetensors.torch import load_file

    exported = load_file(tmp_path / "model" / "model.safetensors")
    assert {name for name in exported if name.startswith("student.")} == names
    lines = read_lines(whole / "logs" / "log.jsonl")
    losses = [line["real"]["loss"] for line in lines if line["kind"] == "validation"]
    assert all(0 < loss < 2 * math.log(100) for loss in losses)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_have_the_same_windows_and_queue(
    store: str, table: str, whole: Path, tmp_path: Path, processes: int
) -> None:
    done = run(store, tmp_path, processes, **settings(table))
    assert done.returncode == 0, done.stderr
    one, several = (ck.open_checkpoint(str(folder)) for folder in (whole, tmp_path))
    assert one.state.windows_digest == several.state.windows_digest
    assert torch.equal(one.model["student.queue"], several.model["student.queue"])


def test_a_table_that_moved_resumes_and_another_one_does_not(
    store: str, table: str, whole: Path, tmp_path: Path
) -> None:
    before = sorted(file.name for file in whole.rglob("*"))
    for name, how, found in (
        ("narrow", {"width": 3}, "vectors of 4 numbers then, 3 now"),
        ("changed", {"shift": 0.5}, "vectors of 4 numbers then, 4 now; digest"),
        ("sparse", {"every_s": 10}, "digest"),
    ):
        other = write_table(tmp_path / name, **how)
        with pytest.raises(UserError, match=f"the run began with, found another: .*{found}"):
            alone(store, whole, run__windows=640, **settings(other))
    assert sorted(file.name for file in whole.rglob("*")) == before
    moved = write_table(tmp_path / "moved")
    assert alone(store, whole, **settings(moved)) == 0


def test_embed_may_bring_the_table_up_to_date_while_a_run_stands_still(tmp_path: Path) -> None:
    """A participant is ingested, and embedded: the run goes on to the bit. Another withdraws: it goes on without."""
    store, table = str(tmp_path / "store"), str(tmp_path / "table")
    opened = write_store(store, people=6, days=2, made=NoiseDays())
    torch.manual_seed(1)
    teacher = make_network(NetworkSettings("transformer10", 0.25))

    def embedded() -> int:
        embed(teacher, store, table, EmbedSettings(stride_s=5, days_per_file=4), Processes(1))
        return len(list(Path(table).iterdir()))

    assert embedded() == 3
    assert alone(store, tmp_path / "whole", run__windows=320, **settings(table)) == 0
    assert alone(store, tmp_path / "stopped", run__windows=160, **settings(table)) == 0
    rows = opened.person_days.read().to_pylist()
    opened.grow(13)
    opened.write_day(12, NoiseDays().read_day(rows[0]["slot"]))
    opened.person_days.append([rows[0] | {"slot": 12, "participant": person(9), "recording": person(9)}])
    assert embedded() == 4
    assert alone(store, tmp_path / "stopped", run__windows=320, **settings(table)) == 0
    same_checkpoint(tmp_path / "whole", tmp_path / "stopped", 20)
    withdraw(store, trained(tmp_path / "stopped")[:1])
    assert embedded() == 4
    assert alone(store, tmp_path / "stopped", run__windows=480, **settings(table)) == 0
    next(Path(table).iterdir()).unlink()
    with pytest.raises(UserError, match="or on other windows of them"):
        alone(store, tmp_path / "stopped", run__windows=640, **settings(table))


def test_wrong_tables_and_settings_are_refused_before_anything_is_written(
    store: str, table: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def refused(match: str, table: str, store: str = store, **further: Any) -> None:
        with pytest.raises(UserError, match=match):
            alone(store, out, **settings(table, **further))
        assert not out.exists()

    refused("objective.distil.table: expected the table of features of a teacher, found none", "")
    refused("expected a folder with Parquet files of features, found none", str(tmp_path / "nothing"))
    refused("in a round than the 5,000 of the queue, found", table, objective__distil__queue=5_000)
    refused("run.accumulate: distil compares the windows of a batch", table, run__accumulate=2)
    embedded: dict[str, str] = {}
    for name, preset, how in (
        ("right", "transformer10", {}),
        ("long", "transformer30", {}),
        ("hours", "transformer10", {"pool": "hour"}),
    ):
        network = make_network(NetworkSettings(preset, 0.25)).eval()
        embedded[name] = str(tmp_path / name)
        embed(network, store, embedded[name], EmbedSettings(stride_s=5, **how), Processes(1))  # type: ignore[arg-type]
    refused("expected features of windows of 10 s, found windows of 30 s", embedded["long"])
    refused("expected features of windows of 10 s, found means by hour", embedded["hours"])
    other = write_store(str(tmp_path / "other"), people=SLOTS, days=1, made=NoiseDays()).folder.url
    refused("expected features of .*other, found those of another store", embedded["right"], other)
    zarr = tmp_path / "other" / "zarr.json"
    zarr.write_text(zarr.read_text().replace(Store.open(other).attributes.fingerprint, "0" * 64))
    refused("expected features of .*other, found those of another store", embedded["right"], other)
    assert alone(store, out, **settings(embedded["right"], run__windows=16)) == 0


def test_a_round_of_those_who_train_is_larger_than_the_queue(store: str, table: str) -> None:
    """Held-out participants, and those beyond max_participants, draw nothing."""

    def windows(queue: int, **further: Any) -> int:
        data = DataSettings(10, 8_000, lanes=4, min_wear_hours=0, **further)
        return select_days(data, 1, Store.open(store), InTable(table, queue), None, Processes(1)).plan.epoch_windows

    of_everyone = windows(1, held_out=1)
    for further in ({"held_out": 3}, {"held_out": 1, "max_participants": 2}, {"one_day_per_participant": True}):
        drawn = windows(1, **further)
        assert 1 < drawn < of_everyone
        assert windows(drawn - 1, **further) == drawn
        with pytest.raises(UserError, match=f"than the {drawn} of the queue, found {drawn}. Embed more"):
            windows(drawn, **further)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"queue": 0}, "queue: expected at least 1, found 0"),
        ({"temperature": 0.0}, "temperature: expected a number above 0, found 0"),
        ({"teacher_temperature": -1.0}, "teacher_temperature: expected a number of 0 or more"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(ObjectiveSettings, {"distil": values}, "recipe.toml")
