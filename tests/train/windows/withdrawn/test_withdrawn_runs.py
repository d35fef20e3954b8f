"""Participants withdraw during a run, and between a run and its resumption."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.store.store import Store
from tests.train.days import MadeDays
from tests.train.runs import RECIPE, alone, command, overrides, run, wait_for
from tests.train.windows.withdrawn.six_people import person, slots_of, trained, withdraw
from tests.waiting import PATIENCE_S
from train.checkpoint import format as ck
from train.distributed.processes import Processes
from train.loop.setup import prepare
from train.loop.trainer import train
from train.recipe import load_recipe
from train.tracking.log import read_lines

LONG = {"run__windows": 1600, "run__validate_every": 1600, "run__save_every": 160, "data__lanes": 4}


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_continues_without_withdrawn_days(store: str, tmp_path: Path, processes: int) -> None:
    out = tmp_path / "out"
    gate = tmp_path / "gate"
    line = command(store, out, processes, held={14: gate}, **LONG)
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    wait_for(out, 1)
    left = trained(out)[1:3]
    withdraw(store, left)
    gate.touch()
    _, output = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    slots = [slot for number in left for slot in slots_of(number)]
    lines = [line for line in read_lines(out / "logs" / "log.jsonl") if line["kind"] == "withdrawn"]
    assert sorted(slot for line in lines for slot in line["slots"]) == slots, "each once"
    assert output.count("have withdrawn (slots") == len(lines)
    assert "From here on, this run is not exactly" in output
    state = ck.open_checkpoint(str(out)).state
    assert state.windows_seen == 1600
    assert state.facts.stream.members == 8


def test_a_run_resumes_after_a_withdrawal_deleted_its_version_of_the_tables(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One participant trained on and one held out have withdrawn; a new one was ingested, and is not drawn."""
    out = tmp_path / "out"
    assert alone(store, out) == 0
    before = ck.open_checkpoint(str(out)).state
    (held_out, *_) = (number for number in range(6) if number not in trained(out))
    opened = Store.open(store)
    rows = opened.person_days.read().to_pylist()
    opened.grow(13)
    opened.write_day(12, MadeDays().read_day(12))
    opened.person_days.append([rows[0] | {"slot": 12, "participant": person(9), "recording": person(9)}])
    withdraw(store, [trained(out)[0], held_out])
    capsys.readouterr()
    assert alone(store, out, run__windows=960) == 0
    output = capsys.readouterr().err
    version = before.facts.stream.table_version
    assert f"version {version} of the tables was deleted with" in output
    assert "8 person-days before, 6 now; 4 lanes before, 4 now" in output
    after = ck.open_checkpoint(str(out)).state
    assert after.facts.stream.table_version > version
    assert after.facts.stream.members == 6
    lines = read_lines(out / "logs" / "log.jsonl")
    (change,) = (line for line in lines if line["kind"] == "withdrawn")
    assert change["before"] == before.facts.stream.to_json()
    assert change["now"] == after.facts.stream.to_json()
    windows_validated = {line["seen"]: line["real"]["windows"] for line in lines if line["kind"] == "validation"}
    assert windows_validated == {0: 400, 160: 400, 320: 400, 480: 400, 640: 200, 800: 200, 960: 200}
    assert alone(store, out, run__windows=1120) == 0, "it then continues like any other run"
    assert "of the tables was deleted" not in capsys.readouterr().err


def test_held_out_participants_who_withdraw_are_not_named_and_not_trained_on(store: str, tmp_path: Path) -> None:
    """Noted but not deleted yet: the version of the tables still has the days."""
    out = tmp_path / "out"
    assert alone(store, out, run__windows=160) == 0
    first = ck.open_checkpoint(str(out)).state
    number = next(number for number in range(6) if number not in trained(out))
    Store.open(store).withdrawals.begin([person(number)], date(2026, 3, 4))
    for windows in (240, 320):
        assert alone(store, out, run__windows=windows) == 0
        state = ck.open_checkpoint(str(out)).state
        assert state.windows_seen == windows
        assert person(number) not in str(state)
        assert state.facts.validation_participants == sorted({*first.facts.validation_participants} - {person(number)})
        assert state.facts.validation_slots_withdrawn == slots_of(number)
        assert state.facts.stream is not None
        assert first.facts.stream is not None
        assert replace(state.facts.stream, slots_end=0) == replace(first.facts.stream, slots_end=0)
        assert state.facts.participants == first.facts.participants
    again = out / "again"
    assert train(load_recipe(RECIPE, overrides({"run__windows": 400})), store, str(out), "auto", again) == 0
    assert person(number) not in (again / "log.jsonl").read_text()
    withdraw(store, [])
    assert alone(store, out, run__windows=480) == 0
    after = ck.open_checkpoint(str(out)).state
    assert after.facts.stream.members == first.facts.stream.members
    assert after.facts.participants == first.facts.participants


def test_a_withdrawal_during_a_run_is_in_its_next_checkpoint(store: str, tmp_path: Path) -> None:
    opened = Store.open(store)
    recipe = load_recipe(RECIPE, overrides({}))
    run = prepare(recipe, opened, None, Processes(1))
    with run.stream:
        ann, bob = run.facts().validation_participants
        opened.withdrawals.begin([ann], date(2026, 3, 4))
        assert run.facts().validation_participants == [bob]
        assert run.facts().validation_slots_withdrawn == slots_of(int(ann, 16))
        opened.withdrawals.begin([bob], date(2026, 3, 4))
        assert run.facts().validation_participants == []
        assert run.facts().validation_slots_withdrawn == sorted([*slots_of(int(ann, 16)), *slots_of(int(bob, 16))])


def test_fewer_days_than_lanes_make_fewer_lanes(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert alone(store, out) == 0
    withdraw(store, trained(out)[:3])
    capsys.readouterr()
    assert alone(store, out, run__windows=640) == 0
    assert "8 person-days before, 2 now; 4 lanes before, 2 now" in capsys.readouterr().err


def test_a_run_that_cannot_resume_explains_why(store: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert alone(store, out) == 0
    opened = Store.open(store)
    kept = opened.person_days.drop_history()
    folder = opened.person_days.folder
    folder.delete([name for name in folder.names() if name not in kept])
    with pytest.raises(UserError, match="no longer exists"):  # nobody withdrew
        alone(store, out, run__windows=960)
    withdraw(store, [number for number in range(6) if number not in trained(out)])
    with pytest.raises(UserError, match="all participants held out"):
        alone(store, out, run__windows=960)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_stops_at_a_day_missing_without_a_withdrawal(store: str, tmp_path: Path, processes: int) -> None:
    out = tmp_path / "out"
    assert alone(store, out) == 0
    slot = slots_of(trained(out)[0])[1]
    withdraw(store, trained(out)[1:2])
    Store.open(store).delete_days([slot])
    done = run(store, out, processes, run__windows=1920)
    assert done.returncode == 1
    assert f"objects of slot {slot} are missing" in done.stderr
    assert "participants have withdrawn, and version" in done.stderr
