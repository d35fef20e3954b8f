"""docs/downstream.md, line by line: from csv files to activities, and to features; `embed --recordings` as well."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from tests.train.harnet_file import write_harnet
from train.networks import NetworkSettings, make_network

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "downstream.md").read_text()
RATE_HZ, HOURS, BOUT_S = 25, 3, 300
ACTIVITIES = ("still", "moving", "turning")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def run(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def moved(activity: str, seconds: int, seed: int) -> NDArray[np.float64]:
    """Acceleration in g (samples, 3) of lying still, moving at 2 Hz, or turning slowly."""
    rng = np.random.default_rng(seed)
    time = np.arange(seconds * RATE_HZ) / RATE_HZ
    g = rng.normal(0, 0.02, (len(time), 3))
    if activity == "turning":
        g += np.stack([np.sin(time), np.cos(time), np.zeros_like(time)], axis=1)
    else:
        g[:, 2] += 1 + (0.5 * np.sin(2 * np.pi * 2 * time) if activity == "moving" else 0)
    return g


def write_csv(path: Path, g: NDArray[np.float64], **columns: Any) -> None:
    time = np.datetime64("2026-03-02T09:00:00", "ms") + (np.arange(len(g)) * 1_000 // RATE_HZ).astype("timedelta64[ms]")
    axes = {axis: np.round(g[:, place], 4) for place, axis in enumerate("xyz")}
    path.parent.mkdir(exist_ok=True)
    pyarrow.csv.write_csv(pa.table({**columns, "time": time, **axes}), path)


def people(folder: Path) -> None:
    """`labelled.csv` of four people, and the recordings of two others, who change what they do every five minutes."""
    parts = [(f"L{p}", name, moved(name, 60, 10 * p + k)) for p in range(4) for k, name in enumerate(ACTIVITIES)]
    who = [name for name, _, g in parts for _ in g]
    what = [activity for _, activity, g in parts for _ in g]
    write_csv(folder / "labelled.csv", np.concatenate([g for _, _, g in parts]), participant=who, activity=what)
    for person in (1, 2):
        bouts = [moved(ACTIVITIES[bout % 3], BOUT_S, 100 * person + bout) for bout in range(HOURS * 3600 // BOUT_S)]
        write_csv(folder / "recordings" / f"P{person}.csv", np.concatenate(bouts))


@pytest.mark.slow
def test_the_page_goes_from_csv_files_to_activities_and_to_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = make_network(NetworkSettings("harnet10", 0.0625))
    write_harnet(network, tmp_path / "weights.safetensors")
    people(tmp_path)
    places = {
        "/data/csv": "recordings",
        "~/study.key": "key",
        "/data/store": "store",
        "my-harnet": "weights.safetensors",
    }
    commands = [shlex.split(line) for block in blocks("") for line in block.splitlines()]
    expected = ["install", "new-key", "labelled", "fit", "classify", "ingest", "embed"]
    assert [words[1] for words in commands] == expected
    for words in commands[1:]:
        run(tmp_path, *(places.get(word, word) for word in words[1:]))
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, found)

    minutes = found["minutes"]
    assert len(minutes) == 2
    hourly = HOURS * 60 / 3
    for name in ACTIVITIES:
        assert minutes[name].to_numpy() == pytest.approx([hourly] * 2, abs=6)
    assert minutes["not worn"].to_numpy() == pytest.approx([(24 - HOURS) * 60] * 2, abs=2)
    assert found["hourly"].sum() == pytest.approx(minutes[list(ACTIVITIES)].to_numpy().sum(), abs=1)
    assert len(found["people"]) == 2
    assert (tmp_path / "activities" / "days.png").exists()

    flags = ["--model", "weights.safetensors", "--out", "again", "--pool", "hour", "--key-file", "key"]
    run(tmp_path, "embed", "--recordings", "recordings", *flags, "--", "--id-regex", "(P[0-9]+)")
    assert (tmp_path / "again-store" / "zarr.json").exists()
    columns = ["start_second", "time", "eligible_share", "participant", "vector"]
    assert pq.read_table(tmp_path / "again", columns=columns).sort_by("participant") == pq.read_table(
        tmp_path / "features", columns=columns
    ).sort_by("participant")
