"""One recording as a DataFrame of calibrated samples and a dictionary of figures, in one call (docs/api.md)."""

from __future__ import annotations

import difflib
import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ingest.inspect.recording import exists, inspect_processed, is_file, process_folder, process_recording
from ingest.process import Processed
from ingest.settings import SignalSettings, TableSettings
from ingest.signal.calibrate import apply
from ingest.signal.timing import MAX_DAYS
from pipeline.errors import UserError
from pipeline.extras import optional
from pipeline.grid import FILL, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_SECOND
from pipeline.settings import build
from pipeline.store.frames import NS_PER_S, samples_frame, tick_times
from pipeline.store.person_day import PersonDay
from pipeline.store.states import IDLE, MEASURED

if TYPE_CHECKING:
    import pandas as pd

OF_TABLES, OF_SIGNAL = ({each.name for each in fields(kind) if each.init} for kind in (TableSettings, SignalSettings))


def read_recording(
    path: str | os.PathLike[str], *, resample: bool = True, max_days: int = MAX_DAYS, **settings: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read one recording (.cwa, .gt3x, .bin, csv, Parquet; a path or s3:// URL; a folder of its parts).

    Returns a DataFrame indexed by `time` of the device's clock and a dictionary of figures.

    The columns are x, y, z (float32, calibrated, in g, NaN where not measured), temperature (degrees Celsius, where
    the device has it), worn and eligible (bool, by second). By default, rows are the ticks that ingest would store, at
    30 Hz from the first second with data to the last, without days that have no measured second. With
    `resample=False`, rows are the device's own samples at their fitted times, calibrated.

    The figures are those of docs/signal.md (device, clock, rate, gaps, calibration, non-wear, noise, verdict, ...),
    with None for what is not known, and `days`: a dictionary for each day.

    `settings` are those of tables and signal steps, by the names of the flags of `persondays ingest`: unit="mg",
    columns="time=t,x=ax,y=ay,z=az", rate_hz=50, resampling="nearest", local_timezone="Europe/London", ...

    Raises UserError for a recording that ingest would reject, an unknown setting, and without pandas.
    """
    optional("pandas")
    url = os.fspath(path)
    if unknown := sorted({*settings} - OF_TABLES - OF_SIGNAL):
        near = difflib.get_close_matches(unknown[0], OF_TABLES | OF_SIGNAL, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(OF_TABLES | OF_SIGNAL))}."
        raise UserError(f"read_recording: unknown setting {unknown[0]!r}; {hint}")
    of_tables = {name: value for name, value in settings.items() if name in OF_TABLES}
    of_signal = {"any_location": True} | {name: value for name, value in settings.items() if name in OF_SIGNAL}
    table, signal = (
        build(TableSettings, of_tables, "read_recording"),
        build(SignalSettings, of_signal, "read_recording"),
    )
    if not exists(url):
        raise UserError(f"{url}: there is no such file or folder. Give a recording, or the folder of its parts.")
    process = process_recording if is_file(url) else process_folder
    processed = process(url, table, signal, max_days)
    if not processed.measured_days:
        raise UserError(f"{url}: no second of the recording is measured throughout, so there is nothing to read.")
    if resample:
        collected = Ticks(processed)
        found = inspect_processed(url, processed, collected.add)
        frame = collected.frame()
    else:
        found, frame = inspect_processed(url, processed), own_samples(processed)
    plain = found.plain()
    return frame, {**plain["figures"], "days": plain["days"]}


class Ticks:
    """Collects the days of a recording, in g, and makes one DataFrame of them."""

    def __init__(self, processed: Processed) -> None:
        self.processed, self.days = processed, processed.measured_days
        self.signal_CT = np.empty((3, len(self.days) * TICKS_PER_DAY), np.float32)
        self.filled = 0

    def add(self, day: PersonDay) -> None:
        """Add the next day."""
        own_CT = self.signal_CT[:, self.filled : self.filled + TICKS_PER_DAY]
        np.divide(day.signal_CT, np.float32(self.processed.settings.counts_per_g), out=own_CT, dtype=np.float32)
        own_CT[day.signal_CT == FILL] = np.nan
        self.filled += TICKS_PER_DAY

    def frame(self) -> pd.DataFrame:
        """All ticks from the first second with data (measured, or idle sleep) to the last."""
        midnight = self.processed.timeline.midnight
        second_S = np.concatenate([np.arange(SECONDS_PER_DAY) + day * SECONDS_PER_DAY for day in self.days])
        covered = np.flatnonzero(self.processed.state_S[second_S] & (MEASURED | IDLE))
        begin, end = int(covered[0]), int(covered[-1]) + 1
        second_S, ticks = second_S[begin:end], slice(begin * TICKS_PER_SECOND, end * TICKS_PER_SECOND)
        times = [tick_times(midnight + day, TICKS_PER_DAY) for day in self.days]
        celsius_S = self.processed.celsius_S[second_S].astype(np.float32)
        return samples_frame(
            np.concatenate(times)[ticks],
            self.signal_CT[:, ticks],
            np.repeat(self.processed.state_S[second_S], TICKS_PER_SECOND),
            np.repeat(celsius_S, TICKS_PER_SECOND) if np.isfinite(celsius_S).any() else None,
        )


def own_samples(processed: Processed) -> pd.DataFrame:
    """The device's own samples, those of all segments: their fitted times, calibrated values, temperature, states."""
    timeline, recording, calibration = processed.timeline, processed.recording, processed.calibration
    spans = list(zip(timeline.first_G.tolist(), timeline.stop_G.tolist(), strict=True))
    sample_N = np.concatenate([np.arange(first, stop) for first, stop in spans])
    second_N = timeline.seconds_of(sample_N)
    celsius_N = processed.celsius_S[second_N.astype(np.int64)]
    raw_CN = recording.counts_CN[:, sample_N] * recording.g_per_count_C[:, None] + recording.offset_g_C[:, None]
    x_CN = apply(calibration, raw_CN, celsius_N).astype(np.float32)
    state_N: NDArray[np.uint8] = processed.state_S[second_N.astype(np.int64)]
    time_N = timeline.midnight.astype("datetime64[ns]") + (second_N * NS_PER_S).astype("timedelta64[ns]")
    known = np.isfinite(celsius_N).any()
    return samples_frame(time_N, x_CN, state_N, celsius_N.astype(np.float32) if known else None)
