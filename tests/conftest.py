"""Shared by all tests: the order they run in, and the folder of real recordings where there is one."""

from __future__ import annotations

import os
import random
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # other work on the machine is no fault of what is tested
settings.load_profile("untimed")

REAL_DATA = os.environ.get("PERSONDAYS_REAL_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
"""The folder of real recordings; empty: skip the tests that need them."""
ORDER = os.environ.get("PERSONDAYS_TEST_ORDER")
"""A seed: run the files, and the tests of each, in an order of its own (`make test-machines`)."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several test processes (make test), one runs all tests that need Ray; other files are not divided."""
    if ORDER:
        items[:] = shuffled(items, ORDER)
    for item in items:
        needs_ray = "ray_here" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("ray" if needs_ray else item.location[0]))


def shuffled(items: list[pytest.Item], seed: str) -> list[pytest.Item]:
    """The tests with files in random order and the tests of each file too, so that a file's fixtures are made once."""
    order, files = random.Random(seed), [list(tests) for _, tests in groupby(items, lambda item: item.path)]
    order.shuffle(files)
    return [test for tests in files for test in order.sample(tests, len(tests))]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings and labelled sets; skips where it is absent."""
    if not REAL_DATA or not Path(REAL_DATA).is_dir():
        pytest.skip("no real recordings here: they are in ../shared/data or PERSONDAYS_REAL_DATA, not in the project")
    return Path(REAL_DATA)
