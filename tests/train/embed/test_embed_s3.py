"""Tables of features on a real S3 server: the same rows as from a folder, resumed and read there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from infra.s3_server import S3Server
from pipeline.storage.folder import Folder
from tests.s3_here import s3_here
from tests.train.days import NoiseDays, write_store
from train.distributed.processes import Processes
from train.embed.run import EmbedSettings, embed
from train.embed.table import read_vectors
from train.networks import NetworkSettings, make_network


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A local server with a bucket, configured by environment variables."""
    with s3_here(tmp_path_factory.mktemp("s3"), "ours") as server:
        yield server


def test_store_and_table_may_be_on_s3(server: S3Server, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, settings = make_network(NetworkSettings("harnet5", 0.0625)).eval(), EmbedSettings(days_per_file=1)
    made = NoiseDays()
    write_store("s3://ours/store", 1, 3, made=made)
    local = write_store(str(tmp_path / "store"), 1, 3, made=made).folder.url
    embed(network, local, str(tmp_path / "table"), settings, Processes(1))
    embed(network, "s3://ours/store", "s3://ours/table", settings, Processes(1))
    names = Folder("s3://ours/table").names()
    for name in names:
        assert Folder("s3://ours/table").read(name) == (tmp_path / "table" / name).read_bytes()
    Folder("s3://ours/table").delete(names[1:2])
    said = embed(network, "s3://ours/store", "s3://ours/table", settings, Processes(1))
    assert "3 person-days in 3 files" in said
    assert Folder("s3://ours/table").names() == names
    (found,), (expected,) = (read_vectors(url, slots=[1]) for url in ("s3://ours/table", str(tmp_path / "table")))
    np.testing.assert_array_equal(found.vector_NF, expected.vector_NF)
