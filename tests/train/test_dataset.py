"""The stream as a dataset of torch: the batches of the internal stream, at any world size, exact to resume."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from pipeline.errors import UserError
from pipeline.store.day_reader import DayReader
from pipeline.store.store import Store
from tests.train.days import MadeDays, write_store
from train import Batch, WindowStream
from train.dataset import ENTRIES
from train.objectives.collossl import Devices
from train.windows.companions.kind import Bound, Companions, NoCompanions
from train.windows.companions.nearby import Nearby
from train.windows.members import Members, choose_held_out, select
from train.windows.plan import make_plan
from train.windows.settings import DataSettings
from train.windows.stream import Stream

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {"lanes": 4, "min_wear_hours": 0.0, "windows_per_day": 4000, "threads": 1}
BATCH = 16


def stream(store: str, batch: int = BATCH, **more: Any) -> WindowStream:
    return WindowStream(store, batch, **SMALL | more)


def take(store: str, steps: int, **more: Any) -> list[Batch]:
    """The first batches of a new stream."""
    with stream(store, **more) as opened:
        return list(islice(opened, steps))


def same(left: Batch, right: Batch) -> bool:
    return torch.equal(left.x, right.x) and torch.equal(left.place, right.place)


def windows_of(batches: list[Batch]) -> Counter[tuple[int, ...]]:
    """Where the windows of the batches of several ranks come from, in any order."""
    return Counter(tuple(row) for batch in batches for row in batch.place.tolist())


@pytest.mark.parametrize("seed", [0, 3])
def test_it_yields_the_batches_of_the_internal_stream(store: str, seed: int) -> None:
    opened, data = Store.open(store), DataSettings(10, 4000, lanes=4, min_wear_hours=0)
    everyone = select(opened, 10, 0, None)
    plan = make_plan(everyone, choose_held_out(everyone), data, seed)
    with DayReader(opened.folder) as days, Stream(days, plan.lanes, BATCH // 4, 10) as internal:
        for windows, batch in zip(islice(internal, 40), take(store, 40, seed=seed), strict=True):
            assert torch.equal(batch.place, windows.place_BP)
            assert torch.equal(batch.x, windows.signal_BCT.float() / opened.attributes.counts_per_g)
            assert torch.equal(batch.slot, windows.slot_B)
            assert torch.equal(batch.start, windows.start_B)


def test_samples_are_those_of_their_place(store: str) -> None:
    for batch in take(store, 5):
        assert batch.x.shape == (BATCH, 3, 300)
        assert batch.x.dtype == torch.float32
        assert torch.equal(batch.x[:, 0] * 1024, batch.slot[:, None].expand(-1, 300).float())
        seconds = batch.start[:, None] + torch.arange(300) // 30
        assert torch.equal(batch.x[:, 1] * 1024, (seconds % 30_000).float())


def test_counts_and_companions(store: str) -> None:
    with stream(store, counts=True) as counted:
        batch = next(counted)
        assert batch.x.dtype == torch.int16
        assert torch.equal(batch.x / counted.counts_per_g, take(store, 1)[0].x)
    with stream(store, companions=Nearby(30)) as paired:
        batch = next(paired)
    assert batch.x.shape == (BATCH, 2, 3, 300)
    assert torch.equal(batch.x[:, 0], take(store, 1)[0].x)  # nearby draws the same anchors


@given(
    step=st.integers(0, 40),
    before=st.sampled_from([1, 2, 4]),
    after=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=12)
def test_a_state_resumes_at_the_exact_windows_at_any_world_size(
    store: str, step: int, before: int, after: int, seed: int
) -> None:
    whole = take(store, step + 3, seed=seed)
    with stream(store, seed=seed, rank=before - 1, world_size=before) as stopped:
        first = list(islice(stopped, step))
        state = stopped.state_dict()
    if before == 1:
        assert all(map(same, first, whole))
    resumed = [stream(store, seed=seed, rank=rank, world_size=after) for rank in range(after)]
    for each in resumed:
        each.load_state_dict(state)
    for number in range(step, step + 3):
        shares = [next(each) for each in resumed]
        assert {len(share.x) for share in shares} == {BATCH // after}
        assert windows_of(shares) == windows_of([whole[number]])
        if after == 1:
            assert same(shares[0], whole[number])
    for each in resumed:
        each.close()


def test_a_state_is_plain_values(store: str) -> None:
    with stream(store) as opened:
        next(opened)
        file = io.BytesIO()
        torch.save(opened.state_dict(), file)
        file.seek(0)
        assert torch.load(file, weights_only=True) == opened.state_dict()


def test_loops_go_on_after_each_other(store: str) -> None:
    whole = take(store, 6)
    with stream(store) as opened:
        parts = [*islice(opened, 2), *islice(opened, 4)]
        assert all(map(same, parts, whole))
        opened.close()
        assert same(next(opened), take(store, 7)[6])
        assert opened.epoch_steps == round(int(opened._selection.plan.quotas.sum()) / BATCH)


def test_under_a_data_loader(store: str) -> None:
    whole = take(store, 5)
    opened = stream(store)
    assert all(map(same, islice(DataLoader(opened, batch_size=None), 3), whole))
    state = opened.state_dict()
    again = stream(store)
    again.load_state_dict(state)
    assert all(map(same, islice(DataLoader(again, batch_size=None), 2), whole[3:]))


class OnlyNamed(NoCompanions):
    """A chooser whose anchors have vectors."""

    features = 3


@dataclass(frozen=True)
class Named(Companions):
    """A kind of companions with vectors."""

    def bind(self, members: Members, store: Store, data: DataSettings, facts: Mapping[str, Any]) -> Bound:
        """See `Companions`."""
        return Bound(members, OnlyNamed())


def test_companions_that_it_cannot_serve_are_refused(store: str) -> None:
    for companions, match in (
        (Named(), r"windows only, but Named\(\) also has vectors"),
        (Devices(1), "expected companions that are a dataclass"),
        (Nearby, "expected companions that are a dataclass"),
    ):
        with pytest.raises(UserError, match=match):
            stream(store, companions=companions)


def test_a_part_of_a_state_is_refused(store: str) -> None:
    with stream(store) as opened:
        state = opened.state_dict()
        assert list(state) == list(ENTRIES)
        for name in set(state) - {"kind", "version"}:
            with pytest.raises(UserError, match=f"found no '{name}'"):
                opened.load_state_dict({key: value for key, value in state.items() if key != name})


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_are_refused(store: str, context: str) -> None:
    loader = DataLoader(stream(store), batch_size=None, num_workers=1, multiprocessing_context=context)
    with pytest.raises(UserError, match="Use num_workers=0"):
        next(iter(loader))


def test_under_torchdatas_stateful_loader(store: str) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    whole = take(store, 6)
    loader = stateful(stream(store), batch_size=None)
    assert all(map(same, islice(loader, 4), whole))
    state = loader.state_dict()
    again = stateful(stream(store), batch_size=None)
    again.load_state_dict(state)
    assert all(map(same, islice(again, 2), whole[4:]))
    with pytest.raises(UserError, match="Use num_workers=0"):
        next(iter(stateful(stream(store), batch_size=None, num_workers=2)))


RANK = """
import sys
import torch.distributed as dist
from train import WindowStream
dist.init_process_group("gloo")
stream = WindowStream(sys.argv[1], 16, lanes=4, min_wear_hours=0, windows_per_day=4000, threads=1)
rows = [next(stream).place.tolist() for _ in range(3)]
state = stream.state_dict()
stream.load_state_dict(state)
rows.append(next(stream).place.tolist())
gathered = [None, None]
dist.all_gather_object(gathered, rows)
if dist.get_rank() == 0:
    print(gathered)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_the_processes_of_a_group_share_the_batches(store: str, tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), store]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    gathered = eval(done.stdout)
    for number, batch in enumerate(take(store, 4)):
        rows = [tuple(row) for rank in gathered for row in rank[number]]
        assert Counter(rows) == windows_of([batch])


