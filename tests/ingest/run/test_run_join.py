"""Recordings in several files: one recording of the run, the store and the user, wherever its files are."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import os
import shutil
import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.capacity.dry_run import DryRun, plan_ingest
from ingest.capacity.trial import try_recording
from ingest.inspect.command import inspect
from ingest.run.driver import run_ingest
from ingest.run.ingest_task import Assignment
from ingest.run.inputs import read_inputs
from ingest.run.probe_task import BUNDLE, probe_tasks
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source, list_sources
from ingest.settings import TableSettings
from ingest.simulate.recording import simulate_recording
from ingest.whois.names import know, whois
from pipeline.cli import run_command
from pipeline.errors import UserError
from pipeline.inspect.totals import totals as inspect_totals
from pipeline.settings import build
from pipeline.store.store import Store
from pipeline.verify.checks import check_store
from pipeline.withdraw.forget import forget
from tests.ingest import cohort
from tests.ingest.cohort import KEY
from tests.ingest.devices.tables import iso, movement, seconds, text
from tests.ingest.parts import cut_cwa, cut_gt3x, cut_table
from tests.ingest.runs import days_written, finish, start, when
from tests.s3_here import s3_here

RATE_HZ, PART_S, PARTS = 50.0, 150, 8
ANNA, BEN, CLARA = "anna", "ben", "clara"
NAMES = "gcaehbdf"
"""The names of Anna's files, in the order of their times: not the order of the alphabet."""
REGEX = r"^(anna|ben|clara)"


