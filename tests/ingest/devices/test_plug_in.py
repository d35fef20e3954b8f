"""docs/adding-a-device.md: its example is installed as a package, and its recordings are ingested into a store."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from tests.ingest import cohort
from tests.ingest.runs import ROOT, finish

PAGE = (ROOT / "docs" / "adding-a-device.md").read_text()
RATE_HZ, MINUTES = 50, 12
START = np.datetime64("2024-05-06T10:00:00", "s")


def install(site: Path) -> None:
    """Write what `pip install` would write for the package on the page."""
    (code,), (project,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "toml"))
    about = site / "acme_persondays-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "acme_persondays.py").write_text(code)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-persondays\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        re.sub(r'project\.entry-points\."(.*?)"', r"\1", project).replace('"', "").strip() + "\n"
    )


def write(path: Path, damaged: int | None = None) -> None:
    """Write a recording of the Acme logger: a slow turn through gravity."""
    second = np.arange(MINUTES * 60 * RATE_HZ) / RATE_HZ
    turn = 2 * np.pi * second / 60
    counts = np.rint(256 * np.stack([np.sin(turn), np.zeros_like(turn), np.cos(turn)], axis=1)).astype("<i2")
    with path.open("wb") as file:
        file.write(b"ACME" + np.array([4711], "<u4").tobytes() + np.array([RATE_HZ, 8], "<u2").tobytes())
        file.write(np.array([1], "<u4").tobytes())
        for k, samples in enumerate(counts.reshape(-1, RATE_HZ, 3)):
            total = (int(samples.sum()) + (k == damaged)) & 0xFFFF
            file.write(np.array([START.astype(np.int64) + k], "<u4").tobytes() + samples.tobytes())
            file.write(np.array([total], "<u2").tobytes())


def test_a_device_of_another_package_is_ingested(tmp_path: Path) -> None:
    install(tmp_path / "site")
    paths = [str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    folder = tmp_path / "recordings"
    folder.mkdir()
    write(folder / "1000066_90001_0_0.acm")
    write(folder / "1000044_90001_0_0.acm", damaged=100)
    (folder / "1000055_90001_0_0.acm").write_bytes(b"ACME and nothing else")
    said = finish(folder, tmp_path / "store", env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
    assert "2 recordings done, 1 rejected" in said
    assert "begins with ACME and version 1" in said
    days, recordings = cohort.rows(tmp_path / "store")
    assert [day["device"] for day in days] == ["Acme", "Acme"]
    assert sorted(day["measured_seconds"] for day in days) == [MINUTES * 60 - 1, MINUTES * 60]
    assert {row["serial"] for row in recordings if row["status"] == "done"} == {cohort.KEY.device("4711")}
