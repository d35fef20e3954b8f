"""A page for release identifies nobody and hides small counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import UserError
from tests.pipeline.cohorts import MadeCohort
from tests.pipeline.report.made_pages import MIDDLE, SHORT_ID, assert_nobody_identified, make_page
from tests.train.days import write_store


def test_a_page_for_release_identifies_nobody_and_hides_small_counts(made: MadeCohort, tmp_path: Path) -> None:
    source, read = make_page(made.store.folder.url, tmp_path / "page.html", for_release=True)
    assert not SHORT_ID.search(source)
    assert_nobody_identified(source, made)
    assert (
        f"5,000 recordings accepted 150 recordings rejected {MIDDLE - MIDDLE // 50:,} participants" in read.text["top"]
    )
    assert "found …. This is no recording. under 5" in read.text["intake"]
    assert "same signal as another recording one file under two names, perhaps as two people under 5" in " ".join(
        read.text["outliers"].split()
    )
    counts = re.findall(r"\b(\d[\d,]*) \d+%", " ".join(read.text.values()))
    assert len(counts) > 20
    assert all(int(count.replace(",", "")) % 5 == 0 for count in counts)


def test_a_page_for_release_about_four_participants_is_refused(tmp_path: Path) -> None:
    store = write_store(str(tmp_path / "store"), people=4, days=1)
    with pytest.raises(UserError, match="under 5 participants"):
        make_page(store.folder.url, tmp_path / "page.html", for_release=True)
    assert not (tmp_path / "page.html").exists()
