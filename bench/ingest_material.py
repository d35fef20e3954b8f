"""What bench/ingest.py and bench/ingest_references.py share: who the peers are, and who is simulated."""

from __future__ import annotations

import sys
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


def simulated(kind: str, days: float, out: Path) -> Path:
    """A recording of a person, without faults, made on first use."""
    path = out / f"{days:g}-{kind}{SUFFIX[kind]}"  # type: ignore[index]
    if not path.exists():
        simulate_recording(path, 0, 1, days=days, nominal_hz=100, faults=Faults(), kind=kind, **SIMULATED[kind])  # type: ignore[arg-type]
    return path
