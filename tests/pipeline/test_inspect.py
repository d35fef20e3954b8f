"""`persondays inspect` of a store: its totals, and a picture of a person-day."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.inspect.command import inspect
from pipeline.cli import run_command
from pipeline.errors import UserError
from pipeline.grid import FILL, SECONDS_PER_DAY, TICKS_PER_DAY
from pipeline.identity import Key
from pipeline.inspect.day import busiest, by_minute, draw_day, envelope, runs
from pipeline.inspect.totals import choose_day, describe_day, totals
from pipeline.pages.figures import new_figure, save, style
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import CLIPPED, GAP, MEASURED, NONWEAR
from pipeline.store.store import Store

COUNTS_PER_G = 1024
FULL_ID = re.compile("a{13}|b{13}|c{13}")
"""Matches more than the short form of an id in the store."""


def person_day(state_S: NDArray[np.uint8], seed: int = 0) -> PersonDay:
    """Return a day of noise around 1 g in its measured seconds."""
    random = np.random.default_rng(seed)
    signal = random.normal(0, 40, (3, TICKS_PER_DAY)).astype(np.int16)
    signal[2] += COUNTS_PER_G
    signal[:, np.repeat(state_S & MEASURED == 0, 30)] = FILL
    return PersonDay(signal, motion(signal, state_S), state_S)


def states(**spans: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the states of a day measured from 8:00 to 20:00, with further bits in spans of seconds."""
    state = np.zeros(SECONDS_PER_DAY, np.uint8)
    state[8 * 3600 : 20 * 3600] = MEASURED
    for name, (first, length) in spans.items():
        state[first : first + length] |= {"nonwear": NONWEAR, "clipped": CLIPPED}[name]
    return state


