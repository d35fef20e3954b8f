"""A cell of a study: a network pretrained with some settings on a store, and its frozen scores on labelled sets."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.command import read_json, write_json
from bench.studies.data import LABELLED, Material, run
from pipeline.demo.command import persondays, torchrun

RECIPE = "small"
BASE = {
    "network.width": "0.125",
    "run.windows": "100000",
    "data.min_wear_hours": "0.05",
    "data.lanes": "32",
    "optimizer.rate_per_512": "1e-3",
}
"""Settings of every cell, unless it has others: an eighth of harnet10's channels, so that a cell takes minutes."""
PROCESSES = 2
BASELINES = "random,handmade,forest"


@dataclass(frozen=True)
class Cell:
    """A store by name, and settings besides `BASE`."""

    title: str
    store: str = "free"
    settings: tuple[str, ...] = ()

    @property
    def overrides(self) -> dict[str, str]:
        """Every setting that differs from the recipe."""
        return BASE | dict(setting.split("=", 1) for setting in self.settings)

    @property
    def name(self) -> str:
        """Its folder: the settings, and a digest of all of them, so that other settings are another cell."""
        own = "_".join(re.sub(r"[^\w.-]", "-", setting.rsplit(".", 1)[-1]) for setting in self.settings)
        whole = json.dumps([self.store, RECIPE, sorted(self.overrides.items())])
        return f"{self.store}_{own[:80]}_{sha256(whole.encode()).hexdigest()[:8]}"

    def pretrain(self, material: Material) -> Path:
        """Return the export of the cell's network, which is trained first if it is not there yet."""
        folder = material.out / "cells" / self.name
        if not (folder / "trained.json").exists():
            store, began = material.store(self.store), time.monotonic()
            settings = [word for key, value in self.overrides.items() for word in ("--set", f"{key}={value}")]
            run(
                *torchrun(PROCESSES, RECIPE, "--store", store, "--checkpoints", folder / "checkpoints", *settings),
            )
            run(*persondays("export", "--checkpoint", folder / "checkpoints", "--out", folder / "model"))
            write_json(folder / "trained.json", {"minutes": (time.monotonic() - began) / 60, "title": self.title})
        return folder / "model"

    def score(self, material: Material) -> dict[str, Any]:
        """Return the scores of the frozen network by labelled set and person, with the minutes of its training."""
        model = self.pretrain(material)
        found: dict[str, Any] = read_json(model.parent / "trained.json")
        for name in LABELLED:
            labelled, out = material.labelled(name), model.parent / f"scores-{name}"
            if not (out / "results.json").exists():
                run(*persondays("evaluate", "--model", model, "--labelled", labelled, "--out", out, "--rows", "linear"))
            found[name] = read_json(out / "results.json")["rows"]["linear"]["macro_f1"]
        return found

    def baselines(self, material: Material) -> dict[str, Any]:
        """Return the scores of random weights of this width, and of hand-made features, by labelled set and row."""
        model, found = self.pretrain(material), {}
        for name in LABELLED:
            out = material.out / "baselines" / f"{name}-{self.overrides['network.width']}"
            if not (out / "results.json").exists():
                labelled = material.labelled(name)
                run(
                    *persondays("evaluate", "--model", model, "--labelled", labelled, "--out", out, "--rows", BASELINES)
                )
            rows = read_json(out / "results.json")["rows"]
            found[name] = {row: rows[row]["macro_f1"] for row in BASELINES.split(",")}
        return found
