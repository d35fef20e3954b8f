"""The same time on another device: shared starts, offsets of any tick, and the sampling law."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import grid
from pipeline.errors import UserError
from pipeline.store.alignments import Alignment, read_alignments, shared_starts, write_alignments
from pipeline.store.layout import is_expected
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import MEASURED, NONWEAR, eligible, eligible_starts
from pipeline.store.store import Store
from tests.train.days import MadeDays, write_store
from tests.train.runs import alone, same_checkpoint
from tests.train.windows.companions.streams import SECONDS, Streamed, check_any_world_size, check_resuming
from train.checkpoint import format as ck
from train.windows.companions.kind import AnchorDay
from train.windows.companions.same_time import SameTime, SameTimeChooser
from train.windows.lanes import deal, quotas
from train.windows.members import select
from train.windows.pool import Windows
from train.windows.settings import DataSettings
from train.windows.withdrawn import starts_of

OFFSET = 47
"""Ticks by which the clock of odd slots is ahead."""
PEOPLE = 6
RUN: dict[str, Any] = {
    "objective__name": "simclr",
    "objective__simclr__positive": "same_time",
    "network__preset": "transformer10",
    "network__width": 0.25,
}


class TwoDevices(MadeDays):
    """An odd slot holds the day of the slot before, later by the offset, and was not worn for another minute."""

    @cache  # noqa: B019 (made once a test module)
    def read_day(self, slot: int) -> PersonDay:
        """The day of a slot."""
        if slot % 2 == 0:
            return super().read_day(slot)
        day = super().read_day(slot - 1)
        signal_CT = np.roll(day.signal_CT, OFFSET, 1)
        worn_T = np.roll(np.repeat(day.state_S == MEASURED, 30), OFFSET)
        measured_S = (signal_CT[0] != grid.FILL).reshape(-1, 30).all(1)
        state_S = np.where(measured_S, MEASURED, 0).astype(np.uint8)
        state_S[measured_S & ~worn_T.reshape(-1, 30).all(1)] |= NONWEAR
        first = int(np.flatnonzero(measured_S)[0])
        state_S[first + 500 : first + 560] |= NONWEAR
        return PersonDay(signal_CT, motion(signal_CT, state_S), state_S)


def aligned(days: MadeDays, slot: int, other: int, offset: float) -> Alignment:
    """A row for two made days."""
    row = Alignment(slot, other, 0, grid.SECONDS_PER_DAY, offset, 0.0, 0.99, "made", 0, 0, 0)
    eligible_S, other_S = (eligible(days.read_day(each).state_S) for each in (slot, other))
    counts: dict[str, Any] = {
        f"eligible_{length}s": int(
            shared_starts(eligible_starts(eligible_S, length), eligible_starts(other_S, length), row, length).sum()
        )
        for length in (5, 10, 30)
    }
    return replace(row, **counts)


def rows_of(days: MadeDays) -> list[Alignment]:
    return [
        aligned(days, *pair)
        for even in range(0, 2 * PEOPLE, 2)
        for pair in ((even, even + 1, OFFSET), (even + 1, even, -OFFSET))
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    days = TwoDevices()
    made = write_store(str(tmp_path_factory.mktemp("made") / "store"), people=PEOPLE, days=2, made=days)
    write_alignments(made, rows_of(days))
    return made


@pytest.fixture(scope="module")
def streamed(store: Store) -> Streamed:
    kind = SameTime()
    members = select(store, SECONDS, 0.0, None)
    bound = kind.bind(members, store, DataSettings(), kind.facts(store))
    own = dict(zip(members.slots.tolist(), members.starts.tolist(), strict=True))
    assert all(0 < starts_of(bound.members, slot) < own[slot] for slot in own if slot % 2 == 0)
    lanes = deal(bound.members.slots, quotas(bound.members.starts, 100_000), 4, 11, 3)
    return Streamed(TwoDevices(), lanes, bound.chooser)


def test_both_devices_show_the_same_movement_and_every_shared_start_is_drawn(streamed: Streamed) -> None:
    """Quotas are all shared starts; the signals of the two devices are equal after the offset."""
    drawn: Windows = streamed.round()
    assert len(drawn) == streamed.lanes[0].windows_in(0) > 1000
    assert torch.equal(drawn.companion_BK2[:, 0, 0], drawn.slot_B ^ 1)
    assert torch.equal(drawn.signal_BDCT[:, 0], drawn.signal_BDCT[:, 1])
    assert not (drawn.signal_BDCT == grid.FILL).any()
    assert (drawn.companion_BK2[:, 0, 1] - 30 * drawn.start_B).abs().unique().tolist() == [OFFSET]
    assert drawn.without_companion == 0


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_global_batch_is_the_same_at_every_world_size(streamed: Streamed, world_size: int) -> None:
    check_any_world_size(streamed, world_size)


def test_resuming_at_a_step_equals_never_having_stopped(streamed: Streamed) -> None:
    check_resuming(streamed, 17)


class ThreeDevices(TwoDevices):
    """The third device shows the movement of the first too, and lacks another minute."""

    @cache  # noqa: B019 (made once a test module)
    def read_day(self, slot: int) -> PersonDay:
        """The day of a slot."""
        if slot % 3 == 0:
            return MadeDays.read_day(self, slot)
        day = MadeDays.read_day(self, slot - slot % 3)
        shift = OFFSET * (slot % 3)
        signal_CT = np.roll(day.signal_CT, shift, 1)
        worn_T = np.roll(np.repeat(day.state_S == MEASURED, 30), shift)
        measured_S = (signal_CT[0] != grid.FILL).reshape(-1, 30).all(1)
        state_S = np.where(measured_S, MEASURED, 0).astype(np.uint8)
        state_S[measured_S & ~worn_T.reshape(-1, 30).all(1)] |= NONWEAR
        first = int(np.flatnonzero(measured_S)[0]) + 400 + 100 * (slot % 3)
        state_S[first : first + 20] |= NONWEAR
        return PersonDay(signal_CT, motion(signal_CT, state_S), state_S)


def test_two_others_show_the_same_movement_and_a_day_without_two_is_no_member(tmp_path: Path) -> None:
    """Three devices of three people, of whom the last has two aligned days only; the laws hold with two companions."""
    days, kind = ThreeDevices(), SameTime(others=2)
    made = write_store(str(tmp_path / "store"), people=3, days=3, made=days)
    pairs = [(a, b) for a in range(9) for b in range(9) if a != b and a // 3 == b // 3 and 8 not in (a, b)]
    write_alignments(made, [aligned(days, a, b, OFFSET * (b % 3 - a % 3)) for a, b in pairs])
    members = select(made, SECONDS, 0.0, None)
    bound = kind.bind(members, made, DataSettings(), kind.facts(made))
    assert bound.members.slots.tolist() == [0, 1, 2, 3, 4, 5]
    lanes = deal(bound.members.slots, quotas(bound.members.starts, 100_000), 2, 11, 3)
    streamed = Streamed(days, lanes, bound.chooser)
    drawn = streamed.round()
    assert drawn.signal_BDCT.shape[1] == 3
    assert drawn.companion_BK2.shape[1:] == (2, 2)
    slots_B3 = torch.cat((drawn.slot_B[:, None], drawn.companion_BK2[..., 0]), 1).sort(1).values
    assert torch.equal(slots_B3, slots_B3[:, :1] // 3 * 3 + torch.arange(3))
    assert (drawn.signal_BDCT[:, 1:] == drawn.signal_BDCT[:, :1]).all()
    assert not (drawn.signal_BDCT == grid.FILL).any()
    assert drawn.without_companion == 0
    own = dict(zip(members.slots.tolist(), members.starts.tolist(), strict=True))
    assert all(0 < starts_of(bound.members, slot) < own[slot] for slot in bound.members.slots.tolist())
    check_any_world_size(streamed, 2)
    check_resuming(streamed, 9)
    with pytest.raises(UserError, match="aligned with 3 of another device"):
        SameTime(others=3).bind(members, made, DataSettings(), kind.facts(made))


@given(st.integers(0, 999), st.floats(-900, 900), st.floats(-2e4, 2e4), st.integers(0, 200), st.sampled_from([5, 10]))
@settings(max_examples=60, deadline=None)
def test_shared_starts_are_those_of_a_plain_loop(
    seed: int, offset: float, ppm: float, first: int, seconds: int
) -> None:
    random = np.random.default_rng(seed)
    states = [np.zeros(grid.SECONDS_PER_DAY, np.bool_) for _ in range(2)]
    for good_S in states:
        good_S[:300] = np.repeat(random.random(10) < 0.8, 30)
        good_S[-40:] = True
    row = Alignment(1, 2, first, 86_000, offset, ppm, 0.9, "made", 0, 0, 0)
    own_S, other_S = (eligible_starts(good_S, seconds) for good_S in states)
    found = set(np.flatnonzero(shared_starts(own_S, other_S, row, seconds)).tolist())
    for start in range(310):
        tick = int(np.rint(30 * start + offset + ppm / 1e6 * 30 * (start - first)))
        there = tick >= 0 and states[1][tick // 30 : (tick + 30 * seconds - 1) // 30 + 1].all()
        assert (start in found) == bool(first <= start and states[0][start : start + seconds].all() and there)


def test_a_day_that_is_gone_leaves_the_anchor_alone() -> None:
    row = Alignment(4, 5, 0, 86_400, 3, 0, 0.9, "made", 1, 1, 1)
    chooser = SameTimeChooser(1, {4: (row,)})
    anchor = AnchorDay(4, (1, 2), SECONDS, (4,), frozenset({5}), lambda slot: np.ones(86_400))
    assert list(chooser.days_of(anchor)) == []
    assert chooser.weights(anchor).sum() == 86_400
    assert chooser.choose(anchor, np.array([7]))[0].tolist() == [[4, 210]]


def test_a_run_resumes_with_the_alignments_it_began_with(store: Store, tmp_path: Path) -> None:
    assert alone(store.folder.url, tmp_path / "straight", run__windows=160, run__validate_every=80, **RUN) == 0
    assert alone(store.folder.url, tmp_path / "two", run__windows=80, run__validate_every=80, **RUN) == 0
    before = ck.open_checkpoint(str(tmp_path / "two")).state.facts.stream
    assert before is not None
    assert before.companions == {"alignments_version": store.alignments.version}
    write_alignments(store, [replace(rows_of(TwoDevices())[0], offset_ticks=999.0)])
    assert alone(store.folder.url, tmp_path / "two", run__windows=160, run__validate_every=80, **RUN) == 0
    same_checkpoint(tmp_path / "straight", tmp_path / "two", 10)


def test_what_a_store_lacks_is_named(tmp_path: Path) -> None:
    made = write_store(str(tmp_path / "store"), people=5, days=1)

    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            alone(made.folder.url, tmp_path / "out", **RUN)

    refused("need the table of alignments, which this store does not have. Run `persondays align`")
    made.alignments.create()
    refused("expected person-days aligned with 1 of another device of the same participant, found none among 5")
    row = Alignment(0, 1, 0, 86_400, 0, 0, 0.9, "made", 9, 9, 9)
    write_alignments(made, [row])
    assert read_alignments(made, made.alignments.version) == [row]
    refused("pairs slots 0 and 1, which belong to two participants")
    assert all(is_expected(f"tables/alignments/{name}") for name in made.alignments.folder.names())
