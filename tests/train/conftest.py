"""One thread a test process: small tensors only lose time to more, and sums stay in one order."""

from __future__ import annotations

import pytest
import torch

from tests.train.days import write_store

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of two made days of each of five people, for tests that leave it as it is."""
    return write_store(str(tmp_path_factory.mktemp("made") / "store"), people=5, days=2).folder.url