def row(slot: int, person: str, **values: Any) -> dict[str, Any]:
    """Return a row of the table of person-days."""
    common = {"recording": person * 64, "participant": person * 64, "day_index": 0, "device": "AX3"}
    zeros = dict.fromkeys((f"{name}_seconds" for name in ("idle", "gap", "clipped", "nonwear", "bad")), 0)
    return {"slot": slot, **common, "location": "left wrist", "calibration": "own", **zeros, **values}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three person-days of two participants, and a rejected recording."""
    store = Store.create(str(tmp_path_factory.mktemp("made") / "store"), Key(bytes(32)), {"made": "for tests"})
    store.grow(4)
    store.write_day(0, person_day(states(), 0))
    store.write_day(1, person_day(states(nonwear=(9 * 3600, 7200), clipped=(12 * 3600, 5)), 1))
    store.write_day(3, person_day(states(nonwear=(0, SECONDS_PER_DAY)), 3))
    hours = {"measured_seconds": 43_200}
    store.person_days.append(
        [
            row(0, "a", **hours, wear_seconds=43_200, eligible_seconds=43_200, enmo_mg=2.5),
            row(
                1, "b", **hours, wear_seconds=36_000, eligible_seconds=36_000, nonwear_seconds=7_200, clipped_seconds=5
            ),
            row(3, "b", **hours, wear_seconds=0, eligible_seconds=0, nonwear_seconds=43_200, calibration="own"),
        ]
    )
    done = {"status": "done", "device": "AX3", "size": 1_000_000}
    store.recordings.append(
        [
            {"recording": "a" * 64, "participant": "a" * 64, "person_days": 1, **done},
            {"recording": "b" * 64, "participant": "b" * 64, "person_days": 2, **done},
            {"recording": "c" * 64, "participant": "c" * 64, "status": "rejected", "reason": "too short", "size": 7},
        ]
    )
    return store


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["inspect", *map(str, arguments)])
    return run_command(inspect, "inspect")


# the numbers behind the picture, compared with plain references


def test_envelope_is_the_lowest_and_highest_measured_tick() -> None:
    random = np.random.default_rng(0)
    signal = random.integers(-2000, 2000, (3, 30 * 60)).astype(np.int16)
    signal[:, random.random(1800) < 0.3] = FILL
    signal[:, 900:1350] = FILL
    low_CB, high_CB = envelope(signal, COUNTS_PER_G, seconds=15)
    assert low_CB.shape == high_CB.shape == (3, 4)
    for axis in range(3):
        for column in range(4):
            values = [v / COUNTS_PER_G for v in signal[axis, column * 450 : (column + 1) * 450].tolist() if v != FILL]
            if values:
                assert low_CB[axis, column] == pytest.approx(min(values))
                assert high_CB[axis, column] == pytest.approx(max(values))
            else:
                assert np.isnan(low_CB[axis, column])
                assert np.isnan(high_CB[axis, column])
    assert np.isnan(low_CB).any()


@given(st.lists(st.booleans(), max_size=40))
def test_runs_of_a_flag_rebuild_the_flag(flags: list[bool]) -> None:
    rebuilt = [False] * len(flags)
    found = runs(np.array(flags, bool))
    for first, length in found:
        assert length > 0
        rebuilt[first : first + length] = [True] * length
    assert rebuilt == flags
    assert all(a + n < b for (a, n), (b, _) in pairwise(found))


@settings(max_examples=50)
@given(st.lists(st.one_of(st.just(float("nan")), st.floats(0, 4, width=32)), min_size=60, max_size=60))
def test_by_minute_is_the_mean_of_the_known_seconds(values: list[float]) -> None:
    known = [value for value in values if value == value]
    found = by_minute(np.array(values, np.float32))
    assert found.shape == (1,)
    assert np.isnan(found[0]) if not known else found[0] == pytest.approx(sum(known) / len(known), rel=1e-5)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 4, width=32)), min_size=12, max_size=60))
def test_the_busiest_interval_is_eligible_and_has_the_most_motion(seconds: list[tuple[bool, float]]) -> None:
    state = np.array([MEASURED if good else GAP for good, _ in seconds], np.uint8)
    moved = np.array([value if good else np.nan for good, value in seconds], np.float32)
    sums = {s: moved[s : s + 5].sum() for s in range(len(seconds) - 4) if (state[s : s + 5] == MEASURED).all()}
    found = busiest(moved, state, 5)
    if not sums:
        assert found is None
    else:
        assert found in sums
        assert sums[found] == pytest.approx(max(sums.values()), rel=1e-5)


# the totals


def test_totals_count_what_is_stored(store: Store) -> None:
    found = totals(store)
    assert found["recordings"] == {"done": 2, "rejected": 1, "reasons": {"too short": 1}, "bytes": 2_000_000}
    assert (found["participants"], found["person_days"]) == (2, 3)
    assert found["wear_hours"] == pytest.approx(22)
    assert found["state_hours"]["measured"] == pytest.approx(36)
    assert found["state_hours"]["non-wear"] == pytest.approx(14)
    assert found["state_hours"]["clipped"] == pytest.approx(5 / 3600)
    assert found["calibration"] == {"own": 2}
    assert found["devices"] == {"AX3": 2}
    on_disk = sum(path.stat().st_size for path in Path(store.folder.path, "signal").rglob("*") if path.is_file())
    assert found["bytes"]["signal"] == on_disk > 0


def test_an_empty_store_has_totals_but_no_day(tmp_path: Path) -> None:
    empty = Store.create(str(tmp_path / "store"), Key(bytes(32)), {})
    assert totals(empty)["person_days"] == 0
    assert totals(empty)["wear_hours"] == 0
    with pytest.raises(UserError, match="no person-days yet"):
        choose_day(empty, None)


def test_the_day_shown_has_half_a_day_of_eligible_seconds(store: Store) -> None:
    assert choose_day(store, None)["slot"] == 0, "the day with non-wear has less than half a day of eligible seconds"
    assert choose_day(store, 1)["slot"] == 1
    with pytest.raises(UserError, match="slot 2 holds no person-day"):
        choose_day(store, 2)


def test_of_the_long_days_the_one_with_the_most_states_is_shown(tmp_path: Path) -> None:
    made = Store.create(str(tmp_path / "store"), Key(bytes(32)), {})
    long = {"measured_seconds": 86_400, "wear_seconds": 80_000}
    made.person_days.append(
        [
            row(0, "a", **long, eligible_seconds=86_400),
            row(1, "a", **long, eligible_seconds=70_000, gap_seconds=59),
            row(2, "a", **long, eligible_seconds=60_000, gap_seconds=60),
            row(3, "a", **long, eligible_seconds=61_000, gap_seconds=60),
            row(4, "a", **long, eligible_seconds=9_000, gap_seconds=60, nonwear_seconds=9_000),
        ]
    )
    assert choose_day(made, None)["slot"] == 3


# the command


def test_the_command_writes_a_picture_and_figures_that_identify_nobody(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, figures = tmp_path / "new" / "day.png", tmp_path / "figures.json"
    assert call(monkeypatch, store.folder.url, "--picture", picture, "--json", figures) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["day.png", "figures.json", "new"]
    found = json.loads(figures.read_text())
    assert found["day"] == describe_day(choose_day(store, None))
    assert found["day"]["participant"] == "a" * 12
    assert not FULL_ID.search(figures.read_text())
    shown = capsys.readouterr().out
    assert "too short" in shown
    assert not FULL_ID.search(shown)


def test_json_to_standard_output_is_all_that_is_printed(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, store.folder.url, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["person_days"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--picture", "day.jpg"), "ends in .png"),
        (("--slot", "2"), "slot 2 holds no person-day"),
    ],
)
def test_mistakes_are_explained(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, store.folder.url, *arguments) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, tmp_path) == 1
    assert "expected a window store" in capsys.readouterr().err


def test_a_day_without_eligible_seconds_is_drawn(store: Store, tmp_path: Path) -> None:
    facts = describe_day(choose_day(store, 3))
    save(draw_day(store.read_day(3), facts, COUNTS_PER_G), tmp_path / "day.png")
    assert (tmp_path / "day.png").stat().st_size > 10_000


def test_a_picture_replaces_an_earlier_one_and_leaves_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"older")
    with style():
        save(new_figure(2), tmp_path / "one.png")
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
