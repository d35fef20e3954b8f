"""A cohort of a hundred thousand recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.report.analysis.coverage import SAMPLE_SIZE
from tests.pipeline.cohorts import HOUR, write_cohort
from tests.pipeline.pages import width_needed
from tests.pipeline.report.made_pages import assert_nobody_identified, make_page
from tests.pipeline.report.published_table import FIELDS, published, write_table


@pytest.mark.slow
def test_a_hundred_thousand_recordings(tmp_path: Path, chromium: str, key_file: Path) -> None:
    """700,000 rows give the same figures and a page of the same size."""
    made = write_cohort(str(tmp_path / "store"), 100_000, states=True)
    table = write_table(tmp_path / "ukb.csv", made, published(made), {field: f"p{field}" for field in FIELDS})
    out = tmp_path / "page.html"
    source, read = make_page(made.store.folder.url, out, check_ukb=table, key_file=key_file)
    assert_nobody_identified(source, made)
    assert out.stat().st_size < 4_000_000
    assert (
        "100,000 recordings accepted 3,000 recordings rejected 98,000 participants 700,000 person-days"
        in read.text["top"]
    )
    count = int((made.day["wear_seconds"] >= 16 * HOUR).sum())
    assert f"person-days worn for at least 16 h {count:,} {count / 700_000:.1%}" in read.text["wear"]
    assert f"Based on {SAMPLE_SIZE:,} of 700,000 person-days (a random sample)" in read.text["hours"]
    assert width_needed(chromium, tmp_path / "profile", out, 390) == 390