def anna_parts() -> list[bytes]:
    """A table of twenty minutes in eight files."""
    second_N = seconds(RATE_HZ, PART_S * PARTS)
    x_CN = movement(second_N)
    x_CN[1] += 0.02 * np.random.default_rng(1).standard_normal(second_N.size)
    rows = text(x_CN, iso(second_N), "time,x,y,z")
    return cut_table(rows, [round(RATE_HZ * PART_S) * part for part in range(1, PARTS)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with Anna's table, Ben's .cwa across a midnight, and Clara's .gt3x: uncut, and in files; do not change
    them. Each part of Clara's states the end of the uncut file: a probe cannot say that they do not overlap."""
    folder = tmp_path_factory.mktemp("join")
    uncut, cut = folder / "uncut", folder / "cut"
    uncut.mkdir()
    for name in (ANNA, BEN, CLARA):
        (cut / name).mkdir(parents=True)
    parts = anna_parts()
    (uncut / f"{ANNA}.csv").write_bytes(parts[0] + b"".join(part.partition(b"\n")[2] for part in parts[1:]))
    for letter, part in zip(NAMES, parts, strict=True):
        (cut / ANNA / f"{letter}.csv.gz").write_bytes(gzip.compress(part, 1))
    simulate_recording(uncut / f"{BEN}.cwa", 0, 2, days=1 / 48, start=np.datetime64("2024-05-06T23:50:00"))
    for letter, part in zip("cab", cut_cwa((uncut / f"{BEN}.cwa").read_bytes(), 3), strict=True):
        (cut / BEN / f"{letter}.cwa").write_bytes(part)
    simulate_recording(uncut / f"{CLARA}.gt3x", 0, 3, days=1 / 72, kind="actigraph", idle_sleep=True)
    for letter, part in zip("ba", cut_gt3x((uncut / f"{CLARA}.gt3x").read_bytes(), 2), strict=True):
        (cut / CLARA / f"{letter}.gt3x").write_bytes(part)
    return uncut, cut


def settings_of(folder: Path | str, store: Path | str, key_in: Path, **more: Any) -> IngestSettings:
    """Settings of a run that joins the files of each folder; participants by their names."""
    key = key_in / "key"
    key.write_text(KEY.secret.hex())
    given: dict[str, Any] = {"recordings": str(folder), "store": str(store), "key_file": key, "id_regex": REGEX}
    joins = {"join_folders": True} if not {"join_map", "join_regex"} & more.keys() else {}
    return IngestSettings(**given | joins | more)


@pytest.fixture(scope="module")
def stores(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, ray_here: str) -> tuple[Path, Path]:
    """The stores of the uncut and the joined recordings; tests must not change them."""
    folder = tmp_path_factory.mktemp("stores")
    for source, name in zip(made, ("uncut", "joined"), strict=True):
        summary = run_ingest(settings_of(source, folder / name, folder, join_folders=name == "joined"))
        assert (summary.done, summary.person_days, summary.rejected) == (3, 4, [])
        assert ("files: 13 joined to 3 recordings" in summary.text()) == (name == "joined")
        assert summary.same_dates.lines() == []
    return folder / "uncut", folder / "joined"


@pytest.fixture
def copies(made: tuple[Path, Path], stores: tuple[Path, Path], tmp_path: Path) -> tuple[Path, IngestSettings]:
    """A copy of the files, and settings whose store is a copy of the finished one."""
    shutil.copytree(made[1], tmp_path / "cut")
    shutil.copytree(stores[1], tmp_path / "store")
    return tmp_path / "cut", settings_of(tmp_path / "cut", tmp_path / "store", tmp_path)


def days_by_participant(store: Path | str) -> list[tuple[str, Any, dict[str, Any], bytes, bytes]]:
    """Rows and values of all person-days, without what depends on files and their names."""
    opened = Store.open(str(store))
    found = []
    for row in opened.person_days.read().to_pylist():
        day = opened.read_day(row["slot"])
        own = {name: value for name, value in row.items() if name not in ("slot", "recording")}
        found.append((row["participant"], row["day"], own, day.signal_CT.tobytes(), day.state_S.tobytes()))
    return sorted(found, key=lambda each: (each[0], each[1]))


def test_joined_files_give_the_rows_and_values_of_the_uncut_recordings(
    made: tuple[Path, Path], stores: tuple[Path, Path]
) -> None:
    uncut, joined = (days_by_participant(store) for store in stores)
    assert len(joined) == 4
    assert joined == uncut
    figures = []
    for store in stores:
        rows = {row["participant"]: row for row in cohort.rows(store)[1]}
        figures.append({person: json.loads(row["figures"]) for person, row in rows.items()})
    assert figures[0] == figures[1]
    of_anna = next(row for row in cohort.rows(stores[1])[1] if row["participant"] == KEY.participant(ANNA))
    assert of_anna["recording"] == KEY.recording(ANNA)
    assert of_anna["size"] == sum(path.stat().st_size for path in (made[1] / ANNA).iterdir())
    assert not check_store(Store.open(str(stores[1])), lambda slots: slots).findings


def test_a_second_run_has_nothing_to_do(copies: tuple[Path, IngestSettings]) -> None:
    assert run_ingest(copies[1]).nothing_to_do


def touched(folder: Path) -> None:
    os.utime(folder / ANNA / "a.csv.gz", ns=(1, 1))


def removed(folder: Path) -> None:
    (folder / ANNA / "f.csv.gz").unlink()


def added(folder: Path) -> None:
    second_N = seconds(RATE_HZ, PART_S) + PART_S * (PARTS + 1)
    (folder / ANNA / "z.csv").write_bytes(text(movement(second_N), iso(second_N), "time,x,y,z"))


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize(("change", "more_s"), [(touched, 0), (removed, -PART_S), (added, PART_S)])
def test_a_recording_changes_with_any_of_its_parts(
    copies: tuple[Path, IngestSettings], change: Callable[[Path], None], more_s: int
) -> None:
    folder, settings = copies
    change(folder)
    summary = run_ingest(settings)
    assert (summary.done, summary.done_before, summary.replaced) == (1, 2, 1)
    (row,) = (day for day in cohort.rows(settings.store)[0] if day["participant"] == KEY.participant(ANNA))
    assert row["measured_seconds"] == pytest.approx(PART_S * PARTS + more_s, abs=1)
    assert row["gap_seconds"] == pytest.approx(PART_S if more_s > 0 else 0, abs=2)


@pytest.mark.slow
def test_a_killed_run_resumes(
    made: tuple[Path, Path], stores: tuple[Path, Path], ray_here: str, tmp_path: Path
) -> None:
    settings = settings_of(made[1], tmp_path / "store", tmp_path)
    flags = ["--key-file", f"{settings.key_file}", "--id-regex", REGEX, "--join-folders"]
    process = start(str(made[1]), settings.store, ray_here, *flags)
    when(process, lambda: days_written(tmp_path / "store") > 0, signal.SIGKILL)
    assert "3 recordings done" in finish(str(made[1]), settings.store, ray_here, *flags)
    assert days_by_participant(settings.store) == days_by_participant(stores[1])


@pytest.mark.slow
def test_from_s3(made: tuple[Path, Path], stores: tuple[Path, Path], tmp_path: Path) -> None:
    import s3fs

    with s3_here(tmp_path / "s3", "cohort"):
        s3fs.S3FileSystem().put(str(made[1]), "cohort/raw", recursive=True)
        settings = settings_of("s3://cohort/raw", "s3://cohort/store", tmp_path)
        flags = ["--key-file", f"{settings.key_file}", "--id-regex", REGEX, "--join-folders"]
        assert "3 recordings done" in finish(settings.recordings, settings.store, None, *flags)
        assert days_by_participant(settings.store) == days_by_participant(stores[1])


@pytest.mark.usefixtures("ray_here")
def test_a_part_twice_is_refused_without_naming_anybody(
    copies: tuple[Path, IngestSettings], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, settings = copies
    shutil.copy(folder / ANNA / "a.csv.gz", folder / ANNA / "secret-copy.csv.gz")
    settings = settings_of(folder, tmp_path / "new", tmp_path)
    dry = plan_ingest(settings)
    with caplog.at_level(logging.DEBUG):
        summary = run_ingest(settings)
    assert isinstance(dry, DryRun)
    assert dry.rejected == summary.rejected
    (rejected,) = summary.rejected
    assert rejected[0] == KEY.recording(ANNA)
    pair = sorted(KEY.recording(f"{ANNA}/{name}.csv.gz")[:12] for name in ("a", "secret-copy"))
    assert all(id_ in rejected[1] for id_ in pair)
    assert "have the same samples: one file twice" in rejected[1]
    for output in (summary.text(), dry.text(), caplog.text):
        assert "secret" not in output
        assert ANNA not in output.replace(str(folder), "")


@pytest.mark.usefixtures("ray_here")
def test_files_of_two_devices_are_refused_as_soon_as_probed(
    copies: tuple[Path, IngestSettings], tmp_path: Path
) -> None:
    folder, _ = copies
    simulate_recording(folder / BEN / "other.cwa", 0, 3, days=1 / 1440)
    summary = run_ingest(settings_of(folder, tmp_path / "new", tmp_path))
    assert dict(summary.rejected).keys() == {KEY.recording(BEN)}
    assert "different serial numbers: they are of two devices" in summary.rejected[0][1]


def test_two_participants_in_one_folder_stop_the_run(copies: tuple[Path, IngestSettings], tmp_path: Path) -> None:
    folder, _ = copies
    people = tmp_path / "people.csv"
    people.write_text("name,participant\nanna/*,Anna\nanna/b.csv.gz,Ben\nben/*,Ben\nclara/*,C\n")
    mapped: dict[str, Any] = {"id_regex": None, "participants": people}
    with pytest.raises(UserError, match=r"recording [0-9a-f]{12} has 8 parts of 2 participants: all parts") as error:
        read_inputs(settings_of(folder, tmp_path / "new", tmp_path, **mapped))
    assert "nna" not in str(error.value).replace(str(folder), "")
    people.write_text("name,participant\nanna/[a-c]*,Anna\nben/*,Ben\nclara/*,C\n")
    with pytest.raises(UserError, match="has 8 parts of one participant, and 5 of nobody"):
        read_inputs(settings_of(folder, tmp_path / "new", tmp_path, **mapped))
    people.write_text("name,participant\nanna,Anna\n")  # the name of the recording
    inputs = read_inputs(settings_of(folder, tmp_path / "new", tmp_path, **mapped))
    assert inputs.participants == {KEY.recording(ANNA): KEY.participant("Anna")}
    assert {source.name for source in inputs.left_out} == {BEN, CLARA}


def names_of(settings: IngestSettings) -> dict[str, int]:
    """The recordings of a run, with their number of parts (0: a file)."""
    return {source.name: len(source.parts) for source in read_inputs(settings).sources}


def test_files_are_joined_by_folder_map_or_expression(made: tuple[Path, Path], tmp_path: Path) -> None:
    cut = made[1]
    assert names_of(settings_of(cut, tmp_path / "store", tmp_path)) == {ANNA: 8, BEN: 3, CLARA: 2}
    assert names_of(settings_of(cut / ANNA, tmp_path / "store", tmp_path, id_regex=None)) == {".": 8}
    some = settings_of(cut, tmp_path / "store", tmp_path, join_regex=r"^(anna|clara)/")
    assert names_of(some) == {ANNA: 8, CLARA: 2, "ben/a.cwa": 0, "ben/b.cwa": 0, "ben/c.cwa": 0}
    map_ = tmp_path / "joins.csv"
    map_.write_text("name,recording\nanna/[a-d]*,first\nanna/[e-h]*,second\nb.cwa,last\nclara/*,c\n")
    by_map = settings_of(cut, tmp_path / "store", tmp_path, join_map=map_)
    assert names_of(by_map) == {"first": 4, "second": 4, "last": 1, "c": 2, "ben/a.cwa": 0, "ben/c.cwa": 0}
    map_.rename(cut.parent / "joins.csv")
    try:  # beside the recordings it is not one
        beside = settings_of(cut.parent, tmp_path / "store", tmp_path, join_map=cut.parent / "joins.csv", id_regex=None)
        assert "joins.csv" not in names_of(beside)
    finally:
        (cut.parent / "joins.csv").unlink()


def test_mistakes_in_what_is_joined(made: tuple[Path, Path], tmp_path: Path) -> None:
    cut, store = made[1], tmp_path / "store"
    map_ = tmp_path / "joins.csv"

    def fails(match: str, **more: Any) -> None:
        with pytest.raises(UserError, match=match):
            read_inputs(settings_of(cut, store, tmp_path, **more))

    map_.write_text("name,participant\nanna/*,first\n")
    fails("first line names the columns name and recording, found another first line", join_map=map_)
    map_.write_text("name,recording\nanna/*,first\nanna/a*,second\n")
    fails("2 recordings have patterns that match one file", join_map=map_)
    map_.write_text("name,recording\ndora/*,first\n")
    fails("--join-map .*joins.csv matches none of 13 files: the path below --recordings", join_map=map_)
    map_.write_text("name,recording\nanna/*,ben/a.cwa\n")
    fails("1 of the recordings to join have the name of a file that is a recording of its own", join_map=map_)
    fails("--join-regex '.' has no group: put parentheses around the part that names the recording", join_regex=".")
    fails(r"--join-regex '\(' is not a regular expression", join_regex="(")
    fails("--join-regex '.zzz.' matches none of 13 files", join_regex="(zzz)")
    with pytest.raises(UserError, match="--join-folders, --join-map and --join-regex each say what to join: give one"):
        build(IngestSettings, {"recordings": "a", "store": "b", "join_folders": True, "join_regex": "(a)"}, "ingest")


def test_a_store_is_not_given_the_same_files_twice(
    made: tuple[Path, Path], copies: tuple[Path, IngestSettings], tmp_path: Path, ray_here: str
) -> None:
    folder, settings = copies
    with pytest.raises(UserError, match=r"it has 3 recordings \(.*\) made of joined files, .* Give --join-folders"):
        run_ingest(settings_of(folder, settings.store, tmp_path, join_folders=False))
    one = tmp_path / "one" / ANNA
    one.mkdir(parents=True)
    shutil.copy(folder / ANNA / "a.csv.gz", one)
    apart = settings_of(tmp_path / "one", tmp_path / "apart", tmp_path, join_folders=False)
    assert run_ingest(apart).done == 1
    with pytest.raises(UserError, match=r"1 recording in it \(.*\) would now be parts of other recordings"):
        run_ingest(settings_of(tmp_path / "one", tmp_path / "apart", tmp_path))


@pytest.mark.usefixtures("ray_here")
def test_a_recording_is_ingested_again_by_its_id_or_that_of_a_part(
    copies: tuple[Path, IngestSettings], tmp_path: Path
) -> None:
    folder, settings = copies
    again = tmp_path / "again.txt"
    again.write_text(KEY.recording(f"{BEN}/a.cwa")[:12])
    assert run_ingest(settings_of(folder, settings.store, tmp_path, again=again)).done == 1
    before, found = days_by_participant(settings.store), cohort.rows(settings.store)[0]
    assert len(before) == len(found) == 4
    assert max(row["slot"] for row in found if row["recording"] == KEY.recording(ANNA)) < min(
        row["slot"] for row in found if row["recording"] == KEY.recording(BEN)
    )


def test_the_name_map_has_recordings_and_parts(made: tuple[Path, Path], tmp_path: Path) -> None:
    names = tmp_path / "names.csv"
    read_inputs(settings_of(made[1], tmp_path / "store", tmp_path, name_map=names))
    with names.open() as file:
        found = {row["recording"]: row["name"] for row in csv.DictReader(file)}
    assert len(found) == 3 + 13
    assert found[KEY.recording(ANNA)] == ANNA
    known = know(KEY, names, None, REGEX, None)
    for name in (BEN, f"{ANNA}/a.csv.gz"):
        (identity,), problems = whois([KEY.recording(name)[:12]], known)
        assert (identity.name, problems) == (name, [])


def test_a_participant_withdraws_with_all_parts(copies: tuple[Path, IngestSettings]) -> None:
    _, settings = copies
    forget(Store.open(settings.store), [KEY.participant(ANNA)], date(2024, 6, 1))
    assert {row["participant"] for row in cohort.rows(settings.store)[0]} == {
        KEY.participant(BEN),
        KEY.participant(CLARA),
    }
    summary = run_ingest(settings)
    assert summary.nothing_to_do
    assert (summary.done_before, summary.withdrawn) == (2, 1)


def test_table_settings_are_part_of_the_state(made: tuple[Path, Path]) -> None:
    def sources(**table: Any) -> dict[str, Source]:
        settings = TableSettings(**table)
        return {source.name: source for source in list_sources(str(made[1]), KEY, settings, join=_folder)[1]}

    plain, stated = sources(), sources(unit="g")
    assert plain[ANNA].file_state == stated[ANNA].file_state
    assert plain[ANNA].fingerprint != stated[ANNA].fingerprint
    assert plain[BEN].fingerprint == stated[BEN].fingerprint


def _folder(name: str) -> str:
    return name.split("/")[0]


def test_memory_and_bundles_count_all_parts(made: tuple[Path, Path]) -> None:
    _, files = list_sources(str(made[1]), KEY)
    _, joined = list_sources(str(made[1]), KEY, join=_folder)
    for source in joined:
        of_parts = [Assignment(file) for file in files if file.name.startswith(source.name)]
        extra = Assignment(source).memory - Assignment(Source("a.cwa", "", 0, "")).memory
        assert extra == pytest.approx(
            sum(each.memory - Assignment(Source("a.cwa", "", 0, "")).memory for each in of_parts)
        )
    part = Source("a.cwa", "0" * 64, 10, "")
    many = [Source(f"{number}", f"{number:064}", 100, "", parts=(part,) * 10) for number in range(20)]
    tasks = probe_tasks("", many, 60)
    assert [source for task in tasks for source in task.sources] == many
    assert max(len(task.sources) for task in tasks) <= BUNDLE // 10 + 1


def test_errors_of_a_joined_recording_are_without_its_names() -> None:
    part = Source("anna/anna-smith-01.csv", "0" * 64, 10, "")
    text = "no file 'anna/anna-smith-01.csv' (ANNA, smith) in recording study-7"
    scrubbed = Source("study-7/x", "1" * 64, 10, "", parts=(part,)).scrub(text)
    assert not [name for name in ("anna", "smith", "study-7", "ANNA") if name in scrubbed]


def test_inspect_reads_a_folder_as_one_recording(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uncut, cut = made
    shown = []
    for arguments in ([uncut / f"{BEN}.cwa"], [cut / BEN, "--join-folders"]):
        monkeypatch.setattr("sys.argv", ["inspect", *map(str, arguments), "--json", str(tmp_path / "found.json")])
        assert run_command(inspect, "persondays inspect") == 0
        shown.append(json.loads((tmp_path / "found.json").read_text()))
    assert shown[0] == shown[1]
    monkeypatch.setattr("sys.argv", ["inspect", str(cut), "--join-folders"])
    assert run_command(inspect, "persondays inspect") == 1
    assert "expected the files of one recording, found 3 folders with files" in capsys.readouterr().err


def test_a_trial_reads_a_folder_as_one_recording(made: tuple[Path, Path]) -> None:
    cut = made[1]
    with pytest.raises(
        UserError, match=r"expected one recording, found 3\. Name one of them, or join parts of one with"
    ):
        try_recording(str(cut / BEN))
    size, trial = try_recording(str(cut / BEN), join_folders=True)
    assert size == sum(path.stat().st_size for path in (cut / BEN).iterdir())
    assert trial.person_days == 2


@pytest.mark.usefixtures("ray_here")
def test_recordings_of_one_date_are_reported_and_joining_is_proposed(made: tuple[Path, Path], tmp_path: Path) -> None:
    settings = settings_of(made[1], tmp_path / "store", tmp_path, join_folders=False)
    dry = plan_ingest(settings)
    summary = run_ingest(settings)
    proposal = "--join-folders, --join-map or --join-regex makes one of them"
    for found, counts in ((dry, "11 recordings of 2 participants"), (summary, "13 recordings of 3 participants")):
        note = f"note: {counts} follow each other within a date. If they are parts of one recording, {proposal}"
        assert note in found.text()  # the ends of Clara's parts seem to overlap
    assert "overlap in time" not in summary.text()
    assert inspect_totals(Store.open(settings.store))["same_dates"] == {"in_turn": 13, "at_once": 0}
    assert (summary.done, summary.person_days) == (13, 13)
