"""Flags that follow from settings: each option sets its field, and one that is not given sets nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

from pipeline.cli import run_command
from pipeline.command_output import output_json
from pipeline.errors import UserError
from pipeline.flags import Flag, flag_names, takes_flags
from pipeline.settings import build, merge


@dataclass(frozen=True)
class Colour:
    name: Annotated[Literal["red", "blue"], Flag("A colour.")] = "red"
    share_hz: Annotated[float | None, Flag("A share.", "share")] = None
    hidden: int = 3
    is_dark: Annotated[bool | None, Flag("Dark.", "dark/--no-dark")] = None


@dataclass(frozen=True)
class House:
    folder: Annotated[Path, Flag("A folder.")]
    is_old: Annotated[bool, Flag("Old.")] = False
    rooms: Annotated[int | None, Flag("Rooms.")] = None
    colour: Colour = field(default_factory=Colour)


FOUND: list[Any] = []


@takes_flags(House)
def command(flags: dict[str, Any], own: int = typer.Option(1, help="Its own.")) -> None:
    """Build a house."""
    FOUND.append((build(House, merge({"rooms": 4, "colour": {"hidden": 5}}, flags), "house"), own))


@takes_flags(House, only=("rooms",))
def small(flags: dict[str, Any]) -> None:
    """Count rooms."""
    FOUND.append(flags)


def call(monkeypatch: pytest.MonkeyPatch, function: Any, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["house", *arguments])
    FOUND.clear()
    return run_command(function, "house")


def test_flags_override_a_table_and_only_those_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, command, "--folder", "a/b", "--share", "2", "--own", "7") == 0
    assert [(House(Path("a/b"), rooms=4, colour=Colour("red", 2.0, 5)), 7)] == FOUND
    assert call(monkeypatch, command, "--folder", "a", "--is-old", "--rooms", "2", "--name", "blue") == 0
    assert [(House(Path("a"), True, 2, Colour("blue", None, 5)), 1)] == FOUND
    assert call(monkeypatch, small, "--rooms", "3") == 0
    assert FOUND == [{"rooms": 3}]


def test_wrong_flags_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, command, "--folder", "a", "--name", "green") == 1
    assert "house: colour: name: expected one of red, blue, found 'green'." in capsys.readouterr().err
    for flags in (["--folder", "a", "--hidden", "3"], ["--rooms", "many"], ["--share-hz", "2"], ["--no-is-old"]):
        assert call(monkeypatch, command, *flags) == 2
    assert call(monkeypatch, small, "--folder", "a") == 2
    assert FOUND == []


def test_help_is_that_of_the_settings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, command, "--help") == 0
    shown = capsys.readouterr().out
    for text in ("Build a house.", "--is-old", "A colour.", "--share", "Its own."):
        assert text in shown


def test_json_goes_to_a_file_or_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not output_json({"a": 1}, None)
    assert not output_json({"a": 1}, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'
    assert capsys.readouterr().out == ""
    assert output_json({"a": 1}, Path("-"))
    assert capsys.readouterr().out == '{\n  "a": 1\n}\n'


def test_a_value_in_place_of_a_table_is_an_error_whatever_the_flags() -> None:
    for flags in ({"colour": {"name": None}}, {"colour": {"name": "blue"}}):
        with pytest.raises(UserError, match=r"^house: colour: expected a table, found 3\."):
            build(House, merge({"folder": "a", "colour": 3}, flags), "house")


def test_flags_are_named_as_they_are_written() -> None:
    assert flag_names(House) == ["--folder", "--is-old", "--rooms", "--name", "--share", "--dark"]
    assert flag_names(House, only=("share_hz",)) == ["--share"]