def test_processes_without_a_group_are_refused(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="init_process_group first"):
        stream(store)
    with stream(store, rank=1, world_size=2) as opened:
        assert len(next(opened).x) == BATCH // 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch": 18}, "make it 16 or 20"),
        ({"rank": 0, "world_size": 3}, "run 2 or 4 processes"),
        ({"rank": 2, "world_size": 2}, "expected a rank from 0 to 1, found 2"),
        ({"rank": 0}, "expected rank and world_size, or neither"),
        ({"secondss": 10}, "unknown setting 'secondss'; did you mean 'seconds'"),
        ({"seconds": 7}, "expected one of 5, 10, 30, found 7"),
        ({"where": "nothing > 1"}, "cannot be run"),
        ({"control": "noise"}, "control is for `persondays train`"),
    ],
)
def test_mistakes_are_user_errors(store: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        stream(store, **given)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a window store, found none"):
        stream(str(tmp_path))


def test_the_state_of_another_stream_is_refused(store: str, tmp_path: Path) -> None:
    with stream(store, seed=1) as other, stream(store) as opened:
        with pytest.raises(UserError, match=r"other settings \(seed: state 1, now 0\)"):
            opened.load_state_dict(other.state_dict())
        for state in ({}, {"epoch": 3}, "state"):
            with pytest.raises(UserError, match="expected the state_dict of a WindowStream"):
                opened.load_state_dict(state)  # type: ignore[arg-type]
        elsewhere = write_store(str(tmp_path / "other"), people=4, days=2, made=MadeDays(600)).folder.url
        with pytest.raises(UserError, match="trained on other person-days"), stream(elsewhere) as foreign:
            foreign.load_state_dict(opened.state_dict())


def test_validation_windows_are_of_people_that_the_stream_never_draws(store: str) -> None:
    with stream(store, validation_per_day=5) as opened:
        validation = opened.validation()
        assert same(validation, opened.validation())
        people = {slot // 2 for slot in validation.slot.tolist()}
        assert len(people) == 2
        drawn = {slot // 2 for batch in islice(opened, 60) for slot in batch.slot.tolist()}
        assert drawn == {0, 1, 2, 3, 4} - people
    shares = [stream(store, validation_per_day=5, rank=rank, world_size=2).validation() for rank in range(2)]
    assert windows_of(shares) == windows_of([validation])


@pytest.fixture
def own_store(tmp_path: Path) -> Store:
    return write_store(str(tmp_path / "store"), people=6, days=2)


def test_a_stream_resumes_on_its_own_version_of_the_table(own_store: Store) -> None:
    whole = take(own_store.folder.url, 4)
    with stream(own_store.folder.url) as opened:
        assert same(next(opened), whole[0])
        state = opened.state_dict()
    rows = own_store.person_days.read().to_pylist()
    own_store.grow(13)
    own_store.write_day(12, MadeDays().read_day(12))
    own_store.person_days.append([rows[0] | {"slot": 12, "participant": "f" * 64}])
    assert not same(take(own_store.folder.url, 2)[1], whole[1])
    with stream(own_store.folder.url) as resumed:
        resumed.load_state_dict(state)
        assert all(map(same, islice(resumed, 3), whole[1:]))


def test_a_damaged_day_ends_the_stream_or_is_replaced(own_store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with stream(own_store.folder.url) as opened:
        slot = int(next(opened).slot[0])
    own_store.delete_days([slot])
    with stream(own_store.folder.url) as opened:
        for _ in range(2):  # the second try ends in the same way
            with pytest.raises(UserError, match=f"slot {slot}"):
                list(islice(opened, 40))
    with stream(own_store.folder.url, skip_damaged=True) as opened:
        assert all(slot not in batch.slot for batch in islice(opened, 40))
    assert f"slots {slot}" in caplog.text
