"""What is told of a recording besides its days: figures of quality, and a verdict with its reasons.

Figures are scalars by name with the unit in it (docs/signal.md lists them); the verdict goes by limits that ingest
and the cohort report share (`pipeline/store/quality.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ingest.recording import Recording
from ingest.signal.calibrate import Calibration
from ingest.signal.seconds import Seconds
from ingest.signal.stamps import GAP_PERIODS
from ingest.signal.stationary import Windows
from ingest.signal.timeline import Timeline
from ingest.signal.zone import Local
from pipeline.grid import SAMPLE_RATE_HZ
from pipeline.store import quality as limits
from pipeline.store.states import CLIPPED, IDLE, MEASURED, NONWEAR, eligible, worn

Figures = dict[str, Any]

RATE_LEEWAY = 0.01
"""A device of 30 Hz whose oscillator is off by less is not upsampled."""
GOOD, DOUBTFUL, USELESS = "good", "doubtful", "useless"


def recording_figures(
    recording: Recording,
    timeline: Timeline,
    local: Local,
    seconds: Seconds,
    still: Windows,
    calibration: Calibration,
    state_S: NDArray[np.uint8],
) -> Figures:
    """Quality figures of a recording, as far as they are known before its days are made."""
    gap_s = _gaps(recording, timeline)
    measured_S = (state_S & MEASURED) != 0
    return {
        "device": recording.device,
        "serial": recording.serial,
        "firmware": recording.firmware,
        "location": recording.location,
        "origin": recording.origin,
        "start": str(timeline.instant(timeline.start_G[0])),
        "end": str(timeline.instant(timeline.end_G[-1])),
        "clock": recording.clock,
        "shift_hours": None if local.shift_us is None else local.shift_us / 3.6e9,
        "clock_change": None if local.change_us is None else str(np.datetime64(local.change_us, "us")),
        "samples": recording.samples,
        "content": content(recording.counts_CN),
        "nominal_rate_hz": recording.nominal_rate_hz,
        "rate_hz": timeline.rate_hz,
        "upsampled": timeline.rate_hz < SAMPLE_RATE_HZ * (1 - RATE_LEEWAY),
        "rate_drift_ppm": timeline.drift_ppm,
        "clock_residual_ms": timeline.residual_ms,
        "damaged_blocks": recording.damaged_blocks,
        "duplicate_blocks": timeline.duplicate_blocks,
        "backward_blocks": timeline.backward_blocks,
        "mended_stamps": timeline.mended_stamps,
        "gaps": len(gap_s),
        "gap_total_s": float(np.maximum(gap_s, 0).sum()),
        "clipped_ticks": int(seconds.rail_ticks_S.sum()),
        "clipped_share": _share(measured_S & ((state_S & CLIPPED) != 0), measured_S),
        "impossible_samples": int(seconds.impossible_S.sum()),
        "noise_mg": noise_mg(still),
        "calibration": calibration.outcome,
        "still_windows": calibration.windows,
        "error_before_mg": calibration.error_before_mg,
        "error_after_mg": calibration.error_after_mg,
        **{f"gain_{axis}": value for axis, value in zip("xyz", calibration.gain_C, strict=True)},
        **{f"offset_{axis}_g": value for axis, value in zip("xyz", calibration.offset_C, strict=True)},
        **{f"drift_{axis}_g_per_celsius": value for axis, value in zip("xyz", calibration.drift_C, strict=True)},
        "reference_celsius": calibration.reference_celsius,
        "measured_hours": _hours(measured_S),
        "idle_hours": _hours((state_S & IDLE) != 0),
        "nonwear_hours": _hours((state_S & NONWEAR) != 0),
        "wear_hours": _hours(worn(state_S)),
        "eligible_hours": _hours(eligible(state_S)),
        **recording.extras,
    }


def judged(figures: Figures, days: Sequence[Figures]) -> Figures:
    """The figures of a recording whose days are made: with its mean ENMO, that of each day, and the verdict.

    ENMO is that over worn, measured seconds; a day without any has none. verdict_reason: None where it is good.
    """
    enmo_D = [day["enmo_mg"] for day in days]
    known = [(enmo, day["wear_seconds"]) for enmo, day in zip(enmo_D, days, strict=True) if enmo is not None]
    worn_seconds = sum(weight for _, weight in known)
    enmo_mg = sum(enmo * weight for enmo, weight in known) / worn_seconds if worn_seconds else None
    found = {**figures, "enmo_mg": enmo_mg, "enmo_mg_of_days": enmo_D}
    doubts = list(_doubts(found))
    is_useless = found["eligible_hours"] < limits.LEAST_ELIGIBLE_H
    verdict = USELESS if is_useless else DOUBTFUL if doubts else GOOD
    return {**found, "verdict": verdict, "verdict_reason": "; ".join(doubts) or None}


def _doubts(figures: Figures) -> Iterator[str]:
    """Why a recording is worth a look, the gravest first."""
    low, high = limits.ENMO_RANGE_MG
    enmo_mg, rate_off = figures["enmo_mg"], figures["rate_hz"] / figures["nominal_rate_hz"] - 1
    if figures["eligible_hours"] < limits.LEAST_ELIGIBLE_H:
        yield f"{_time(figures['eligible_hours'])} may be drawn, under {limits.LEAST_ELIGIBLE_H} h"
    if figures["origin"] != "calendar":
        yield "no calendar clock: times of day mean nothing"
    if figures["clock"] == "utc" and figures["shift_hours"] is None:
        yield "its clock shows UTC: its days are local ones only with --local-timezone"
    if figures["calibration"] == "none":
        yield f"not calibrated (windows at rest: {figures['still_windows']:,})"
    if figures["error_after_mg"] > limits.MOST_ERROR_MG:
        yield f"{figures['error_after_mg']:.0f} mg off one g at rest"
    if figures["noise_mg"] > limits.MOST_NOISE_MG:
        yield f"{figures['noise_mg']:.0f} mg of noise at rest"
    if enmo_mg is not None and not low <= enmo_mg <= high:
        yield f"mean ENMO of {enmo_mg:.1f} mg, a person's is {low} to {high}"
    if figures["impossible_samples"]:
        yield f"{figures['impossible_samples']:,} samples beyond the device's range"
    if figures["clipped_share"] > limits.MUCH_CLIPPED:
        yield f"{figures['clipped_share']:.1%} of the seconds clipped"
    if abs(rate_off) > limits.MOST_RATE_OFF:
        yield f"its rate is {rate_off:+.1%} off"
    if figures["clock_residual_ms"] > limits.MOST_RESIDUAL_MS:
        yield f"its stamps scatter by {figures['clock_residual_ms']:.0f} ms"
    stamps = figures["duplicate_blocks"] + figures["backward_blocks"] + figures["mended_stamps"]
    if stamps > limits.MANY_BLOCKS:
        yield f"{stamps:,} blocks that repeat or contradict others"
    if figures["damaged_blocks"] > limits.MANY_BLOCKS:
        yield f"{figures['damaged_blocks']:,} damaged blocks"
    if figures["gap_total_s"] > limits.LONG_GAP_H * 3600:
        yield f"gaps of {_time(figures['gap_total_s'] / 3600)} in all"
    if figures["wear_hours"] < limits.WORN_LITTLE_H:
        yield f"worn for {_time(figures['wear_hours'])}, under {limits.WORN_LITTLE_H} h"


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def content(counts_CN: NDArray[np.int16]) -> str:
    """What tells samples from others, whatever their file is called: their number, and the CRC32C of each axis."""
    sums = [google_crc32c.value(_read_only(np.ascontiguousarray(axis_N))) for axis_N in counts_CN]
    return f"{counts_CN.shape[1]:x}-{''.join(f'{value:08x}' for value in sums)}"


def _read_only(axis_N: NDArray[np.int16]) -> NDArray[np.uint8]:
    view = axis_N.view(np.uint8)
    view.flags.writeable = False
    return view


def noise_mg(still: Windows) -> float:
    """Median deviation of the windows at rest, root mean square of the axes, at the native rate; NaN without any.

    A device that rounds coarsely may show none.
    """
    usable_W = still.still_W & still.whole_W
    rms_W = np.sqrt((still.deviation_CW[:, usable_W] ** 2).mean(axis=0))
    return float(np.median(rms_W) * 1000) if rms_W.size else float("nan")


def _gaps(recording: Recording, timeline: Timeline) -> NDArray[np.float64]:
    """Seconds of the gaps between segments, those left out that idle sleep explains."""
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
