"""Shared by all tests: where the real recordings are, when they are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # other work on the machine is no fault of what is tested
settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of two processes that test (make test), one takes all that needs Ray; else a file's tests stay together."""
    for item in items:
        needs_ray = "ray_here" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("ray" if needs_ray else item.path.name))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings and labelled sets; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no real recordings here: they live beside the project, in ../shared/data, and are not part of it")
    return SHARED
