"""Fixtures of ingest tests: one Ray, one cohort, one undisturbed run over it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest import cohort


@pytest.fixture(scope="session")
def ray_here() -> Iterator[str]:
    """A Ray of two CPUs for runs in this process, and its address for other processes."""
    from ingest.run.cluster import ray_session

    with ray_session(workers=2):
        import ray

        yield ray.get_runtime_context().gcs_address


@pytest.fixture(scope="session")
def cohort_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings; tests must not change them."""
    folder = tmp_path_factory.mktemp("cohort") / "recordings"
    folder.mkdir()
    cohort.make(folder)
    return folder


@pytest.fixture(scope="session")
def undisturbed(ray_here: str, cohort_folder: Path) -> Path:
    """The store of an undisturbed run; tests must not change it."""
    from ingest.run.driver import run_ingest

    store = cohort_folder.parent / "undisturbed"
    run_ingest(cohort.settings(cohort_folder, store))
    return store


@pytest.fixture(scope="session")
def long_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings that take a while; tests must not change them."""
    folder = tmp_path_factory.mktemp("long") / "recordings"
    folder.mkdir()
    cohort.make_long(folder)
    return folder


@pytest.fixture(scope="session")
def long_undisturbed(ray_here: str, long_folder: Path) -> Path:
    """The store of an undisturbed run over them; tests must not change it."""
    from ingest.run.driver import run_ingest

    store = long_folder.parent / "undisturbed"
    run_ingest(cohort.settings(long_folder, store))
    return store


@pytest.fixture
def copies(cohort_folder: Path, undisturbed: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the recordings and of their finished store, which a test may change."""
    recordings, store = tmp_path / "recordings", tmp_path / "store"
    shutil.copytree(cohort_folder, recordings)  # keeps the times of modification
    shutil.copytree(undisturbed, store)
    return recordings, store
