"""A wide network distilled into a narrow one by the commands, from simulated recordings to an export."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from train.networks.weights import load_model
from train.tracking.log import read_lines


@pytest.mark.slow
def test_a_wide_network_teaches_a_narrow_one(tmp_path: Path) -> None:
    """The teacher is the backbone in the box. The student agrees with it on people whom it has not seen."""

    def persondays(*words: str) -> None:
        command = [sys.executable, "-m", "pipeline", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    persondays("simulate", "recordings", "--participants", "5", "--days", "0.2")
    persondays("new-key", "key")
    ids = ("--key-file", "key", "--id-regex", "(P[0-9]+)")
    persondays("ingest", "--recordings", "recordings", "--store", "store", *ids)
    persondays("embed", "--model", "wrist-small", "--store", "store", "--out", "teacher", "--stride", "20")
    settings = {
        "objective.distil.table": "teacher",
        "objective.distil.queue": 256,
        "network.width": 0.0625,
        "data.lanes": 2,
        "data.threads": 1,
        "data.windows_per_day": 60_000,
        "run.batch": 64,
        "run.windows": 6_400,
        "run.validate_every": 6_400,
        "run.save_every": 6_400,
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
