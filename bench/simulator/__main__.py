"""Do other programs read what the simulator writes, and does it move as people do?

    python -m bench.simulator [--shared ../shared/data]

Simulates a few people, reads their files with actipy and cwa-reader-rs, and compares motion, spectrum and asymmetry in
time with real recordings: tables on standard output and in `tables.txt`, a picture in `simulated_and_real.png`.
Everything is compared at 20 Hz and +-2 g, the rate and rail of the WISDM watch.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingest.simulate.cohort import TRUTH, SimulatedCohort, make
from ingest.simulate.recording import plan

from ..command import ROOT, module, parser, with_real_recordings
from ..peers import peers_python
from .measures import Signal, asymmetry, at_rate, band_shares, motion, spectrum
from .real import HZ, RAIL_G, wisdm

PEERS = ("actipy==3.8.3", "cwa-reader-rs==0.5.0")
COHORT = SimulatedCohort(participants=12, days=1, seed=0)
BANDS = ((0.3, 0.8), (0.8, 1.5), (1.5, 2.5), (2.5, 4.0), (4.0, 6.0), (6.0, 9.9))
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
WISDM = {
    "walking": "walking",
    "running": "jogging",
    "stairs": "stairs",
    "sitting": "sitting",
    "standing": "standing",
    "housework": "folding",
}
"""Simulated activities and the closest ones of WISDM: housework is folding clothes."""


def active_hours(motion_S: Signal) -> Signal:
    """Motion of the hours in which more than 5% of the seconds exceed 50 mg: the same rule for real and simulated."""
    hours = motion_S[: len(motion_S) // 3600 * 3600].reshape(-1, 3600)
    return hours[(hours > 0.05).mean(axis=1) > 0.05].ravel()


def read(python: Path, recording: Path) -> tuple[Signal, NDArray[np.int64], dict[str, float]]:
    """Samples (g), times (microseconds), and how the other readers compare."""
    with tempfile.TemporaryDirectory() as out:
        command = module("bench.simulator.theirs", recording.absolute(), out, python=python)
        subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        found = json.loads((Path(out) / "peers.json").read_text())
        return np.load(Path(out) / "samples.npy"), np.load(Path(out) / "times.npy"), found


def at_common_rate(x: Signal, hz: float, clip: bool = True) -> Signal:
    """Resample to 20 Hz and clip as the WISDM watch does."""
    slow = at_rate(x, round(hz), HZ)
    return np.clip(slow, -RAIL_G, RAIL_G) if clip else slow


def simulated(folder: Path, python: Path) -> tuple[dict[str, list[Signal]], list[Signal], list[dict[str, Any]]]:
    """A signal per person for each activity, motion of active hours, and the findings of the other readers."""
    make(COHORT, folder, workers=2)
    truth = pq.read_table(folder / TRUTH).to_pandas()
    activities: dict[str, list[Signal]] = defaultdict(list)
    hours, peers = [], []
    for number in range(1, COHORT.participants + 1):
        recording = plan(COHORT.seed, number, days=COHORT.days)
        x, times, found = read(python, folder / f"{recording.participant}.cwa")
        size = (folder / f"{recording.participant}.cwa").stat().st_size
        packed = recording.device.packing != "unpacked"
        damaged = len(recording.faults.garbage) + len(recording.faults.bad_checksums)
        samples = ((size - 1024) // 512 - damaged) * (120 if packed else 80)
        peers.append(
            {
                "packing": recording.device.packing,
                "true Hz": recording.device.rate_hz,
                "good samples": samples,
                "damaged": damaged,
                "expected h": recording.bouts[-1].end_s / 3600,
                **found,
            }
        )
        hours.append(active_hours(motion(at_common_rate(x, 100, clip=False), HZ)))
        mine = truth[truth["participant"] == recording.participant]
        parts = defaultdict(list)
        for bout in mine.itertuples():
            first, last = np.searchsorted(
                times, [bout.start.value // 1000 + 2_000_000, bout.end.value // 1000 - 2_000_000]
            )
            if last - first > 1500:
                parts[bout.activity].append(x[first:last])
        for activity, pieces in parts.items():
            activities[activity].append(at_common_rate(np.concatenate(pieces), 100))
    return activities, hours, peers


def real_day(path: Path) -> Signal:
    """Motion of the active hours of a real 12 hours, ActiGraph, 30 Hz."""
    return active_hours(motion(np.loadtxt(gzip.open(path, "rt"), delimiter=",", skiprows=1, usecols=(1, 2, 3)), 30))


def activity_row(name: str, signals: list[Signal]) -> str:
    """Medians over people; of motion and asymmetry also the 10% and 90% quantiles."""
    middle = np.array([np.quantile(motion(x, HZ), (0.1, 0.5, 0.9)) * 1000 for x in signals])
    bands = np.median([band_shares(x, HZ, BANDS) for x in signals], axis=0)
    skew = np.array([np.abs(asymmetry([x])).mean() for x in signals])
    low, high = np.quantile(middle[:, 1], (0.1, 0.9))
    return (
        f"{name:22s} {len(signals):3d} {np.median(middle[:, 0]):6.0f} "
        f"{np.median(middle[:, 1]):5.0f} [{low:4.0f} {high:5.0f}]"
        f" {np.median(middle[:, 2]):6.0f}   {'  '.join(f'{share:.2f}' for share in bands)}"
        f"   {np.median(skew):.2f} [{np.quantile(skew, 0.1):.2f} {np.quantile(skew, 0.9):.2f}]"
    )


def tables(
    sim: dict[str, list[Signal]],
    hours: list[Signal],
    peers: list[dict[str, Any]],
    real: dict[str, list[Signal]],
    day: Signal | None,
    steps: Signal | None,
) -> str:
    """The report as text."""
    lines = ["Readers: samples, span in hours, samples equal from the start, seconds (whole read)"]
    lines += [
        f"{'':6s} {'packing':20s} {'true Hz':>8s} {'expected h':>10s} {'good':>9s} {'actipy':>9s} {'cwa-rs':>9s} "
        f"{'equal':>9s} {'actipy h':>9s} {'cwa-rs h':>9s} {'bad':>4s} {'actipy s':>9s} {'cwa-rs s':>9s}"
    ]
    lines += [
        f"P{number:04d}  {row['packing']:20s} {row['true Hz']:8.3f} {row['expected h']:10.3f} {row['good samples']:9d} "
        f"{row['actipy samples']:9d} {row['cwa-reader-rs samples']:9d} {row['equal samples from the start']:9d} "
        f"{row['actipy span h']:9.3f} {row['cwa-reader-rs span h']:9.3f} {row['damaged']:4d} "
        f"{row['actipy seconds']:9.1f} {row['cwa-reader-rs seconds']:9.1f}"
        for number, row in enumerate(peers, 1)
    ]
    lines += ["", "Motion of a second in active hours, mg, quantiles " + " ".join(f"{q:>6.0%}" for q in QUANTILES)]
    each = np.array([np.quantile(motion_S, QUANTILES) for motion_S in hours]) * 1000
    rows = [("simulated, all people", np.quantile(np.concatenate(hours), QUANTILES) * 1000)]
    rows += [("simulated, lowest", each.min(axis=0)), ("simulated, highest", each.max(axis=0))]
    rows += [("real, 12 h ActiGraph", np.quantile(day, QUANTILES) * 1000)] if day is not None else []
    lines += [f"{name:50s}" + " ".join(f"{value:6.0f}" for value in values) for name, values in rows]
    bands = "  ".join(f"{low:g}-{high:g}" for low, high in BANDS)
    lines += [
        "",
        "By activity: motion of a second, mg (10%, median [over people], 90%); power by band, Hz; asymmetry in time",
    ]
    lines += [f"{'':22s} {'n':>3s} {'10%':>6s} {'50%':>5s} {'':12s} {'90%':>6s}   {bands}   |skewness|"]
    for activity, signals in sim.items():
        lines.append(activity_row(f"{activity}, simulated", signals))
        if activity in real:
            lines.append(activity_row(f"{'':{len(activity)}}  real (WISDM)", real[activity]))
    if steps is not None:
        lines.append(activity_row("a walk, real (AX3)", [steps]))
    return "\n".join(lines)


def picture(
    path: Path, sim: dict[str, list[Signal]], hours: list[Signal], real: dict[str, list[Signal]], day: Signal | None
) -> None:
    """Four panels: motion of active hours, motion by activity, spectrum of walking, asymmetry of walking."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(12, 9))
    made, true = "#1f77b4", "#d62728"
    for motion_S in hours:
        panels[0, 0].plot(np.sort(motion_S) * 1000, np.linspace(0, 1, motion_S.size), color=made, lw=0.7, alpha=0.6)
    if day is not None:
        panels[0, 0].plot(
            np.sort(day) * 1000, np.linspace(0, 1, day.size), color=true, lw=2, label="real, 12 h ActiGraph"
        )
    panels[0, 0].plot([], [], color=made, label="simulated, one line per person")
    panels[0, 0].set(
        xscale="log", xlim=(2, 3000), xlabel="motion of a second, mg", ylabel="share of active hours below"
    )
    names = [activity for activity in WISDM if activity in sim]
    for place, activity in enumerate(names):
        for signals, colour, shift in ((sim[activity], made, -0.15), (real.get(activity, []), true, 0.15)):
            middle = [np.median(motion(x, HZ)) * 1000 for x in signals]
            panels[0, 1].plot(np.full(len(middle), place + shift), middle, "o", color=colour, ms=4, alpha=0.6)
    panels[0, 1].set(yscale="log", ylabel="median motion of a person, mg")
    panels[0, 1].set_xticks(range(len(names)), names)
    for source, colour in ((sim, made), (real, true)):
        for x in source.get("walking", []):
            hertz, power = spectrum(x, HZ)
            panels[1, 0].loglog(hertz[2:], power[2:], color=colour, lw=0.7, alpha=0.6)
            panels[1, 1].plot(*asymmetry([x])[:2], "o", color=colour, ms=5, alpha=0.7)
    panels[1, 0].set(xlabel="Hz", ylabel="power in walking, g²/Hz", ylim=(1e-5, 3))
    panels[1, 1].axhline(0, color="grey", lw=0.5)
    panels[1, 1].axvline(0, color="grey", lw=0.5)
    panels[1, 1].set(xlabel="asymmetry of walking, x", ylabel="y", xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
    panels[0, 1].plot([], [], "o", color=made, label="simulated")
    panels[0, 1].plot([], [], "o", color=true, label="real (WISDM)")
    for panel in (panels[0, 0], panels[0, 1]):
        panel.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    command_line = parser(__doc__, "simulator")
    with_real_recordings(command_line)
    arguments = command_line.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    python = peers_python(arguments.out.parent / "simulator-peers", PEERS)
    sim, hours, peers = simulated(arguments.out / "recordings", python)
    real, day, steps = {}, None, None
    if arguments.shared.is_dir():
        people = wisdm(arguments.shared / "labelled" / "wisdm_watch")
        real = {name: [np.concatenate(pieces) for pieces in people[closest]] for name, closest in WISDM.items()}
        day = real_day(arguments.shared / "recordings" / "tables" / "actigraph_30hz_12h.csv.gz")
        walk = arguments.shared / "recordings" / "axivity" / "example-610-steps.cwa"
        steps = at_common_rate(read(python, walk.resolve())[0], 100)
    else:
        print(f"no real recordings in {arguments.shared}: only simulated ones are shown")
    text = tables(sim, hours, peers, real, day, steps)
    print(text)
    (arguments.out / "tables.txt").write_text(text + "\n")
    picture(arguments.out / "simulated_and_real.png", sim, hours, real, day)
    print(f"\ntables and picture: {arguments.out}")


if __name__ == "__main__":
    main()
