"""The store of six participants."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.days import write_store
from tests.train.windows.withdrawn.six_people import DAYS


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Six participants with two days each."""
    return write_store(str(tmp_path / "store"), people=6, days=DAYS).folder.url
