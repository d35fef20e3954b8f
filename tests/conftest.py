"""Shared by all tests: where the real recordings are, when they are there."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings and labelled sets; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no real recordings here: they live beside the project, in ../shared/data, and are not part of it")
    return SHARED
