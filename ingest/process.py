"""The signal steps of one recording in their order: from decoded samples to person-days, one day at a time.

The steps on the complete recording (time, sums of every second, stillness, calibration, states) are cheap and run at
once. The signal is resampled day by day, as the days are asked for, so that memory holds the recording and one day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.devices.location import require_wrist
from ingest.recording import Recording
from ingest.settings import SignalSettings
from ingest.signal.calibrate import Calibration, calibrate
from ingest.signal.clock import timed
from ingest.signal.nonwear import nonwear
from ingest.signal.quality import CLOCK_CHOICE, recording_figures
from ingest.signal.quantise import quantise
from ingest.signal.seconds import summarise
from ingest.signal.states import coverage, flags, segment_ticks, with_nonwear
from ingest.signal.stationary import WINDOW_SECONDS, stationary_windows
from ingest.signal.timeline import Timeline
from ingest.signal.timing import MAX_DAYS
from ingest.signal.zone import to_local
from pipeline.errors import UserError
from pipeline.grid import AXES, FILL, SAMPLE_RATE_HZ, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_HOUR
from pipeline.numerics.resample import UNITY, Bank, Course, Method, design, resample
from pipeline.store.day_figures import day_figures
from pipeline.store.figures import RecordingFigures
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import IDLE, MEASURED

SIMILAR_RATES = 0.05
"""Segments whose rates differ by less than this share are resampled with one filter."""
Row = dict[str, Any]
"""Columns of the table `person_days`, by name."""


@dataclass(frozen=True)
class Processed:
    """A recording whose days can be computed.

    figures: quality figures of the recording, those of its days excepted; `serial` is the device's own.
    """

    figures: RecordingFigures
    recording: Recording
    settings: SignalSettings
    timeline: Timeline
    course: Course
    courses: list[tuple[Course, Bank]]
    calibration: Calibration
    celsius_S: NDArray[np.float64]
    state_S: NDArray[np.uint8]

    @property
    def measured_days(self) -> list[int]:
        """The calendar days that have a measured second, counted from the first day of the timeline."""
        return [day for day in range(self.timeline.days) if (self.state_S[_day(day)] & MEASURED).any()]

    @property
    def span_days(self) -> int:
        """The calendar days from the first to the last that has a measured second."""
        days = self.measured_days
        return days[-1] - days[0] + 1 if days else 0

    def days(self) -> Iterator[tuple[np.datetime64, PersonDay, Row]]:
        """Yield every calendar day that has a measured second: the date, its person-day and its figures."""
        for index in self.measured_days:
            state_S = self.state_S[_day(index)].copy()
            signal_CT = self._signal(index)
            day = PersonDay(signal_CT, motion(signal_CT, state_S, self.settings.counts_per_g), state_S)
            yield self.timeline.midnight + index, day, day_figures(day, self.settings.counts_per_g)

    def _signal(self, index: int) -> NDArray[np.int16]:
        """The stored values of a day, computed by the hour so that resampled values are still in the cache."""
        counts_per_g, calibration = self.settings.counts_per_g, self.calibration
        gain_C, offset_C, drift_C = map(np.array, (calibration.gain_C, calibration.offset_C, calibration.drift_C))
        warmer_S = np.nan_to_num(self.celsius_S[_day(index)] - calibration.reference_celsius)
        offset_CS = (offset_C + gain_C * self.recording.offset_g_C)[:, None] + drift_C[:, None] * warmer_S
        scale_C, offset_CS = gain_C * self.recording.g_per_count_C * counts_per_g / UNITY, offset_CS * counts_per_g
        first_G, stop_G = (tick_G - index * TICKS_PER_DAY for tick_G in segment_ticks(self.course))
        resampled_CT = np.empty((AXES, TICKS_PER_HOUR), dtype=np.int32)
        signal_CT = np.empty((AXES, TICKS_PER_DAY), dtype=np.int16)
        for tick in range(0, TICKS_PER_DAY, TICKS_PER_HOUR):
            for course, bank in self.courses:
                resample(self.recording.counts_CN, course, bank, index * TICKS_PER_DAY + tick, resampled_CT)
            begin_G, end_G = (np.clip(tick_G, tick, tick + TICKS_PER_HOUR) for tick_G in (first_G, stop_G))
            if (end_G - begin_G).sum() < TICKS_PER_HOUR:
                signal_CT[:, tick : tick + TICKS_PER_HOUR] = FILL
            quantise(resampled_CT, tick, begin_G, end_G, scale_C, offset_CS, signal_CT)
        return signal_CT


def _day(index: int) -> slice:
    """The seconds of a day."""
    return slice(index * SECONDS_PER_DAY, (index + 1) * SECONDS_PER_DAY)


def process(
    recording: Recording, settings: SignalSettings, given: Calibration | None = None, max_days: int = MAX_DAYS
) -> Processed:
    """Run the signal steps that come before the days: `persondays inspect` and a run accept what this accepts.

    `given` are coefficients for this device from --calibration, used where the recording does not determine its own.
    Raises UserError when the recording has no usable clock, spans more than `max_days`, was not worn on a wrist, or
    cannot be calibrated, unless the settings allow it.
    """
    if not settings.any_location:
        require_wrist(recording.location)
    recording, local = to_local(recording, settings)
    recording, timeline, was_set = timed(recording, settings.clock, max_days)
    if was_set:
        recording = replace(recording, extras={**recording.extras, CLOCK_CHOICE: str(settings.clock)})
    course = timeline.course()
    courses = _courses(recording, timeline, course, settings.resampling)
    seconds = summarise(recording, timeline)
    size = timeline.days * SECONDS_PER_DAY
    reach_R = np.zeros(course.lo_R.size, dtype=np.int64)
    for part, bank in courses:
        reach_R[np.isin(course.lo_R, part.lo_R)] = bank.reach
    rate_S = np.maximum(seconds.samples_S, 1) if recording.pace else timeline.rate_hz
    state_S = coverage(recording, timeline, course, reach_R, size) | flags(seconds, rate_S)
    celsius_S = _temperature(recording, timeline, size)
    still = stationary_windows(seconds, (state_S & MEASURED) != 0, (state_S & IDLE) != 0, recording)
    usable_W = still.still_W & still.complete_W
    celsius_W = celsius_S.reshape(-1, WINDOW_SECONDS).mean(axis=1)
    calibration = calibrate(still.mean_CW[:, usable_W], celsius_W[usable_W], given)
    if settings.require_calibration and calibration.outcome == "none":
        raise UserError(
            f"the recording cannot be calibrated: it has {calibration.windows} still windows, or they do not show "
            "enough orientations. Without --require-calibration it is kept and flagged."
        )
    state_S = with_nonwear(state_S, nonwear(still.still_W))
    figures = recording_figures(recording, timeline, local, seconds, still, calibration, state_S)
    return Processed(figures, recording, settings, timeline, course, courses, calibration, celsius_S, state_S)


def _courses(recording: Recording, timeline: Timeline, course: Course, method: Method) -> list[tuple[Course, Bank]]:
    """The course of a recording with the filter for its rate; in parts of similar rates where it has several."""
    if recording.pace is None:
        return [(course, design(timeline.rate_hz, method))]
    length_R = (course.stop_tick_R - course.first_tick_R).astype(np.float64)
    segment_R = np.unique(course.lo_R, return_inverse=True)[1]
    rate_G = SAMPLE_RATE_HZ * np.bincount(segment_R, length_R * course.step_R) / np.bincount(segment_R, length_R)
    parts = []
    left_G = np.ones(rate_G.size, dtype=bool)
    while left_G.any():
        slowest = rate_G[left_G].min()
        part_G = left_G & (rate_G <= slowest * (1 + SIMILAR_RATES))
        left_G &= ~part_G
        part_R = part_G[segment_R]
        part = Course(**{each.name: getattr(course, each.name)[part_R] for each in fields(course)})
        parts.append((part, design(float(np.median(rate_G[part_G])), method)))
    return parts


def _temperature(recording: Recording, timeline: Timeline, seconds: int) -> NDArray[np.float64]:
    """Temperature at the middle of each second, interpolated between blocks; NaN where the device has none."""
    segment_K = np.searchsorted(timeline.first_G, recording.first_K, side="right") - 1
    usable_K = (segment_K >= 0) & (recording.first_K < timeline.stop_G[segment_K]) & np.isfinite(recording.celsius_K)
    if not usable_K.any():
        return np.full(seconds, np.nan)
    block_s = timeline.seconds_of(recording.first_K[usable_K])
    return np.interp(np.arange(seconds) + 0.5, block_s, recording.celsius_K[usable_K])
