"""One torch thread per test process: more would slow down small tensors, and change the order of sums."""

from __future__ import annotations

import pytest
import torch

from tests.train.days import write_store

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of five participants with two made days each; tests must not change it."""
    return write_store(str(tmp_path_factory.mktemp("made") / "store"), people=5, days=2).folder.url
