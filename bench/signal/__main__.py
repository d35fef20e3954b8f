"""Our signal steps compared with scipy's filters and with actipy, which share no code with them.

    python -m bench.signal [--days 2] [--participant 5] [--shared ../shared/data]

These are the tables of docs/signal.md. scipy: tones and a chirp of 1 g through our resampler at several rates, and
through `scipy.signal.resample_poly` with a much longer filter. actipy: a simulated Axivity recording, and a real walk
where there is one. What it reads and calibrates at the device's own rate is resampled to 30 Hz by scipy (cubic spline,
300 Hz, a long Kaiser filter) and compared with what we store, below 10 Hz, in eligible seconds.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ingest.devices.registry import decode
from ingest.process import Processed, process
from ingest.settings import SignalSettings
from ingest.signal.calibrate import apply
from ingest.simulate.axivity_file import SampleClock
from ingest.simulate.recording import Faults, plan, simulate_recording
from ingest.simulate.streams import StreamPurpose, stream
from pipeline.grid import SAMPLE_RATE_HZ, TICKS_PER_SECOND
from pipeline.numerics.resample import UNITY, Course, design, resample
from pipeline.store.states import NONWEAR, eligible

from ..command import RESULTS, ROOT, module, parser, with_real_recordings
from ..ingest.material import PEERS
from ..peers import peers_python
from ..tables import markdown_table

Array = NDArray[np.float64]
RATES = {"50": (50, 1), "75": (75, 1), "85.7": (600, 7), "98.7": (987, 10), "100": (100, 1), "200": (200, 1)}
PARTICIPANT = 5
"""This one takes the device off for two and a half hours."""
AMPLITUDE = 8_000
"""Counts for 1 g here; rounding is far below the figures shown."""
FINE_HZ = 300
EDGE_S = 5.0
MOVING_G = 0.05
"""Motion of a second above which it counts as moving."""
COMPARED_HZ = 10.0


def ours_at_30_hz(x_N: Array, rate: float) -> Array:
    """A signal at 30 Hz from its first sample on, by our resampler."""
    counts_CN = np.tile(np.rint(x_N * AMPLITUDE).astype(np.int16), (3, 1))
    ticks = int((x_N.size - 1) / rate * SAMPLE_RATE_HZ)
    zero, all_ticks, samples = np.array([0]), np.array([ticks]), np.array([x_N.size])
    course = Course(zero, all_ticks, np.array([0.0]), np.array([rate / SAMPLE_RATE_HZ]), zero, samples)
    out_CT = np.zeros((3, ticks), dtype=np.int32)
    resample(counts_CN, course, design(rate, "bandlimited"), 0, out_CT)
    return out_CT[0] / (UNITY * AMPLITUDE)


def gain_db(hz: float, rate: float) -> float:
    """The gain of a tone, in dB; an aliased tone is measured at the frequency it folds to."""
    y = ours_at_30_hz(np.sin(2 * np.pi * hz * np.arange(int(40 * rate)) / rate + 0.3), rate)[150:-150]
    angle = 2 * np.pi * hz * np.arange(150, 150 + y.size) / SAMPLE_RATE_HZ
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    found, *_ = np.linalg.lstsq(basis, y, rcond=None)
    return float(20 * np.log10(max(np.hypot(*found), 1e-6)))


def off_scipy_mg(ratio: Fraction) -> float:
    """The largest difference from scipy in a chirp of 1 g from 0.1 to 12 Hz."""
    rate, to_30 = float(ratio), SAMPLE_RATE_HZ / ratio
    t = np.arange(int(200 * rate)) / rate
    x = scipy.signal.chirp(t, 0.1, t[-1], 12.0)
    fine = rate * to_30.numerator
    taps, beta = scipy.signal.kaiserord(80, 6 / (fine / 2))
    window = scipy.signal.firwin(taps | 1, 15, window=("kaiser", beta), fs=fine)
    theirs = scipy.signal.resample_poly(x, to_30.numerator, to_30.denominator, window=window)
    ours = ours_at_30_hz(x, rate)
    edge, last = int(EDGE_S * SAMPLE_RATE_HZ), min(ours.size, theirs.size)
    return float(np.abs(ours[:last] - theirs[:last])[edge:-edge].max() * 1e3)


def filter_table() -> list[str]:
    """A row per rate: gains in the pass band and the stop band, and the difference from scipy."""
    rows = []
    for name, (top, bottom) in RATES.items():
        rate = top / bottom
        kept = max((gain_db(hz, rate) for hz in np.linspace(0.2, 12, 60)), key=abs)
        removed = max(gain_db(hz, rate) for hz in np.arange(18.07, rate / 2, 0.5))
        rows.append([name, f"{kept:+.3f}", f"{removed:.1f}", f"{off_scipy_mg(Fraction(top, bottom)):.1f}"])
    return markdown_table(["Hz", "0.2 to 12 Hz, dB", "from 18 Hz, dB", "off scipy, mg of 1 g"], rows)


def by_scipy(second_N: Array, x_NC: NDArray[np.float32], tick_T: NDArray[np.int64]) -> Array:
    """Samples at any times as values (T, 3) at ticks of 1/30 s since the same second 0, by the hour."""
    taps, beta = scipy.signal.kaiserord(80, 5 / (FINE_HZ / 2))
    window = scipy.signal.firwin(taps | 1, 15, window=("kaiser", beta), fs=FINE_HZ)
    each, hour, margin = FINE_HZ // SAMPLE_RATE_HZ, 3600 * SAMPLE_RATE_HZ, 2 * FINE_HZ
    out_TC = np.full((tick_T.size, 3), np.nan)
    for begin in range(0, tick_T.size, hour):
        ticks = tick_T[begin : begin + hour]
        fine_s = np.arange(ticks[0] * each - margin, ticks[-1] * each + margin + 1) / FINE_HZ
        first, last = np.searchsorted(second_N, (fine_s[0] - 1, fine_s[-1] + 1))
        rising = first + np.flatnonzero(np.diff(second_N[first:last], prepend=-1) > 0)
        spline = CubicSpline(second_N[rising], x_NC[rising].astype(np.float64), extrapolate=False)
        smooth = scipy.signal.fftconvolve(spline(fine_s), window[:, None], mode="same", axes=0)
        out_TC[begin : begin + hour] = smooth[margin::each][: ticks.size]
    return out_TC


@dataclass(frozen=True)
class Stored:
    """What we store of a recording, its days in a row: signal (T, 3) in g, and which seconds are eligible and move."""

    processed: Processed
    first_tick: int
    signal_TC: Array
    drawn_S: NDArray[np.bool_]
    moving_S: NDArray[np.bool_]

    @property
    def tick_T(self) -> NDArray[np.int64]:
        """Ticks since the first midnight."""
        return self.first_tick + np.arange(len(self.signal_TC))


def stored(path: Path) -> Stored:
    """Process a recording; seconds at edges are left out, since filters of other lengths differ there."""
    processed = process(decode(np.memmap(path, mode="r"), path.name), SignalSettings(any_location=True))
    days = [day for _, day, _ in processed.days()]
    state_S, motion_S = (np.concatenate([getattr(day, name) for day in days]) for name in ("state_S", "motion_S"))
    drawn_S = scipy.ndimage.binary_erosion(eligible(state_S), iterations=int(EDGE_S))
    signal_CT = np.concatenate([day.signal_CT for day in days], axis=1)
    inside = np.flatnonzero(drawn_S)[[0, -1]] + (0, 1)
    ticks, seconds = slice(*inside * TICKS_PER_SECOND), slice(*inside)
    signal_TC = signal_CT[:, ticks].T / processed.settings.counts_per_g
    return Stored(
        processed, ticks.start, signal_TC, drawn_S[seconds], (motion_S > MOVING_G)[seconds] & drawn_S[seconds]
    )


def rms_mg(difference_TC: Array, seconds_S: NDArray[np.bool_]) -> float:
    """The root mean square, over axes and chosen seconds, of what is below 10 Hz."""
    taps, beta = scipy.signal.kaiserord(60, 2 / (SAMPLE_RATE_HZ / 2))
    window = scipy.signal.firwin(taps | 1, COMPARED_HZ, window=("kaiser", beta), fs=SAMPLE_RATE_HZ)
    low_TC = scipy.signal.fftconvolve(np.nan_to_num(difference_TC), window[:, None], mode="same", axes=0)
    chosen = low_TC.reshape(seconds_S.size, TICKS_PER_SECOND, 3)[seconds_S]
    return float(np.sqrt((chosen**2).mean()) * 1e3)


def true_seconds(participant: int, days: float, samples: int) -> Array:
    """When a simulated device took its samples, seconds since 1970: its clock is drawn as `simulate_recording` does."""
    made, noise = plan(0, participant, days=days, faults=Faults()), stream(0, participant, StreamPurpose.NOISE, 1)
    noise.integers(1, 2**31)  # the session's number
    clock = SampleClock(made.device.rate_hz, float(noise.uniform(0, 2 * np.pi)))
    return made.start.astype(np.int64) / 1e6 + clock.seconds(np.arange(samples))


def beside_actipy(path: Path, python: Path, true_s: Array | None = None) -> dict[str, str]:
    """The rows of the table for one recording."""
    ours = stored(path)
    with tempfile.TemporaryDirectory(dir=path.parent if path.parent.name == "ingest" else None) as out:
        command = module("bench.signal.theirs", path.absolute(), out, python=python)
        subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        theirs = {file.stem: np.load(file) for file in Path(out).glob("*.npy")}
    recording, timeline = ours.processed.recording, ours.processed.timeline
    midnight_s = timeline.midnight.astype("datetime64[s]").astype(np.int64)
    their_s, our_s = theirs["second"] - midnight_s, timeline.seconds_of(np.arange(recording.samples))
    raw_NC = recording.counts_CN.T * recording.g_per_count_C + recording.offset_g_C
    rows = {"samples": f"{recording.samples:,} and {len(their_s):,}"}
    if len(their_s) != recording.samples:
        return rows
    off_ms = (their_s - our_s) * 1e3
    rows["largest difference of a raw value, mg"] = f"{np.abs(theirs['raw'] - raw_NC).max() * 1e3:.2f}"
    rows["times, rms and largest difference, ms"] = f"{np.sqrt((off_ms**2).mean()):.1f}, {np.abs(off_ms).max():.1f}"
    if true_s is not None:
        ours_off, theirs_off = (np.sqrt(((x - true_s + midnight_s) ** 2).mean()) * 1e3 for x in (our_s, their_s))
        rows["times off the truth, rms, ms"] = f"{ours_off:.2f} and {theirs_off:.2f}"
    rows["calibration at 1 g and -1 g, largest difference, mg"] = calibrations(ours.processed, theirs)
    rows["non-wear, minutes; found by one alone"] = nonwear(ours.processed, theirs["nonwear"], our_s)
    drawn, moving = ours.drawn_S, ours.moving_S
    at_their_times = by_scipy(their_s, theirs["calibrated"], ours.tick_T)
    at_our_times = by_scipy(our_s, theirs["calibrated"], ours.tick_T)
    nearest = {name: on_ticks(theirs["second_30"] - midnight_s, theirs[name], ours.tick_T) for name in NEAREST}
    for name, value_TC, other_TC in (
        ("its calibrated signal, to 30 Hz by scipy at our times, off ours", at_our_times, ours.signal_TC),
        ("the same at its own times", at_their_times, ours.signal_TC),
        *((f"{title}, off its own signal by scipy", nearest[name], at_their_times) for name, title in NEAREST.items()),
        *((f"{title}, off ours", nearest[name], ours.signal_TC) for name, title in NEAREST.items()),
    ):
        off_TC = value_TC - other_TC
        rows[f"{name}, mg rms; while moving"] = f"{rms_mg(off_TC, drawn):.2f}; {rms_mg(off_TC, moving):.2f}"
    return rows


NEAREST = {"nearest": "its own 30 Hz (nearest sample)", "lowpass_nearest": "its own 30 Hz after its lowpass of 20 Hz"}


def on_ticks(second_M: Array, x_MC: NDArray[np.float32], tick_T: NDArray[np.int64]) -> Array:
    """Values on another 30 Hz grid at our ticks: all shifted by the same part of a tick, by a long windowed sinc."""
    position = tick_T[0] - second_M[0] * SAMPLE_RATE_HZ
    first = int(np.floor(position))
    taps = np.sinc(np.arange(-100, 101) - (position - first)) * np.kaiser(201, 8)
    moved_MC = scipy.signal.fftconvolve(x_MC, taps[::-1, None], mode="same", axes=0)
    return moved_MC[first : first + tick_T.size]


def calibrations(ours: Processed, theirs: dict[str, NDArray[np.float32]]) -> str:
    """The largest difference between the two calibrations at +-1 g and the median temperature, in mg.

    actipy's coefficients are estimated from its raw and calibrated samples.
    """
    if ours.calibration.outcome == "none":
        return "neither" if np.array_equal(theirs["raw"], theirs["calibrated"]) else "theirs alone"
    celsius = np.nan_to_num(theirs["celsius"].astype(np.float64))
    middle, our_middle, most = float(np.median(celsius)), float(np.nanmedian(ours.recording.celsius_K)), 0.0
    for c in range(3):
        basis = np.stack([theirs["raw"][:, c], np.ones(celsius.size), celsius - middle], axis=1)[::97]
        (gain, offset, _), *_ = np.linalg.lstsq(basis, theirs["calibrated"][::97, c].astype(np.float64), rcond=None)
        for g in (-1.0, 1.0):
            mine = apply(ours.calibration, np.full((3, 1), g), np.array([our_middle]))[c, 0]
            most = max(most, abs(mine - (gain * g + offset)))
    return f"{most * 1e3:.2f}"


def nonwear(ours: Processed, theirs_N: NDArray[np.bool_], second_N: Array) -> str:
    """Minutes of non-wear that each of the two finds, and minutes that only one finds."""
    mine_S = (ours.state_S & NONWEAR) != 0
    theirs_S = np.bincount(second_N[theirs_N].astype(np.int64), minlength=mine_S.size)[: mine_S.size] > 0
    return f"{mine_S.sum() / 60:.0f} and {theirs_S.sum() / 60:.0f}; {(mine_S != theirs_S).sum() / 60:.1f}"


def main() -> None:
    """Measure, and print the tables for docs/signal.md."""
    arguments = parser(__doc__, "ingest")
    arguments.add_argument("--days", type=float, default=2, help="length of the simulated recording")
    arguments.add_argument("--participant", type=int, default=PARTICIPANT, help="number of the simulated participant")
    with_real_recordings(arguments)
    given = arguments.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    python = peers_python(RESULTS / "ingest-peers", PEERS)
    path = given.out / f"{given.days:g}-references-{given.participant}.cwa"
    if not path.exists():
        simulate_recording(path, 0, given.participant, days=given.days, faults=Faults())
    samples = decode(np.memmap(path, mode="r"), path.name).samples
    truth = true_seconds(given.participant, given.days, samples)
    columns = {f"simulated, {given.days:g} days": beside_actipy(path, python, truth)}
    walk = given.shared.resolve() / "recordings" / "axivity" / "example-610-steps.cwa"
    if walk.exists():
        columns["a real walk, 12 min"] = beside_actipy(walk, python)
    names = dict.fromkeys(name for rows in columns.values() for name in rows)
    cells = [[name, *(rows.get(name, "") for rows in columns.values())] for name in names]
    lines = markdown_table(["ours and actipy 3.8.3", *columns], cells)
    text = "\n".join([*filter_table(), "", *lines])
    (given.out / "references.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
