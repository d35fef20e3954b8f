"""Stores of six participants: as ingest leaves one, and after two of them have withdrawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.store.store import Store
from pipeline.withdraw.forget import forget
from tests.pipeline import six_participants as people
from tests.pipeline.six_participants import ANN, DORA, TODAY


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "store"
    people.make(str(folder))
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    """A store to be changed."""
    shutil.copytree(made, tmp_path / "store")
    return Store.open(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def made_withdrawn(made: Path) -> Path:
    """A store from which Ann and Dora have withdrawn, not to be changed."""
    folder = made.with_name("withdrawn")
    shutil.copytree(made, folder)
    forget(Store.open(str(folder)), [ANN, DORA], TODAY)
    return folder


@pytest.fixture
def withdrawn(made_withdrawn: Path, tmp_path: Path) -> Store:
    """A store from which Ann and Dora have withdrawn, to be changed."""
    shutil.copytree(made_withdrawn, tmp_path / "store")
    return Store.open(str(tmp_path / "store"))
