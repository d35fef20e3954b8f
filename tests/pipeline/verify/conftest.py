"""An undamaged store, and copies of it to be damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.store.store import Store
from tests.pipeline.verify.three_recordings import make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undamaged store; not to be changed."""
    return Path(make(str(tmp_path_factory.mktemp("made") / "store")).folder.path)


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    """A copy, to be damaged."""
    shutil.copytree(made, tmp_path / "store")
    return Store.open(str(tmp_path / "store"))
