"""The data of the benchmark: a store of simulated person-days, and the same windows or days in other formats.

It is created once in one folder and reused: `store` (by our simulator and ingest), `windows.npy` (the windows of one
epoch of our stream), `days/*.npy` (float32, as the reference caches them), `linked` (the store's days in many slots, as
hard links, so that lanes and pools have their default size without more disk space), `material.json` (facts for peers).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ingest.simulate.cohort import SimulatedCohort, make
from pipeline.grid import FILL
from pipeline.identity import write_new_key
from pipeline.storage.folder import Folder
from pipeline.store.day_reader import DayReader
from pipeline.store.layout import slot_objects
from pipeline.store.states import BAD, MEASURED, NONWEAR
from pipeline.store.store import Store
from train.windows.lanes import per_step
from train.windows.members import Members, select
from train.windows.plan import Plan, make_plan
from train.windows.settings import DataSettings
from train.windows.stream import Stream

from ..command import ROOT
from .clock import BATCH

RECORDED_DAYS, FULL_DAYS = 7, 6
"""A recording of seven days has six full ones, whatever its time of start."""
SLOTS = 1024
"""Slots of the linked store: four for each of 256 lanes."""
SEED = 0


@dataclass(frozen=True)
class Material:
    """The data in `folder`."""

    folder: Path

    @property
    def about(self) -> dict[str, Any]:
        """The facts that peers need; `slots` are the days in use."""
        found: dict[str, Any] = json.loads((self.folder / "material.json").read_text())
        return found

    def plan(self, data: DataSettings, linked: bool = False, people_share_pools: bool = False) -> Plan:
        """The plan of our stream, with no participant held out."""
        slots = np.array(self.about["slots"])
        members = select(Store.open(str(self.folder / "store")), data.seconds, data.min_wear_hours, None)
        members = members.without_slots(set(members.slots.tolist()) - set(slots.tolist()))
        if linked:
            like = np.arange(SLOTS) % slots.size
            members = Members(np.arange(SLOTS), members.starts[like], members.participant_M[like], members.names)
        return make_plan(members, (), data, SEED, people_share_pools=people_share_pools)


def prepare(folder: Path, days: int) -> Material:
    """Create missing data; everything is created again if the number of days has changed."""
    made = Material(folder)
    if folder.exists() and not ((folder / "material.json").exists() and len(made.about["slots"]) == days):
        for name in ("store", "linked", "days", "formats", "raw", "key", "windows.npy", "material.json"):
            _remove(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "material.json").exists():
        ingest_simulated(folder, days)
        describe(made, days)
    if not (folder / "linked").exists():
        link(made)
    if not (folder / "windows.npy").exists():
        cut_epoch(made)
    if not (folder / "days").exists():
        save_days(made)
    return made


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def ingest_simulated(folder: Path, days: int) -> None:
    """Simulate recordings and ingest them."""
    make(SimulatedCohort(-(-days // FULL_DAYS), RECORDED_DAYS, SEED), folder / "raw", os.cpu_count() or 1)
    write_new_key(folder / "key")
    command = [sys.executable, "-m", "ingest", "--recordings", str(folder / "raw"), "--store", str(folder / "store")]
    subprocess.run([*command, "--key-file", str(folder / "key")], cwd=ROOT, check=True)
    shutil.rmtree(folder / "raw")


def describe(made: Material, days: int) -> None:
    """Choose the days with the most eligible starts, and write `material.json`."""
    store, data = Store.open(str(made.folder / "store")), DataSettings()
    members = select(store, data.seconds, data.min_wear_hours, None)
    chosen = np.sort(np.argsort(-members.starts, kind="stable")[:days])
    plan = make_plan(
        members.without_slots(set(members.slots.tolist()) - set(members.slots[chosen].tolist())), (), data, SEED
    )
    about = {
        "store": store.folder.url,
        "slots": plan.members.slots.tolist(),
        "days": list(zip(plan.members.slots.tolist(), plan.quotas.tolist(), strict=True)),
        "eligible": [MEASURED | NONWEAR | BAD, MEASURED],
    }
    (made.folder / "material.json").write_text(json.dumps(about))


def link(made: Material) -> None:
    """Create hard links to the days in many slots."""
    slots, out = made.about["slots"], made.folder / "linked.partial"
    _remove(out)
    for slot in range(SLOTS):
        for name, original in zip(slot_objects(slot), slot_objects(slots[slot % len(slots)]), strict=True):
            new = out / name
            new.parent.mkdir(parents=True)
            os.link(made.folder / "store" / original, new)
    out.rename(made.folder / "linked")


def cut_epoch(made: Material) -> None:
    """Save the windows of our stream's first epoch, in its order: full steps only."""
    plan = made.plan(DataSettings())
    steps, partial = plan.epoch_windows // BATCH, made.folder / "windows.partial.npy"
    windows_BCT = np.lib.format.open_memmap(partial, "w+", np.int16, (steps * BATCH, 3, 300))
    days = DayReader(Folder(made.about["store"]))
    with Stream(days, plan.lanes, per_step(BATCH, len(plan.lanes), 1), 10, threads=1) as stream:
        for step in range(steps):
            windows_BCT[step * BATCH : (step + 1) * BATCH] = next(stream).signal_BCT.numpy()
    windows_BCT.flush()
    partial.rename(made.folder / "windows.npy")


def save_days(made: Material) -> None:
    """Save each day as the reference caches it: float32 in g, and 0 where nothing is measured."""
    store, out = Store.open(str(made.folder / "store")), made.folder / "days.partial"
    _remove(out)
    out.mkdir()
    for slot in made.about["slots"]:
        signal_CT = store.read_day(slot).signal_CT
        in_g = signal_CT.astype(np.float32) / np.float32(store.attributes.counts_per_g)
        np.save(out / f"{slot}.npy", np.where(signal_CT == FILL, np.float32(0), in_g))
    out.rename(made.folder / "days")
