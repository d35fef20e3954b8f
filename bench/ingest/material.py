"""Shared by bench.ingest and bench.signal: the versions of the peers, and the simulated recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingest.simulate.recording import SUFFIX, Faults, simulate_recording

PEERS = ("actipy==3.8.3", "cwa-reader-rs==0.5.0", "pygt3x==0.7.1")
SIMULATED: dict[str, dict[str, Any]] = {
    "axivity": {"packing": "packed, finest step"},
    "actigraph": {"packing": "unpacked", "idle_sleep": False},
    "geneactiv": {},
}


def simulated(kind: str, days: float, out: Path) -> Path:
    """The recording of a person without faults, made on first use."""
    path = out / f"{days:g}-{kind}{SUFFIX[kind]}"  # type: ignore[index]
    if not path.exists():
        simulate_recording(path, 0, 1, days=days, nominal_hz=100, faults=Faults(), kind=kind, **SIMULATED[kind])  # type: ignore[arg-type]
    return path
