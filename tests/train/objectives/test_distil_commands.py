"""A wide network distilled into a narrow one by the commands, from simulated recordings to an export."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from train.networks import NetworkSettings, make_network
from train.networks.weights import load_model
from train.tracking.log import read_lines


@pytest.mark.slow
def test_a_wide_network_teaches_a_narrow_one(tmp_path: Path) -> None:
    """The teacher is random: even so, its features tell windows apart, and the student learns which ones it does."""

    def persondays(*words: str) -> None:
        command = [sys.executable, "-m", "pipeline", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    torch.manual_seed(0)
    wide = make_network(NetworkSettings("harnet10", 0.125))
    names = {f"feature_extractor.{name}": tensor for name, tensor in wide.state_dict().items()}
    save_file(names, tmp_path / "wide.safetensors")
    persondays("simulate", "recordings", "--participants", "5", "--days", "0.2")
    persondays("new-key", "key")
    ids = ("--key-file", "key", "--id-regex", "(P[0-9]+)")
    persondays("ingest", "--recordings", "recordings", "--store", "store", *ids)
    persondays("embed", "--model", "wide.safetensors", "--store", "store", "--out", "teacher", "--stride", "20")
    settings = {
        "objective.distil.table": "teacher",
        "objective.distil.queue": 256,
        "network.width": 0.0625,
        "data.lanes": 2,
        "data.threads": 1,
        "data.windows_per_day": 60_000,
        "run.batch": 64,
        "run.windows": 3_200,
        "run.validate_every": 3_200,
        "run.save_every": 3_200,
        "run.threads": 1,
        "run.precision": "float32",
        "optimizer.rate_per_512": 2e-3,
        "optimizer.warmup_windows": 640,
    }
    flags = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    persondays("train", "distil", "--store", "store", "--checkpoints", "run", *flags)
    first, last = (line["real"] for line in read_lines(tmp_path / "run/logs/log.jsonl") if line["kind"] == "validation")
    assert last["loss"] < first["loss"]
    assert last["contrast"]["low"] > last["contrast"]["guessing"]
    persondays("export", "--checkpoint", "run", "--out", "narrow")
    assert load_model(tmp_path / "narrow").features == 64
