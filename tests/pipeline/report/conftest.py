"""Cohorts of 60 and 5,000 recordings, their pages, and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.cohorts import KEY, MadeCohort, write_cohort
from tests.pipeline.pages import Page
from tests.pipeline.report.made_pages import MIDDLE, make_page


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeCohort:
    """A cohort of 5,000 recordings; tests do not change it."""
    return write_cohort(str(tmp_path_factory.mktemp("middle") / "store"), MIDDLE)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> MadeCohort:
    """A cohort of 60 recordings with the states of all their days; tests do not change it."""
    return write_cohort(str(tmp_path_factory.mktemp("small") / "store"), 60, states=True)


@pytest.fixture(scope="session")
def small_page(small: MadeCohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page, Path]:
    """The page of the small cohort: its source without pictures, its text, and its path."""
    out = tmp_path_factory.mktemp("small_page") / "report.html"
    return (*make_page(small.store.folder.url, out), out)


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_text(KEY.secret.hex())
    return path


@pytest.fixture(scope="session")
def page(made: MadeCohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page, Path]:
    """The page of the cohort: its source without pictures, its text, and its path."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    return (*make_page(made.store.folder.url, out), out)
