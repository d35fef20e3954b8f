"""Do other readers find the same samples in ActiGraph and GENEActiv recordings, and how long do they take?

    python -m bench.devices [--days 7] [--quick] [--shared ../shared/data]

Simulates a recording of each kind of device, reads it and the real ones with actipy, pygt3x and our readers, and prints
a table: samples, the largest differences in value and time, seconds. Our time is the median of five reads in a warm
process (decoding and the fit of times), a peer's time that of one read in a warm process.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ingest.devices.registry import decode
from ingest.recording import Recording
from ingest.signal.timeline import Timeline
from ingest.signal.timing import fit
from ingest.simulate.recording import SUFFIX, Faults, simulate_recording

from ..clock import in_turns
from ..command import ROOT, module, parser, with_real_recordings
from ..peers import peers_python

PEERS = ("actipy==3.8.3", "pygt3x==0.7.1")
SIMULATED: dict[str, dict[str, Any]] = {
    "ActiGraph, int16": {"kind": "actigraph", "packing": "unpacked", "idle_sleep": False},
    "ActiGraph, 12 bits": {"kind": "actigraph", "packing": "packed, finest step", "idle_sleep": False},
    "ActiGraph, idle sleep": {"kind": "actigraph", "packing": "unpacked", "idle_sleep": True},
    "GENEActiv": {"kind": "geneactiv"},
}
REPEATS = 5


def read(path: Path) -> tuple[np.ndarray, float]:
    """Times and samples (n, 4), and the seconds taken to read them."""

    def decoded() -> tuple[Recording, Timeline]:
        recording = decode(np.memmap(path, mode="r"), path.name)
        return recording, fit(recording)

    seconds = statistics.median(in_turns({"ours": decoded}, REPEATS)["ours"])
    recording, timeline = decoded()
    second_N = timeline.seconds_of(np.arange(recording.samples)) + timeline.midnight.astype("datetime64[s]").astype(int)
    g_NC = recording.counts_CN.T * recording.g_per_count_C + recording.offset_g_C
    return np.column_stack([second_N, g_NC]), seconds


def compare(python: Path, label: str, path: Path) -> list[str]:
    """Rows of the table."""
    ours, seconds = read(path)
    rows = [f"{label:24s} {'ours':7s} {len(ours):10,d} {'':>9s} {'':>9s} {seconds:9.3f}"]
    with tempfile.TemporaryDirectory() as out:
        command = module("bench.devices.theirs", path.absolute(), out, python=python)
        subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for name, spent in json.loads((Path(out) / "peers.json").read_text()).items():
            theirs = np.load(Path(out) / f"{name}.npy")
            differences = f"{'-':>9s} {'-':>9s}"
            if theirs.shape == ours.shape:
                time_ms, value_mg = np.abs(theirs - ours)[:, 0].max() * 1e3, np.abs(theirs - ours)[:, 1:].max() * 1e3
                differences = f"{value_mg:9.2f} {time_ms:9.2f}"
            rows.append(f"{'':24s} {name:7s} {len(theirs):10,d} {differences} {spent:9.3f}")
    return rows


def main() -> None:
    command_line = parser(__doc__, "devices", quick="an hour instead")
    with_real_recordings(command_line)
    command_line.add_argument("--days", type=float, default=7, help="length of the simulated recordings")
    arguments = command_line.parse_args()
    days = 1 / 24 if arguments.quick else arguments.days
    arguments.out.mkdir(parents=True, exist_ok=True)
    python = peers_python(arguments.out.parent / "devices-peers", PEERS)
    lines = [f"{'':24s} {'reader':7s} {'samples':>10s} {'mg off':>9s} {'ms off':>9s} {'seconds':>9s}"]
    for number, (label, what) in enumerate(SIMULATED.items()):
        path = arguments.out / f"{days:g}-{number}{SUFFIX[what['kind']]}"
        if not path.exists():
            simulate_recording(path, 0, 1, days=days, nominal_hz=100, faults=Faults(), **what)
        lines += compare(python, label, path)
    real = arguments.shared.resolve() / "recordings"
    for path in sorted([*real.glob("actigraph/*.gt3x"), *real.glob("geneactiv/*.bin")]):
        lines += compare(python, path.name[:24], path)
    print("\n".join(lines))
    (arguments.out / "table.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
