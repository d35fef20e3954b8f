"""Tables such as a biobank publishes about the participants of a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.pipeline.cohorts import MadeCohort

FIELDS = ("90012", "90051", "90016", "90015")


def published(made: MadeCohort, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Values that a biobank might publish about the participants of a cohort, by recording."""
    random = np.random.default_rng(seed)
    wear = made.day["wear_seconds"].sum(1)
    enmo = np.nansum(made.day["enmo_mg"] * made.day["wear_seconds"], 1) / wear
    return {
        "90012": 0.95 * enmo - 1 + random.normal(0, 2, enmo.size),
        "90051": wear / 86_400 - random.exponential(0.1, enmo.size),
        "90016": ((made.recording["calibration"] != "none") ^ (random.random(enmo.size) < 0.02)).astype(int),
        "90015": (wear >= 3 * 86_400).astype(int),
    }


def write_table(
    path: Path,
    made: MadeCohort,
    values: dict[str, NDArray[Any]],
    names: dict[str, str],
    *,
    comma: str = ",",
    eid_name: str = "eid",
    rows: int | None = None,
) -> Path:
    """Write a row for each participant with one recording, 7 for unknown participants, and 9 without values."""
    lines = [comma.join([eid_name, *names.values(), "31-0.0"])]
    for index in range(rows or len(made.names)):
        if index % 50 < 48:
            cells = [f"{values[field][index]:.6g}" for field in names]
            lines.append(comma.join([made.names[index].split("_")[0], *cells, "Female"]))
    lines += [comma.join([str(9_000_000 + n), *["1"] * len(names), "Male"]) for n in range(7)]
    lines += [comma.join([str(8_000_000 + n), *[""] * len(names), "Male"]) for n in range(9)]
    path.write_text("\n".join(lines) + "\n")
    return path
