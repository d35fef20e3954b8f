"""`make backbone`: public recordings to a backbone in `backbones/NAME`, by commands that users would type. It resumes.

DATA is a folder with a folder of tables for each data set, named PERSON_PLACE.parquet (or .csv, .csv.gz) with columns
time, x, y, z; or the folder of public recordings whose `tables.py` writes such tables.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.demo.command import torchrun  # noqa: E402

PROCESSES = 2
"""Training processes, of a thread each. Their number decides how BatchNorm sees a batch, so it is always the same."""
LARGEST_BYTES = 4_000_000
PARTICIPANTS = r"^(.+)_[^_/]*[.](?:parquet|csv|csv[.]gz)$"
"""Set and person, in SET/PERSON_PLACE.parquet: people of two sets are never the same."""
KEY = sha256(b"a backbone in the box").hexdigest()
"""The recordings are public, so the key hides nothing. It decides who is held out, so it is always the same."""


@dataclass(frozen=True)
class Source:
    """A public data set: where it lies in the folder of recordings, how `tables.py` is asked for it, and its terms."""

    path: str
    flags: tuple[str, ...]
    title: str
    licence: str
    kept_out: int = 0
    """One in so many people, from the first on, in the order of their ids, is left out: to test the backbone on."""


SOURCES = {
    "wisdm": Source("labelled/wisdm_watch", ("--wisdm",), "WISDM 2019, smartwatch (Weiss et al. 2019)", "CC BY 4.0", 3),
    "stress_predict": Source("unlabelled/stress_predict.npz", (), "Stress-Predict (Iqbal et al. 2022)", "MIT"),
    "harlab": Source("unlabelled/harlab_lmu.npz", ("--position", "wrist"), "HAR-Lab, wrist", "MIT"),
}


def run(title: str, *command: object) -> None:
    """Run a command; exit if it fails."""
    print(f"\n== {title}", flush=True)
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    status = subprocess.run([*map(str, command)], env=environment, check=False).returncode
    if status:
        sys.exit(f"\nstopped: {title} ended with exit status {status}; see above. The same command resumes.")


def persondays(title: str, *arguments: object) -> None:
    """Run a `persondays` command."""
    run(title, sys.executable, "-m", "pipeline", *arguments)


def digest(files: Iterable[Path]) -> dict[str, object]:
    """Return the number of files, and one sha256 of their sha256s in the order of these: names do not matter."""
    digests = sorted(sha256(file.read_bytes()).hexdigest() for file in files)
    return {"files": len(digests), "sha256": sha256("\n".join(digests).encode()).hexdigest()}


def sets_of(data: Path, tables: Path) -> tuple[Path, dict[str, dict[str, object]]]:
    """Return the folder of tables, and what each set was made from; runs `tables.py` of a folder that has one."""
    script = data / "tables.py"
    if not script.is_file():
        sets = {folder.name: sorted(file for file in folder.iterdir() if file.is_file()) for folder in _folders(data)}
        if not any(sets.values()):
            sys.exit(f"{data}: expected a folder of tables for each data set (SET/PERSON_PLACE.parquet), found none.")
        return data, {name: digest(files) for name, files in sets.items() if files}
    found: dict[str, dict[str, object]] = {}
    for name, source in SOURCES.items():
        path = data / source.path
        if not (tables / name).is_dir():
            print(f"\n== tables of {source.title}", flush=True)
            write_tables(script, path, tables / name, source.flags, source.kept_out)
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        people = sum(1 for file in (tables / name).glob("[!_]*"))
        found[name] = {"title": source.title, "licence": source.licence, "people": people, **digest(files)}
    return tables, found


def write_tables(script: Path, path: Path, folder: Path, flags: Iterable[str] = (), kept_out: int = 0) -> None:
    """Write the tables of a public set by `script`, a table a recording, and no others: `_truth.parquet` is left out.

    Of every `kept_out` people, in the order of their ids, the first is left out. Exits if the script fails.
    """
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    if subprocess.run([sys.executable, str(script), str(path), str(unfinished), *flags], check=False).returncode:
        sys.exit(f"stopped: {script.name} failed for {path.name}; see above. The same command resumes.")
    (unfinished / "_truth.parquet").unlink(missing_ok=True)
    for file in sorted(unfinished.iterdir())[::kept_out] if kept_out else ():
        file.unlink()
    unfinished.rename(folder)


def _folders(data: Path) -> list[Path]:
    return sorted(path for path in data.iterdir() if path.is_dir()) if data.is_dir() else []


def make(data: Path, name: str, recipe: str, work: Path, out: Path, best: bool) -> None:
    """Make the backbone `out / name`; what is in between lies in `work`."""
    recipe_file = Path(recipe) if Path(recipe).is_file() else ROOT / "train" / "recipes" / f"{recipe}.toml"
    if not recipe_file.is_file():
        sys.exit(f"RECIPE={recipe}: expected the path of a recipe or the name of one in train/recipes, found neither.")
    tomllib.loads(recipe_file.read_text(encoding="utf-8"))
    work.mkdir(parents=True, exist_ok=True)
    recordings, sets = sets_of(data, work / "tables")
    if not (work / "key").exists():
        (work / "key").write_text(KEY)
        (work / "key").chmod(0o600)
    store, checkpoints, model = work / "store", work / "checkpoints", work / "model"
    flags = ("--store", store, "--key-file", work / "key", "--id-regex", PARTICIPANTS)
    persondays("ingest", "ingest", "--recordings", recordings, *flags)
    run("train", *torchrun(PROCESSES, recipe_file, "--store", store, "--checkpoints", checkpoints))
    persondays("export", "export", "--checkpoint", checkpoints, "--out", model, *(["--best"] if best else []))
    size = sum(file.stat().st_size for file in model.iterdir() if file.is_file())
    if size > LARGEST_BYTES:
        sys.exit(
            f"expected at most {LARGEST_BYTES / 1e6:g} MB in the box, found {size / 1e6:.1f} MB: narrow the network."
        )
    put(model, out / name, recipe_file, sets)
    print(f"\n{out / name}: {size / 1e6:.1f} MB")


def put(model: Path, box: Path, recipe: Path, sets: dict[str, dict[str, object]]) -> None:
    """Copy an export into the box, with its recipe, `sources.json`, and both in the model card."""
    weights = json.loads((model / "config.json").read_text(encoding="utf-8"))["weights"]["sha256"]
    sources = {"sets": sets, "recipe_sha256": sha256(recipe.read_bytes()).hexdigest(), "weights_sha256": weights}
    fresh = box.with_name(f".{box.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(model, fresh, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(recipe, fresh / "recipe.toml")
    (fresh / "sources.json").write_text(json.dumps(sources, indent=2) + "\n", encoding="utf-8")
    card = (fresh / "README.md").read_text(encoding="utf-8")
    (fresh / "README.md").write_text(card + made_from(sets), encoding="utf-8")
    shutil.rmtree(box, ignore_errors=True)
    fresh.rename(box)


def made_from(sets: dict[str, dict[str, object]]) -> str:
    """Return the section of the model card about the recordings."""
    lines = [
        f"| {found.get('title', name)} | {found.get('licence', 'not stated')} | "
        f"{found.get('people', found['files'])} | {found['files']} | {found['sha256']} |"
        for name, found in sets.items()
    ]
    head = "| set | licence | recordings | files | sha256 of their sha256s |\n| --- | --- | --- | --- | --- |"
    return (
        f"\n## Made from\n\n{head}\n" + "\n".join(lines) + "\n\nThe settings are in `recipe.toml`; `make backbone` of "
        "persondays repeats every step.\n"
    )


def main() -> None:
    """Parse the command line and make the backbone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of public recordings or of tables")
    parser.add_argument("name", help="name of the backbone")
    parser.add_argument("--recipe", default="small", help="a name in train/recipes or the path of a recipe")
    parser.add_argument(
        "--work", type=Path, help="folder for tables, store and checkpoints; by default runs/backbone/NAME"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "backbones", help="folder of backbones")
    parser.add_argument("--best", action="store_true", help="take the best checkpoint instead of the newest")
    given = parser.parse_args()
    work = given.work or ROOT / "runs" / "backbone" / given.name
    make(given.data.absolute(), given.name, given.recipe, work.absolute(), given.out.absolute(), given.best)


if __name__ == "__main__":
    main()
