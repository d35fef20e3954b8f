"""Pages made with the command, and a check that they identify nobody."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import run_command
from pipeline.report.command import report
from tests.pipeline.cohorts import KEY, MadeCohort
from tests.pipeline.pages import Page

MIDDLE = 5_000
LONG_ID = re.compile("[0-9a-f]{13}")
SHORT_ID = re.compile(r"\b[0-9a-f]{12}\b")
PICTURE = re.compile('src="data:image/png;base64,[^"]*"')


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    return run_command(report, "report")


def make_page(store: str, out: Path, **options: Any) -> tuple[str, Page]:
    """Make the page with the command; returns its source without the pictures, and its text."""
    report(store, out, **{"check_ukb": None, "key_file": None, "for_release": False} | options)
    source = out.read_text(encoding="utf-8")
    return PICTURE.sub('src="data:"', source), Page(source)


def assert_nobody_identified(source: str, made: MadeCohort) -> None:
    """There is no full id, name, date or path, and everything that looks like an id is a short id."""
    assert not LONG_ID.search(source)
    ids = {made.id(index)[:12] for index in range(len(made.names))}
    ids |= {KEY.recording(f"bad{index}")[:12] for index in range(made.rejected)}
    assert set(SHORT_ID.findall(source)) <= ids
    assert not re.search(r"\b(19|20)\d\d-\d\d\b|_90001_|\.cwa\b(?! recording)|\b1\d{6}\b", source)
    assert made.store.folder.url not in source
