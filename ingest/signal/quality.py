"""Quality figures of a recording besides its days, and a verdict with its reasons.

docs/signal.md lists the figures; the verdict follows the rules that ingest and the cohort report share
(`pipeline/store/quality.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording
from ingest.signal.calibrate import Calibration
from ingest.signal.seconds import Seconds
from ingest.signal.stamps import GAP_PERIODS
from ingest.signal.stationary import StationaryWindows
from ingest.signal.timeline import Timeline
from ingest.signal.zone import LocalShift
from pipeline.grid import SAMPLE_RATE_HZ
from pipeline.store.figures import RecordingFigures, Verdict
from pipeline.store.quality import RULES, USELESS
from pipeline.store.states import CLIPPED, IDLE, MEASURED, NONWEAR, eligible, worn

CLOCK_CHOICE = "clock_choice"
"""The figure of a recording whose clock was set while it ran: the --clock that was chosen."""
RATE_LEEWAY = 0.01
"""A device of 30 Hz whose true rate is lower by less than this share does not count as upsampled."""


def recording_figures(
    recording: Recording,
    timeline: Timeline,
    local: LocalShift,
    seconds: Seconds,
    still: StationaryWindows,
    calibration: Calibration,
    state_S: NDArray[np.uint8],
) -> RecordingFigures:
    """The quality figures that are known before the days are processed."""
    gap_s = _gaps(recording, timeline)
    measured_S = (state_S & MEASURED) != 0
    gain, offset, drift = calibration.gain_C, calibration.offset_C, calibration.drift_C
    return RecordingFigures(
        device=recording.device,
        serial=recording.serial,
        firmware=recording.firmware,
        location=recording.location,
        origin=recording.origin,
        start=str(timeline.instant(timeline.start_G[0])),
        end=str(timeline.instant(timeline.end_G[-1])),
        clock=recording.clock,
        shift_hours=None if local.shift_us is None else local.shift_us / 3.6e9,
        clock_change=None if local.change_us is None else str(np.datetime64(local.change_us, "us")),
        samples=recording.samples,
        content=content(recording.counts_CN),
        nominal_rate_hz=recording.nominal_rate_hz,
        rate_hz=timeline.rate_hz,
        upsampled=bool(_slowest(recording, timeline) < SAMPLE_RATE_HZ * (1 - RATE_LEEWAY)),
        rate_drift_ppm=timeline.drift_ppm,
        clock_residual_ms=timeline.residual_ms,
        damaged_blocks=recording.damaged_blocks,
        duplicate_blocks=timeline.duplicate_blocks,
        backward_blocks=timeline.backward_blocks,
        mended_stamps=timeline.mended_stamps,
        gaps=len(gap_s),
        gap_total_s=float(np.maximum(gap_s, 0).sum()),
        clipped_ticks=int(seconds.rail_ticks_S.sum()),
        clipped_share=_share(measured_S & ((state_S & CLIPPED) != 0), measured_S),
        impossible_samples=int(seconds.impossible_S.sum()),
        noise_mg=noise_mg(still),
        calibration=calibration.outcome,
        still_windows=calibration.windows,
        error_before_mg=calibration.error_before_mg,
        error_after_mg=calibration.error_after_mg,
        gain_x=gain[0],
        gain_y=gain[1],
        gain_z=gain[2],
        offset_x_g=offset[0],
        offset_y_g=offset[1],
        offset_z_g=offset[2],
        drift_x_g_per_celsius=drift[0],
        drift_y_g_per_celsius=drift[1],
        drift_z_g_per_celsius=drift[2],
        reference_celsius=calibration.reference_celsius,
        measured_hours=_hours(measured_S),
        idle_hours=_hours((state_S & IDLE) != 0),
        nonwear_hours=_hours((state_S & NONWEAR) != 0),
        wear_hours=_hours(worn(state_S)),
        eligible_hours=_hours(eligible(state_S)),
        extras=recording.extras,
        rates=recording.pace.rates if recording.pace else None,
        lost_share=recording.pace.lost_share if recording.pace else None,
        jitter_ms=recording.pace.jitter_ms if recording.pace else None,
    )


def _slowest(recording: Recording, timeline: Timeline) -> float:
    """The rate of a recording, in Hz; the slowest one that lasts for 1% of the samples where it has several."""
    if recording.pace is None:
        return timeline.rate_hz
    order = np.argsort(-recording.pace.period_us_K)
    share_K = np.cumsum(recording.count_K[order]) / recording.samples
    return float(1e6 / recording.pace.period_us_K[order][np.searchsorted(share_K, 0.01)])


def judged(figures: RecordingFigures, days: Sequence[Mapping[str, Any]]) -> RecordingFigures:
    """The figures of a recording with those that follow from its days: mean ENMO, that of each day, the verdict.

    The mean is over worn, measured seconds; a day without any has no ENMO. `verdict_reason` is None for a good one.
    """
    enmo_D = [day["enmo_mg"] for day in days]
    known = [(enmo, day["wear_seconds"]) for enmo, day in zip(enmo_D, days, strict=True) if enmo is not None]
    worn_seconds = sum(weight for _, weight in known)
    enmo_mg = sum(enmo * weight for enmo, weight in known) / worn_seconds if worn_seconds else None
    found = replace(figures, enmo_mg=enmo_mg, enmo_mg_of_days=enmo_D)
    doubts = list(_doubts(found))
    verdict: Verdict = "doubtful" if doubts else "good"
    if USELESS.is_broken(found.eligible_hours):
        verdict = "useless"
    return replace(found, verdict=verdict, verdict_reason="; ".join(doubts) or None)


def _doubts(figures: RecordingFigures) -> Iterator[str]:
    """Why a recording is doubtful: the rules on numbers, then those on the clock and the calibration."""
    numbers = {name: math.nan if value is None else value for name, value in asdict(figures).items()}
    for rule in RULES:
        value = rule.value(numbers)
        if rule.is_broken(value):
            yield rule.doubt_of(value)
    if figures.origin != "calendar":
        yield "no calendar clock: times of day mean nothing"
    if figures.clock == "utc" and figures.shift_hours is None:
        yield "its clock shows UTC: days are local ones only with --local-timezone"
    if choice := figures.extras.get(CLOCK_CHOICE):
        yield f"its clock was set while it ran: --clock {choice}"
    if figures.calibration == "none":
        yield f"not calibrated (still windows: {figures.still_windows:,})"


def content(counts_CN: NDArray[np.int16]) -> str:
    """A digest of the samples, whatever the file is called: their number, and the CRC32C of each axis."""
    sums = [google_crc32c.value(_read_only(np.ascontiguousarray(axis_N))) for axis_N in counts_CN]
    return f"{counts_CN.shape[1]:x}-{''.join(f'{value:08x}' for value in sums)}"


def _read_only(axis_N: NDArray[np.int16]) -> NDArray[np.uint8]:
    view = axis_N.view(np.uint8)
    view.flags.writeable = False
    return view


def noise_mg(still: StationaryWindows) -> float:
    """Median standard deviation of the still windows, as root mean square of the axes, at the native rate; NaN without
    still windows.

    A device that rounds coarsely may show no noise.
    """
    usable_W = still.still_W & still.complete_W
    rms_W = np.sqrt((still.deviation_CW[:, usable_W] ** 2).mean(axis=0))
    return float(np.median(rms_W) * 1000) if rms_W.size else float("nan")


def _gaps(recording: Recording, timeline: Timeline) -> NDArray[np.float64]:
    """Length of the gaps between segments in seconds, without gaps that are idle sleep."""
    begin_G, end_G = timeline.end_G[:-1] + 1 / timeline.rate_hz, timeline.start_G[1:]
    gap_G = end_G - begin_G
    if not recording.idle_spans_us.size:
        return gap_G
    idle_M2 = (recording.idle_spans_us - timeline.midnight.astype("datetime64[us]").astype(np.int64)) * 1e-6
    slept_M2 = np.cumsum(np.diff(idle_M2, axis=1, prepend=idle_M2[:, :1])).reshape(-1, 2)
    idle_G = np.diff([np.interp(time_G, idle_M2.ravel(), slept_M2.ravel()) for time_G in (begin_G, end_G)], axis=0)[0]
    rest_G = gap_G - idle_G
    return rest_G[(idle_G == 0) | (rest_G > GAP_PERIODS / timeline.rate_hz)]


def _hours(flag_S: NDArray[np.bool_]) -> float:
    return float(flag_S.sum() / 3600)


def _share(part_S: NDArray[np.bool_], whole_S: NDArray[np.bool_]) -> float:
    return float(part_S.sum() / max(1, whole_S.sum()))
