"""From the clock that a device was set to, to local time: one shift for a recording.

Days are local days, but some devices are set to UTC, or in another country than where they are worn. A device's clock
does not follow a change to or from summer time, so one shift is right for the recording or up to such a change: it is
the shift at the middle of the recording, and the change is reported and not applied.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from ingest.recording import Probe, Recording
from ingest.settings import SignalSettings

UTC = "UTC"
_EPOCH = datetime(1970, 1, 1)
_DAY_US = 86_400_000_000
_SECOND_US = 1_000_000


@dataclass(frozen=True)
class LocalShift:
    """The shift from a device's clock to local time.

    shift_us: microseconds to add to the device's stamps; None where the zone is not known. change_us: when
    local clocks changed during the recording, in local time since 1970; None where they did not.
    """

    shift_us: int | None = None
    change_us: int | None = None


def to_local(recording: Recording, settings: SignalSettings) -> tuple[Recording, LocalShift]:
    """The recording with stamps and idle sleep in local time, if the settings give a local time zone."""
    stamp_us_X = recording.stamp_us_K[recording.stamped_K]
    if settings.local_timezone is None or recording.origin != "calendar" or not stamp_us_X.size:
        return recording, LocalShift()
    start, middle, end = (int(us) for us in np.quantile(stamp_us_X, (0, 0.5, 1), method="nearest"))
    local = _local(start, middle, end, recording.clock, settings.local_timezone, settings.device_timezone)
    if not local.shift_us:
        return recording, local
    moved = {name: getattr(recording, name) + local.shift_us for name in ("stamp_us_K", "idle_spans_us")}
    return replace(recording, **moved), local


def local_days(probe: Probe, settings: SignalSettings) -> int:
    """The most local calendar days that a recording may touch, whichever moment of it gives the shift."""
    if settings.local_timezone is None:
        return len(probe.days)
    start, end = (int(time.astype(np.int64)) for time in (probe.start, probe.end))
    zones = probe.clock, settings.local_timezone, settings.device_timezone
    shift = [_local(moment, moment, moment, *zones).shift_us or 0 for moment in (start, end)]
    return (end + max(shift)) // _DAY_US - (start + min(shift)) // _DAY_US + 1


def _local(start: int, middle: int, end: int, clock: str | None, local: str, device: str | None) -> LocalShift:
    """The shift of a recording from `start` to `end`, in microseconds of the device's clock since 1970."""
    zone = ZoneInfo(local)
    device_zone = {"utc": UTC, "local": local, None: device or local}[clock]
    ahead_us = _ahead_us(ZoneInfo(device_zone), middle)

    def shift_us(us: int) -> int:
        """From the device's clock to local time at one moment."""
        utc = _EPOCH + timedelta(microseconds=us - ahead_us)
        offset = utc.replace(tzinfo=ZoneInfo(UTC)).astimezone(zone).utcoffset()
        return _microseconds(offset) - ahead_us

    shift = shift_us(middle)
    moments = [*range(start, end, _DAY_US), end]
    later = next((i for i, us in enumerate(moments) if shift_us(us) != shift_us(start)), None)
    if later is None:
        return LocalShift(shift)
    before, after = moments[later - 1], moments[later]
    while after - before > _SECOND_US:
        half = (before + after) // 2
        before, after = (before, half) if shift_us(half) != shift_us(start) else (half, after)
    return LocalShift(shift, after // _SECOND_US * _SECOND_US + shift)


def _ahead_us(zone: ZoneInfo, us: int) -> int:
    """How far the clocks of a zone are ahead of UTC when they show this time."""
    return _microseconds((_EPOCH + timedelta(microseconds=us)).replace(tzinfo=zone).utcoffset())


def _microseconds(offset: timedelta | None) -> int:
    return round((offset or timedelta()) / timedelta(microseconds=1))
