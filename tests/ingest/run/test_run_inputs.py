"""The inputs of a run: every mistake in them is one message before Ray is started or anything written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingest.participants import by_map, by_regex
from ingest.run.driver import run_ingest
from ingest.run.inputs import read_inputs, write_name_map
from ingest.run.plan import Catalogue, plan_rows
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source, list_sources
from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.settings import build
from pipeline.storage.folder import Folder
from tests.ingest import cohort
from tests.ingest.cohort import ANNA, BEN, KEY

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "participant"),
    [
        ("1000022_90001_0_0.cwa", "1000022"),
        ("batch 7/1000022_90001_1_3.cwa.gz", "1000022"),
        ("x1000022_90001_0_0.cwa", None),
        ("1000022_90004_0_0.cwa", None),
    ],
)
def test_the_preset_for_uk_biobank(name: str, participant: str | None) -> None:
    assert by_regex("ukb")(name) == participant


@pytest.mark.parametrize(("regex", "message"), [("([0-9]+", "not a regular expression"), ("[0-9]+", "no group")])
def test_a_regular_expression_that_cannot_be_used(regex: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        by_regex(regex)


def test_a_map_matches_names_paths_and_wildcards(tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text("participant,name,note\nAnna,a/1.cwa,\nBen,2.cwa,x\nClara,c_*.cwa,\nDora,d/*,\nAnna,a/*,\n")
    rule = by_map(file)
    assert rule("a/1.cwa") == rule("a/b.cwa") == "Anna"
    assert rule("deep/2.cwa") == "Ben"
    assert rule("deep/c_9.cwa") == "Clara"
    assert rule("d/x.cwa") == "Dora"
    assert rule("else.cwa") is None
    with pytest.raises(UserError, match="2 participants"):
        rule("d/c_9.cwa")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1234567_90001_0_0.cwa,Anna\n", "found another first line"),
        ("", "found nothing"),
        ("name,participant\na.cwa,\n", "line 2.*empty field"),
        ("name,participant\na.cwa,X\na.cwa,Y\n", "line 3.*another participant"),
    ],
)
def test_a_map_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "map.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        by_map(file)
    assert "Anna" not in str(error.value)


def test_recordings_are_listed_by_their_path_below_the_folder(cohort_folder: Path, tmp_path: Path) -> None:
    _, sources = list_sources(f"{cohort_folder}/", KEY)
    assert {source.name for source in sources} == {*cohort.GOOD, *cohort.BAD}
    assert {source.id for source in sources if source.name == ANNA[0]} == {KEY.recording(ANNA[0])}
    assert [source.id for source in sources] == sorted(source.id for source in sources)
    assert all(not set(source.alias) & set("_/") for source in sources)
    folder, (one,) = list_sources(str(cohort_folder / BEN), KEY)
    assert (one.name, one.id) == (BEN, KEY.recording(BEN))
    assert folder.url == str(cohort_folder)


def test_files_that_flags_name_are_not_recordings_though_they_are_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    (folder / "lists").mkdir(parents=True)
    for name in ("a.csv", "people.csv", "lists/names.csv", "lists/b.csv"):
        (folder / name).write_text("name,participant\n*,Anna\n")
    settings = cohort.settings(
        folder,
        tmp_path / "store",
        participants=folder / "people.csv",
        name_map=folder / "lists" / ".." / "lists" / "names.csv",
    )
    (folder / "lists" / "names.csv").unlink()
    for _ in range(2):
        assert {source.name for source in read_inputs(settings).sources} == {"a.csv", "lists/b.csv"}


def test_a_change_in_place_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "a.cwa"
    file.write_bytes(b"12345")
    (first,) = list_sources(str(tmp_path), KEY)[1]
    (again,) = list_sources(str(tmp_path), KEY)[1]
    file.write_bytes(b"54321")
    (other,) = list_sources(str(tmp_path), KEY)[1]
    assert first == again
    assert first.id == other.id
    assert first.fingerprint != other.fingerprint


def test_a_file_name_need_not_be_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / os.fsdecode(b"M\xfcller.cwa")).write_bytes(b"x")
    _, sources = list_sources(str(folder), KEY)
    write_name_map(tmp_path / "names.csv", sources, Folder(str(tmp_path / "store")))
    write_name_map(tmp_path / "names.csv", sources, Folder(str(tmp_path / "store")))
    assert (tmp_path / "names.csv").read_bytes() == f"recording,name\n{sources[0].id},".encode() + b"M\xfcller.cwa\n"


def test_a_map_of_names_keeps_earlier_names_and_overwrites_no_other_file(tmp_path: Path) -> None:
    file, store = tmp_path / "names.csv", Folder(str(tmp_path / "store"))
    write_name_map(file, [source("a"), source("b")], store)
    write_name_map(file, [source("b"), source("c")], store)
    assert file.read_text() == "recording,name\na,a.cwa\nb,b.cwa\nc,c.cwa\n"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("name,participant\na.cwa,Anna\n")
    with pytest.raises(UserError, match="found another file"):
        write_name_map(file, [source("a")], store)
    assert "Anna" in file.read_text()


def _wrong(folder: Path, tmp_path: Path, undisturbed: Path) -> dict[str, tuple[IngestSettings, str]]:
    def made(**more: Any) -> IngestSettings:
        return cohort.settings(folder, **{"store": undisturbed, **more})

    empty, other = tmp_path / "empty", tmp_path / "other key"
    empty.mkdir()
    (empty / "photo.jpg").write_bytes(b"")
    other.write_text(Key(b"k" * 32).secret.hex())
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    people = tmp_path / "people.csv"
    people.write_text(cohort.MAP.replace("Ben", "Benjamin"))
    nobody = tmp_path / "nobody.csv"
    nobody.write_text("name,participant\nnowhere.cwa,X\n")
    return {
        "missing folder": (made(recordings=str(tmp_path / "nowhere")), "no such file or folder"),
        "empty folder": (made(recordings=str(empty)), r"\.cwa, .*found 1 files? of other kinds"),
        "no recording": (made(recordings=str(empty / "photo.jpg")), "found a file of another kind"),
        "another key": (made(key_file=other), "another key"),
        "other settings": (made(relative_dates=True), "relative_dates: store False, now True"),
        "other codec": (made(codec="zstd"), "compressed with lz4, and --codec is zstd"),
        "other people": (made(participants=people), "1 recording in it .* another participant"),
        "nobody named": (made(participants=None), "made with --participants or --id-regex"),
        "nobody's": (made(participants=nobody), "none of 8 recordings matches"),
        "foreign folder": (made(store=str(foreign)), r"found thesis\.tex"),
        "names in the store": (made(name_map=undisturbed / "names.csv"), "must not hold names"),
    }


def test_every_mistake_is_one_message(cohort_folder: Path, undisturbed: Path, tmp_path: Path) -> None:
    before = cohort.rows(undisturbed)
    for mistake, (settings, message) in _wrong(cohort_folder, tmp_path, undisturbed).items():
        with pytest.raises(UserError) as error:
            pytest.fail(f"{mistake} went unnoticed: {run_ingest(settings).text()}")
        assert re.search(message, str(error.value)), mistake
    assert cohort.rows(undisturbed) == before
    assert not (undisturbed / "names.csv").exists()


def test_recordings_without_a_participant_are_left_out_and_counted(
    cohort_folder: Path, undisturbed: Path, tmp_path: Path
) -> None:
    people = tmp_path / "people.csv"
    people.write_text("name,participant\nanna.smith/*,Anna Smith\n")
    summary = run_ingest(cohort.settings(cohort_folder, undisturbed, participants=people))
    assert summary.nothing_to_do
    assert (summary.done_before, summary.left_out) == (2, 6)
    assert "2 recordings done, 6 left out (no participant)" in summary.text()


def test_participants_are_named_in_one_way_only() -> None:
    table = {"recordings": "a", "store": "b", "participants": "c.csv", "id_regex": "ukb"}
    with pytest.raises(UserError, match="give one"):
        build(IngestSettings, table, "run.toml")


def test_flags_override_a_settings_file(cohort_folder: Path, undisturbed: Path, tmp_path: Path) -> None:
    settings = cohort.settings(cohort_folder, undisturbed)
    file = tmp_path / "run.toml"
    file.write_text(
        f"recordings = '{cohort_folder}'\nstore = '{undisturbed}'\nkey_file = '{settings.key_file}'\n"
        "[signal]\nresampling = 'nearest'\n"
    )
    command = [sys.executable, "-m", "ingest", "--config", str(file), "--participants", str(settings.participants)]
    wrong = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: ")
    assert "resampling: store 'bandlimited', now 'nearest'" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    right = subprocess.run(
        [*command, "--resampling", "bandlimited"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert right.stdout.startswith("nothing to do: 4 recordings done, 4 rejected")
    assert right.returncode == 0


PEOPLE = {"a": "anna", "b": "ben"}


def source(id_: str, fingerprint: str = "f") -> Source:
    return Source(f"{id_}.cwa", id_, 1, fingerprint)


def test_slots_are_never_assigned_twice() -> None:
    catalogue = Catalogue({}, frozenset())
    catalogue.add_plan(plan_rows([(source("a", "1"), 3), (source("b"), 2)], PEOPLE, 0))
    assert catalogue.end_of_plan == 5
    assert catalogue.planned(source("a", "1")) is not None
    assert catalogue.planned(source("a", "2")) is None
    catalogue.add_plan(plan_rows([(source("a", "2"), 1)], PEOPLE, catalogue.end_of_plan))
    catalogue.add_plan(plan_rows([(source("a", "1"), 3)], PEOPLE, catalogue.end_of_plan))
    planned = catalogue.planned(source("a", "1"))
    assert planned is not None
    assert planned["first_slot"] == 6
    assert catalogue.planned(source("a", "2")) is None
    assert catalogue.old_slots("a", 6) == [0, 1, 2, 5]
    assert catalogue.old_slots("b", 3) == []
    assert catalogue.old_slots("b", None) == [3, 4]


def test_done_means_unchanged() -> None:
    rows = [
        {"recording": "a", "source": "1", "status": "done"},
        {"recording": "b", "source": "1", "status": "rejected"},
    ]
    catalogue = Catalogue({row["recording"]: row for row in rows}, frozenset())
    assert catalogue.is_done(source("a", "1"), retry_rejected=True)
    assert not catalogue.is_done(source("a", "2"))
    assert catalogue.is_done(source("b", "1"))
    assert not catalogue.is_done(source("b", "1"), retry_rejected=True)
    assert not catalogue.is_done(source("c", "1"))
