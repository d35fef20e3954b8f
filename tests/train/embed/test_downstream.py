"""docs/downstream.md, line by line, on simulated recordings; and the same by `embed --recordings`."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from train.networks import NetworkSettings, make_network

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "downstream.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_page_goes_from_recordings_to_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = make_network(NetworkSettings("harnet10", 0.0625))
    weights = {f"feature_extractor.{name}": tensor for name, tensor in network.state_dict().items()}
    save_file(weights, tmp_path / "weights.safetensors")
    run(tmp_path, "simulate", "recordings", "--participants", "2", "--days", "0.2")
    places = {
        "/data/csv": "recordings",
        "~/study.key": "key",
        "/data/store": "store",
        "my-harnet": "weights.safetensors",
    }
    commands = [shlex.split(line) for line in blocks("")[0].splitlines()]
    assert [words[1] for words in commands] == ["install", "new-key", "ingest", "embed"]
    for words in commands[1:]:
        run(tmp_path, *(places.get(word, word) for word in words[1:]))
    monkeypatch.chdir(tmp_path)
    found: dict[str, object] = {}
    exec(blocks("python")[0], found)
    assert len(found["people"]) == 2  # type: ignore[arg-type]

    flags = ["--model", "weights.safetensors", "--out", "again", "--pool", "hour", "--key-file", "key"]
    run(tmp_path, "embed", "--recordings", "recordings", *flags, "--", "--id-regex", "(P[0-9]+)")
    assert (tmp_path / "again-store" / "zarr.json").exists()
    columns = ["start_second", "time", "eligible_share", "participant", "vector"]
    assert pq.read_table(tmp_path / "again", columns=columns).sort_by("participant") == pq.read_table(
        tmp_path / "features", columns=columns
    ).sort_by("participant")
