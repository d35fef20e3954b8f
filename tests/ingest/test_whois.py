"""Whois: from ids back to names, for whoever has the key and the maps, and for nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.run.inputs import write_name_map
from ingest.run.sources import list_sources
from ingest.whois.names import DEVICE, PARTICIPANT, RECORDING, Names, know, whois
from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.storage.folder import Folder
from pipeline.store.store import Store
from tests.ingest import cohort
from tests.ingest.cohort import ANNA, BEN, CLARA, KEY

ROOT = Path(__file__).parents[2]
OTHER = Key(bytes(32))


@pytest.fixture(scope="module")
def files(cohort_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The name map of the cohort, the map of participants, and the key."""
    settings = cohort.settings(cohort_folder, cohort_folder.parent / "unused")
    path = tmp_path_factory.mktemp("private") / "names.csv"
    write_name_map(path, list_sources(settings.recordings, KEY)[1], Folder(settings.store))
    assert settings.participants
    assert settings.key_file
    return path, settings.participants, settings.key_file


def test_recordings_participants_and_devices_are_named(files: tuple[Path, Path, Path], undisturbed: Path) -> None:
    from ingest.devices.registry import decode

    names = know(KEY, files[0], files[1], None, Store.open(str(undisturbed)))
    found, problems = whois([KEY.recording(ANNA[0])[:12], KEY.participant("Anna Smith").upper()], names)
    assert problems == []
    recording, person = found
    assert (recording.kind, recording.name) == (RECORDING, ANNA[0])
    assert {(other.kind, other.name) for other in recording.others if other.kind == PARTICIPANT} == {
        (PARTICIPANT, "Anna Smith")
    }
    assert (person.kind, person.name) == (PARTICIPANT, "Anna Smith")
    assert {other.name for other in person.others} == set(ANNA)
    serial = decode((undisturbed.parent / "recordings" / BEN).read_bytes(), BEN).serial
    ((device,), _) = whois([KEY.device(serial)[:20]], names)
    assert (device.kind, device.name) == (DEVICE, serial)
    assert BEN in {other.name for other in device.others}


def test_every_map_alone_gives_the_names_in_it(files: tuple[Path, Path, Path], undisturbed: Path) -> None:
    asked = [KEY.recording(CLARA)[:12], KEY.participant("Clara")[:12]]
    found, problems = whois(asked, know(KEY, files[0], None, None, None))
    assert [someone.name for someone in found] == [CLARA]
    assert problems == [f"{asked[1]} is not among the known ids"]
    found, problems = whois(asked, know(KEY, None, files[1], None, None))
    assert [someone.name for someone in found] == ["Clara"]
    found, problems = whois(asked, know(KEY, None, None, None, Store.open(str(undisturbed))))
    assert problems == []
    assert [someone.name for someone in found] == ["", ""]
    assert found[1].others[0].id == KEY.recording(CLARA)
    ((ben,), _) = whois([KEY.participant("1000022")], know(KEY, files[0], None, "ukb", None))
    assert ben.name == "1000022"


@given(st.lists(st.text(max_size=8), min_size=1, max_size=30, unique=True), st.integers(6, 64))
def test_any_name_is_found_by_any_prefix(texts: list[str], digits: int) -> None:
    names = Names(KEY)
    names.known[RECORDING] = {KEY.recording(name): name for name in texts}
    for name in texts:
        found, problems = whois([KEY.recording(name)[:digits]], names)
        assert name in {someone.name for someone in found}
        assert bool(problems) == (len(found) > 1)


def test_ambiguous_digits_list_all() -> None:
    names = Names(KEY)
    names.known[RECORDING] = {"abcdef0" + "0" * 57: "one", "abcdef1" + "0" * 57: "two"}
    found, problems = whois(["abcdef"], names)
    assert [someone.name for someone in found] == ["one", "two"]
    assert problems == ["abcdef is the beginning of 2 ids, all listed: give more digits"]


def test_files_of_another_key_are_refused(files: tuple[Path, Path, Path], undisturbed: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Give the key that the map was made with"):
        know(OTHER, files[0], None, None, None)
    with pytest.raises(UserError, match="made with another key"):
        know(OTHER, None, files[1], None, Store.open(str(undisturbed)))
    with pytest.raises(UserError, match="there is no such file"):
        know(KEY, tmp_path / "none.csv", None, None, None)
    changed = tmp_path / "changed.csv"
    lines = files[0].read_text().splitlines()
    changed.write_text("\n".join([*lines[:2], lines[2] + "x", *lines[3:]]))
    with pytest.raises(UserError, match="1 of 8 ids are not those of their names"):
        know(KEY, changed, None, None, None)
    for wrong in ("abc", "Anna Smith", "g" * 12):
        with pytest.raises(UserError, match="is not an id"):
            whois([wrong], Names(KEY))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys; from pipeline.cli import run_command; from ingest.whois.command import whois; "
    code += "sys.exit(run_command(whois, 'whois'))"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_command(files: tuple[Path, Path, Path], undisturbed: Path) -> None:
    name_map, people, key = files
    flags = ["--name-map", name_map, "--participants", people, "--key-file", key, "--store", undisturbed]
    done = run(KEY.recording(ANNA[1])[:12], *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:1] == [f"recording {KEY.recording(ANNA[1])[:12]}  {ANNA[1]}"]
    assert f"  participant {KEY.participant('Anna Smith')[:12]}  Anna Smith" in done.stdout.splitlines()
    assert done.stderr == ""
    done = run("0123456789ab", "--name-map", name_map, "--key-file", key)
    assert done.returncode == 1
    assert "Not given were --store, --participants or --id-regex" in done.stderr
    done = run("0123456789ab", "--key-file", key)
    assert done.returncode == 1
    assert "only compared with names" in done.stderr
