"""What bench/ingest.py and bench/ingest_references.py share: the peers' environment, and who is simulated."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ingest.simulate.recording import SUFFIX, Faults, simulate_recording

BENCH = Path(__file__).resolve().parents[1] / "runs" / "bench"
PEERS = ("actipy==3.8.3", "cwa-reader-rs==0.5.0", "pygt3x==0.7.1")
SIMULATED: dict[str, dict[str, Any]] = {
    "axivity": {"packing": "packed, finest step"},
    "actigraph": {"packing": "unpacked", "idle_sleep": False},
    "geneactiv": {},
}


def peers_python(folder: Path = BENCH / "ingest-peers") -> Path:
    """The interpreter of the peers' own environment, made on first use."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True, stderr=subprocess.DEVNULL)
        (folder / "ready").touch()
    return python


def simulated(kind: str, days: float, out: Path) -> Path:
    """A recording of a person, without faults, made on first use."""
    path = out / f"{days:g}-{kind}{SUFFIX[kind]}"  # type: ignore[index]
    if not path.exists():
        simulate_recording(path, 0, 1, days=days, nominal_hz=100, faults=Faults(), kind=kind, **SIMULATED[kind])  # type: ignore[arg-type]
    return path
