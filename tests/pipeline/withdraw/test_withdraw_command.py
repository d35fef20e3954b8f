"""`persondays withdraw`: what it prints, its exit status, its errors."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pipeline.cli import run_command
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.withdraw.command import withdraw
from pipeline.withdraw.forget import forget
from tests.pipeline import six_participants as people
from tests.pipeline.six_participants import ANN, BOB, EMIL, KEY, TODAY, files_in


def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *flags: object
) -> tuple[int, str, str]:
    """Run the command in this process: exit status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["withdraw", *map(str, flags)])
    status = run_command(withdraw, "withdraw")
    output = capsys.readouterr()
    return status, output.out, output.err


@pytest.fixture
def flags(store: Store, tmp_path: Path) -> list[object]:
    """The store and its key."""
    (tmp_path / "key").write_text(KEY.secret.hex())
    return ["--store", store.folder.url, "--key-file", tmp_path / "key"]


def test_names_are_hashed_and_never_shown(
    flags: list[object],
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = tmp_path / "who"
    who.write_text("Ann\nZoe Unknown\n")
    status, out, err = command(capsys, monkeypatch, *flags, "--participants", who, "--prove", "--also-unknown")
    assert status == 0, err
    message = "2 participants in the file: 1 known to the store, 1 unknown (line 2), 0 already withdrawn."
    assert out.startswith(message)
    assert "withdrawn: 2 participants; the store still held 2 recordings and 3 person-days of theirs" in out
    assert all(word in out for word in ("backups", "checkpoints and logs of training", "logs of ingest, of Ray"))
    assert "proven: every byte" in out
    assert not any(name in out + err for name in ("Ann", "Zoe", ANN))
    assert store.withdrawals.participants() == {ANN, KEY.participant("Zoe Unknown")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eid\nAnn\n", "1 known to the store, 1 unknown (line 1), 1 already withdrawn"),
        ("Ann\nann\n'Ann'\n", "1 known to the store, 2 unknown (lines 2, 3), 1 already withdrawn"),
        ("Ann\n" + "0" * 64, "1 known to the store, 1 unknown (line 2), 1 already withdrawn"),
        (
            "\n".join(f"Zoe {number}" for number in range(500)),
            "0 known to the store, 500 unknown (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 490 more), 1 already",
        ),
    ],
)
def test_unknown_participants_are_an_error_before_anything_is_registered(
    flags: list[object],
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    message: str,
) -> None:
    forget(store, [BOB], TODAY)
    (tmp_path / "who").write_text(f"{text}\nBob\n")
    before = files_in(store.folder.path)
    status, out, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who", "--prove")
    assert (status, out) == (1, "")
    assert message in err
    assert "--also-unknown" in err
    assert ("header" in err) == text.startswith("eid")
    assert not any(name in err for name in ("Ann", "ann", "Zoe", "Bob"))
    assert files_in(store.folder.path) == before


def test_participants_with_only_a_rejected_recording_or_slots_are_known(
    flags: list[object],
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "who").write_text("participant,date\nClara,2026-03-04\nDora,2026-03-04\n")
    status, out, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who")
    assert status == 0, err
    assert "2 known to the store, 0 unknown, 0 already withdrawn" in out


def test_another_key_is_refused_before_anything_is_registered(
    flags: list[object],
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "who").write_text("Ann\n")
    (tmp_path / "key").write_text("0" * 64)
    status, _, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who")
    assert status == 1
    assert "another key" in err
    assert store.withdrawals.participants() == set()


def test_without_participants_it_finishes_earlier_withdrawals(
    flags: list[object], store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--participants is missing" in command(capsys, monkeypatch, *flags)[2]
    store.withdrawals.begin([ANN], TODAY)
    assert "not finished" in command(capsys, monkeypatch, *flags, "--prove")[2]
    assert "withdrawn: 1 participant;" in command(capsys, monkeypatch, *flags)[1]
    assert command(capsys, monkeypatch, *flags, "--prove")[0] == 0


def test_a_table_that_cannot_be_read_is_one_message_without_ids(
    flags: list[object],
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "who").write_text("Ann\n")
    for uri in store.person_days.delta.file_uris():
        Path(uri).write_bytes(b"damaged")
    status, _, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who")
    assert status == 1
    assert err.startswith("error: ")
    assert "the table cannot be read" in err
    assert not re.search("[0-9a-f]{64}|data.where", err)


def test_a_withdrawal_during_another_run_is_registered_and_exits_with_1(
    flags: list[object],
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "who").write_text("Ann\n")
    line = [*flags, "--participants", tmp_path / "who"]
    with Lease(store.folder, heartbeat_s=0.1):
        status, out, err = command(capsys, monkeypatch, *line)
    assert (status, "withdrawn:" in out) == (1, False)
    assert "Nothing of them is deleted yet. Run the same command again" in err
    assert store.withdrawals.unfinished() == {ANN}
    status, out, _ = command(capsys, monkeypatch, *line)
    assert (status, "1 already withdrawn" in out, "3 person-days" in out) == (0, True, True)


def test_the_same_days_under_another_name_are_an_error_that_names_the_recording(
    flags: list[object],
    store: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.person_days.append([people.day_row(EMIL, 0, 11, 1, store.read_day(3).checksum())])
    (tmp_path / "who").write_text("Bob")
    status, out, err = command(capsys, monkeypatch, *flags, "--participants", tmp_path / "who")
    assert (status, "withdrawn:" in out) == (1, True)
    assert people.recordings_of(EMIL)[0][:12] in err
