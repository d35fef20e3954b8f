"""Stores without recordings, and pages that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.store.store import Store
from tests.pipeline.cohorts import KEY, MadeCohort
from tests.pipeline.report.made_pages import call


def test_stores_without_recordings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    out.write_text("an earlier page")
    assert call(monkeypatch, "--store", tmp_path / "none", "--out", out) == 1
    assert "expected a window store, found none" in capsys.readouterr().err
    Store.create(str(tmp_path / "empty"), KEY, {"made": "for tests"})
    assert call(monkeypatch, "--store", tmp_path / "empty", "--out", out) == 1
    assert "holds no recordings yet" in capsys.readouterr().err
    assert out.read_text() == "an earlier page"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.pdf", "ends in .html"),
        ("report", "ends in .html"),
        ("folder.html", "found a folder"),
        ("file/below/report.html", "not a folder that you can write to"),
    ],
)
def test_pages_that_cannot_be_written_are_errors(
    made: MadeCohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    message: str,
) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("")
    assert call(monkeypatch, "--store", made.store.folder.url, "--out", tmp_path / name) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
