"""The file of participants: names, columns and keyed ids; and its errors, which show no name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.withdraw.participants import read_participants
from tests.pipeline.six_participants import ANN, BOB, KEY


def read(path: Path, text: str) -> list[tuple[str, int]]:
    path.write_text(text, encoding="utf-8-sig")
    return [(person.id, person.line) for person in read_participants(path, lambda: KEY)]


@pytest.mark.parametrize(
    "text",
    [
        "Ann\n\n  Bob \nAnn\n",
        f"Ann\n\n{BOB}\n",
        "date,participant\n2026-01-01,Ann\n2026-01-02,Bob\n".replace("Ann\n", "Ann\n\n"),
        "participant\nAnn\n\nBob\nAnn",
        f"{ANN.upper()}\n\n{BOB}",
        '\n"date",participant,\n"a,\nb",Ann,\n\n , ,\n"c", Bob ,\n',
    ],
)
def test_names_are_read_from_lines_columns_and_keyed_ids(tmp_path: Path, text: str) -> None:
    assert [id_ for id_, _ in read(tmp_path / "who", text)] == [ANN, BOB]


def test_line_numbers_are_those_of_an_editor(tmp_path: Path) -> None:
    assert read(tmp_path / "who", "Ann\n\nBob") == [(ANN, 1), (BOB, 3)]
    assert read(tmp_path / "who", "participant\n\nAnn\nBob") == [(ANN, 3), (BOB, 4)]


def test_keyed_ids_need_no_key(tmp_path: Path) -> None:
    (tmp_path / "who").write_text(f"{ANN}\n")
    assert [person.id for person in read_participants(tmp_path / "who", pytest.fail)] == [ANN]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "found none"),
        ("participant\n", "found none"),
        ("name,participant\na.cwa,Ann\n", "ingest's map of all participants"),
        ("participant,date\nAnn,1\n,2\n", "line 3: expected a participant"),
        ("eid,date\nAnn,2026-01-01\n", "line 1: expected only a name, found ','.*names the column participant"),
        ("participant;date\nAnn;2026-01-01\n", "line 1: expected only a name, found ';'"),
        ('Bob\n"Ann"\n', "line 2: expected only a name, found '\"'"),
        ("Bob\nAnn\t1\n", "line 2: expected only a name"),
        ("participant\nSmith, Ann\n", "line 2: expected 1 fields as in the first line, found 2"),
        ('participant\n"Ann\n', "cannot read the participants.*unexpected end"),
    ],
)
def test_errors_show_no_name(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as raised:
        read(tmp_path / "who", text)
    assert "Ann" not in str(raised.value)


def test_a_name_with_a_comma_needs_a_column(tmp_path: Path) -> None:
    expected = [(KEY.participant('Smith, Ann "A"'), 2)]
    assert read(tmp_path / "who", 'participant\n"Smith, Ann ""A"""\n') == expected


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the participants"):
        read_participants(tmp_path / "nobody", lambda: KEY)
