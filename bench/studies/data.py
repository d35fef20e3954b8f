"""Stores to pretrain on and labelled sets to choose with, from the folder of public recordings.

Of the 24 people of WISDM there, in the order of their ids, every third from the first on is for claims: in no store and
no labelled set of a study.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.command import ROOT, module
from infra.backbone import KEY, SOURCES, write_tables
from pipeline.demo.command import persondays

WISDM = SOURCES["wisdm"].path
KEPT_OUT = SOURCES["wisdm"].kept_out


@dataclass(frozen=True)
class Part:
    """Recordings of one place on the body from one public set."""

    path: str
    place: str = "wrist"

    @property
    def name(self) -> str:
        """Its folder of tables."""
        return f"{Path(self.path).stem}_{self.place}"


WISDM_WATCH, STRESS = Part(WISDM), Part("unlabelled/stress_predict.npz")
HARLAB = Part("unlabelled/harlab_lmu.npz")
SISFALL, HARLAB_WAIST = Part("unlabelled/sisfall.npz", "waist"), Part("unlabelled/harlab_lmu.npz", "waist")
STORES: dict[str, tuple[Part, ...]] = {
    "wisdm": (WISDM_WATCH,),
    "free": (WISDM_WATCH, STRESS, HARLAB),
    "others": (STRESS, HARLAB),
    "waist": (SISFALL, HARLAB_WAIST),
}
"""By name; `simulated` and `both` (simulated people and `free`) are made with the simulator."""
PARTICIPANTS = r"^(.+?)(?:_[^_/]*)?[.](?:parquet|cwa)$"
"""Part and person, in PART/PERSON_PLACE.parquet or PART/PERSON.cwa."""
SIMULATED_PEOPLE, SIMULATED_DAYS = 32, 1
LABELLED = ("wisdm", "umafall")


class Material:
    """What studies are made of; each thing is made when it is first asked for, and kept."""

    def __init__(self, data: Path, out: Path) -> None:
        self.data, self.out = data, out

    def store(self, name: str) -> Path:
        """Return a window store of `STORES`, `simulated` or `both`."""
        made = self.out / "stores" / name
        if not (made / "ready").exists():
            shutil.rmtree(made, ignore_errors=True)
            (made / "recordings").mkdir(parents=True)
            (made / "key").write_text(KEY)
            (made / "key").chmod(0o600)
            if name in ("simulated", "both"):
                people = ("--participants", SIMULATED_PEOPLE, "--days", SIMULATED_DAYS, "--seed", 0)
                run(*persondays("simulate", made / "recordings" / "simulated", *people))
            for part in STORES.get("free" if name == "both" else name, ()):
                shutil.copytree(self.tables(part), made / "recordings" / part.name)
            flags = ("--store", made / "store", "--key-file", made / "key", "--id-regex", PARTICIPANTS)
            run(*persondays("ingest", "--recordings", made / "recordings", *flags))
            (made / "ready").touch()
        return made / "store"

    def tables(self, part: Part) -> Path:
        """Return the folder of a part's tables, without the people for claims."""
        made = self.out / "tables" / part.name
        if not made.is_dir():
            made.parent.mkdir(parents=True, exist_ok=True)
            watch = part.path == WISDM
            flags = ("--wisdm",) if watch else ("--position", part.place)
            write_tables(self.data / "tables.py", self.data / part.path, made, flags, KEPT_OUT if watch else 0)
        return made

    def labelled(self, name: str) -> Path:
        """Return a labelled set of `LABELLED`: the 16 people of WISDM that choose, or the wrist of UMAFall."""
        made = self.out / "labelled" / name
        if not (made / "info.json").exists():
            shutil.rmtree(made, ignore_errors=True)
            made.parent.mkdir(parents=True, exist_ok=True)
            if name == "wisdm":
                whole = made.with_name(".wisdm")
                run(*persondays("labelled", "wisdm", self.data / WISDM, whole))
                choosing_people(whole, made)
            else:
                table = self.out / "tables" / f"{name}.parquet"
                run(*module("bench.labelled_sets", self.data / "labelled" / f"{name}.npz", table))
                run(*persondays("labelled", "table", table, made, "--where-column", "location=wrist"))
        return made


def choosing_people(whole: Path, out: Path) -> None:
    """Copy a labelled set without every third person from the first on."""
    person_N = np.load(whole / "pid.npy")
    kept_N = ~np.isin(person_N, np.unique(person_N)[::KEPT_OUT])
    unfinished = out.with_name(f".{out.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for name in ("X", "Y", "pid"):
        np.save(unfinished / f"{name}.npy", np.load(whole / f"{name}.npy")[kept_N])
    info = json.loads((whole / "info.json").read_text())
    (unfinished / "info.json").write_text(json.dumps({key: info[key] for key in ("rate_hz", "source") if key in info}))
    unfinished.rename(out)


def run(*command: object) -> None:
    """Run a command; raise CalledProcessError if it fails."""
    subprocess.run([str(word) for word in command], check=True, cwd=ROOT)
