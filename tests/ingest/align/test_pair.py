"""Two recordings: the offset and drift that the clocks have are found, and what cannot be aligned is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.align.coarse import find_peak
from ingest.align.line import consensus, fit
from ingest.align.pair import (
    CLOCKS,
    METHOD,
    NEVER_TOGETHER,
    NO_PEAK,
    Pair,
    RecordedDay,
    align,
    mirrored,
)
from pipeline import grid
from pipeline.store.alignments import Alignment, shared_starts
from pipeline.store.states import eligible, eligible_starts
from pipeline.store.store import Store
from tests.ingest.align import worn
from tests.ingest.align.worn import DAY_0, START_S, Worn


def aligned(store: Store) -> list[Alignment]:
    """Align the two recordings of a store."""
    rows = store.person_days.read(["recording", "slot", "day"]).sort_by("slot").to_pylist()
    first = rows[0]["recording"]
    days = [RecordedDay(row["slot"], int(np.datetime64(row["day"]).astype(int))) for row in rows]
    of_first = [row["recording"] == first for row in rows]
    ours = tuple(day for day, is_first in zip(days, of_first, strict=True) if is_first)
    theirs = tuple(day for day, is_first in zip(days, of_first, strict=True) if not is_first)
    return align(Pair(ours, theirs), store.days, grid.COUNTS_PER_G)


def reasons(url: Path, *recordings: Worn) -> set[str]:
    """Why a pair is refused; its rows are valid for no second."""
    rows = aligned(worn.write(str(url), *recordings))
    assert len(rows) == 2
    assert (rows[0].slot, rows[0].other_slot) == (rows[1].other_slot, rows[1].slot)
    assert {(row.seconds, row.eligible_5s, row.eligible_30s) for row in rows} == {(0, 0, 0)}
    assert all(row.refused for row in rows)
    return {row.reason for row in rows}


@pytest.mark.parametrize(("offset", "drift"), [(77.4, 11.0), (-45_000.2, -8.0), (0.0, 0.0)])
def test_offset_and_drift_are_found_and_both_rows_agree(tmp_path: Path, offset: float, drift: float) -> None:
    first, second = worn.pair(offset_ticks=offset, drift_ppm=drift)
    store = worn.write(str(tmp_path / "store"), first, second)
    there, back = aligned(store)
    assert (there.slot, there.other_slot, there.method) == (0, 1, METHOD)
    start_N = np.arange(there.first_second, there.first_second + there.seconds, 60)
    true = second.shown((30 * start_N).astype(np.float64))
    assert np.abs(there.other_tick(start_N) - true).max() < 1
    assert there.drift_ppm == pytest.approx(drift, abs=1)
    returned = back.other_tick(there.other_tick(start_N) // 30)
    assert np.abs(returned - 30 * start_N).max() <= 31
    assert mirrored(mirrored(there)).offset_ticks == pytest.approx(there.offset_ticks, abs=0.1)
    for row in (there, back):
        own_S, other_S = (eligible(store.days.read_state(slot)) for slot in (row.slot, row.other_slot))
        starts = shared_starts(eligible_starts(own_S, 10), eligible_starts(other_S, 10), row, 10)
        assert row.eligible_10s == starts.sum() > 0.9 * (worn.HOURS * 3600 - abs(offset) / 30)


def test_a_pair_that_crosses_midnight_has_rows_for_each_pair_of_days(tmp_path: Path) -> None:
    """The second clock is 20 s ahead: our last seconds are on its next day."""
    first = Worn("Ann", first_s=86_400 - 2 * 3600, hours=4, noise=1)
    store = worn.write(str(tmp_path / "store"), first, replace(first, noise=2, offset_ticks=600.0))
    rows = {(row.slot, row.other_slot): row for row in aligned(store)}
    assert set(rows) == {(0, 2), (2, 0), (0, 3), (3, 0), (1, 3), (3, 1)}
    assert rows[0, 2].first_second + rows[0, 2].seconds in (86_380, 86_379)
    assert rows[0, 3].first_second in (86_380, 86_381)
    assert rows[0, 3].offset_ticks == pytest.approx(600 - grid.TICKS_PER_DAY, abs=1)
    assert rows[1, 3].offset_ticks == pytest.approx(600, abs=1)


def test_what_is_refused(tmp_path: Path) -> None:
    first, second = worn.pair()
    assert reasons(tmp_path / "other", first, replace(second, movement=1)) == {NO_PEAK}
    assert reasons(tmp_path / "repeats", *(replace(each, repeats_s=400) for each in (first, second))) == {NO_PEAK}
    apart = replace(second, movement=2, first_s=START_S + 15 * 3600, hours=0.4)
    assert reasons(tmp_path / "apart", replace(first, hours=0.4), apart) == {NEVER_TOGETHER}
    worn_in_turn = replace(second, first_s=START_S + 4 * 3600)
    assert reasons(tmp_path / "turn", first, worn_in_turn) == {NEVER_TOGETHER}
    assert reasons(tmp_path / "day", first, replace(second, offset_ticks=float(grid.TICKS_PER_DAY))) == {CLOCKS}


@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(-80, 80), st.floats(0.0, 0.6))
@settings(max_examples=60, deadline=None)
def test_the_line_stands_among_wrong_offsets(seed: int, offset: float, ppm: float, wrong: float) -> None:
    random = np.random.default_rng(seed)
    tick_N = np.sort(random.uniform(0, 2 * grid.TICKS_PER_DAY, 80))
    true_N = offset + ppm / 1e6 * tick_N
    offset_N = np.asarray(true_N + random.normal(0, 0.5, 80), np.float64)
    is_wrong = random.random(80) < wrong
    offset_N[is_wrong] += random.uniform(-900, 900, int(is_wrong.sum()))
    rough = consensus(tick_N, offset_N, np.ones(80))
    on = np.abs(offset_N - rough.at(tick_N)) <= 6
    line = fit(np.array(tick_N[on].tolist()), np.array(offset_N[on].tolist()), np.ones(int(on.sum())))
    assert line.drift * 1e6 == pytest.approx(ppm, abs=0.5)
    assert np.abs(line.at(tick_N) - true_N).max() < 1
    assert line.ticks_within(1.0) > grid.TICKS_PER_DAY


def test_a_few_stretches_of_an_hour_do_not_make_a_drift() -> None:
    """Without a prior, half a tick of noise over six stretches of ten minutes would be a drift of 10 ppm and more."""
    random = np.random.default_rng(0)
    tick_N = np.linspace(0.0, 90_000.0, 6)
    drifts = [fit(tick_N, random.normal(0, 0.5, 6), np.ones(6)).drift * 1e6 for _ in range(200)]
    assert np.std(drifts) < 15


def test_the_peak_is_that_of_plain_sums() -> None:
    """Correlations by Fourier transform equal those of a loop over lags, with gaps in both."""
    random = np.random.default_rng(0)
    motion_S = np.exp(random.normal(-3, 1, 6000)).astype(np.float32)
    other_S = np.roll(motion_S, 37)[500:5700] * random.uniform(0.5, 2, 5200).astype(np.float32)
    motion_S[700:900] = other_S[3000:3100] = np.nan
    peak = find_peak(motion_S, other_S, 500)
    assert peak is not None
    assert peak.lag_s == 37
    assert peak.is_clear
    assert find_peak(motion_S[:290], other_S, 500) is None
    assert find_peak(motion_S, other_S, 500 + 3 * grid.SECONDS_PER_DAY) is None
    assert DAY_0 * grid.SECONDS_PER_DAY > 0
