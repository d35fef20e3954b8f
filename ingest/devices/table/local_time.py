"""Stamps in local time over a change of the clocks: an hour that comes twice in autumn, and one that is left out.

Where the zone is known, such stamps become times in UTC: the order of the rows shows which belong to the first pass of
the repeated hour and which to the second. A table whose stamps do not follow the change is left as it is: most
devices have a clock of their own. Without a zone, an hour that comes twice is a question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

Int = NDArray[np.int64]
NEAR_US = 2_000_000
"""Stamps may be off a change by so much, or by the distance of stamps that rows share."""
BACK_US = 1_000_000
"""Stamps that go back by less are jitter."""
BLOCKS = 20
"""Blocks that show whether a jump of the stamps lasts."""
REPEATED_US = (3_600_000_000, 1_800_000_000)
LATEST_HOUR_US = 4 * 3_600_000_000
"""Clocks change until this time of day."""
_HALF_HOUR_US, _DAY_US = 1_800_000_000, 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)


@dataclass(frozen=True)
class Spans:
    """Blocks of consecutive stamps: first row, first and last stamp of each, in microseconds of the table's clock."""

    first_K: Int
    us_K: Int
    end_us_K: Int
    near_us: float = NEAR_US


@dataclass(frozen=True)
class Offsets:
    """How far the stamps are ahead of UTC, from which row on."""

    row_C: Int
    ahead_us_C: Int

    def of(self, row_X: Int) -> Int:
        """Return the microseconds ahead of UTC at some rows."""
        return self.ahead_us_C[np.maximum(np.searchsorted(self.row_C, row_X, side="right") - 1, 0)]


@dataclass(frozen=True)
class Change:
    """A change of the clocks: when, in microseconds of UTC, and how far they were ahead of it before and after."""

    utc_us: int
    before_us: int
    after_us: int


def find_offsets(spans: Spans, zone: str) -> Offsets | None:
    """Return the offsets of stamps that follow the changes of a zone's clocks; None where they follow none."""
    if not spans.us_K.size:
        return None
    found, row = [], 0
    for change in _changes(ZoneInfo(zone), int(spans.us_K.min()) - _DAY_US, int(spans.end_us_K.max()) + _DAY_US):
        block = _block_after(spans, change)
        if block is not None and int(spans.first_K[block]) > row:
            row = int(spans.first_K[block])
            found.append((row, change))
    if not found:
        return None
    ahead = [found[0][1].before_us]
    for _, change in found:
        ahead.append(ahead[-1] + change.after_us - change.before_us)
    return Offsets(np.array([0, *(row for row, _ in found)], np.int64), np.array(ahead, np.int64))


def _block_after(spans: Spans, change: Change) -> int | None:
    """Return the block with which the stamps follow a change; None where they do not."""
    last_K, first_K = spans.end_us_K[:-1], spans.us_K[1:]
    old, new = change.utc_us + change.before_us, change.utc_us + change.after_us
    near = spans.near_us
    if new > old:  # no clock shows the times from old to new
        follows_K = (np.abs(last_K - old) <= near) & (np.abs(first_K - new) <= near)
    else:  # clocks show the times from new to old twice
        is_within_K = (first_K >= new - near) & (last_K <= old + near)
        follows_K = is_within_K & (last_K - first_K > BACK_US)
    for block in (np.flatnonzero(follows_K) + 1).tolist():
        later = float(np.median(spans.us_K[block : block + BLOCKS]))
        if later >= new - near if new > old else later < last_K[block - 1]:
            return int(block)
    return None


def refuse_repeated_hour(spans: Spans, zone: str | None) -> None:
    """Raise UserError where an hour or half an hour comes twice, at a time at which clocks change."""
    last_K, first_K = spans.end_us_K[:-1], spans.us_K[1:]
    is_repeat_K = np.logical_or.reduce([np.abs(last_K - first_K - us) <= spans.near_us for us in REPEATED_US])
    is_full_K = np.abs((last_K + _HALF_HOUR_US // 2) % _HALF_HOUR_US - _HALF_HOUR_US // 2) <= spans.near_us
    is_early_K = (last_K + round(spans.near_us)) % _DAY_US <= LATEST_HOUR_US + 2 * spans.near_us
    for block in (np.flatnonzero(is_repeat_K & is_full_K & is_early_K) + 1).tolist():
        if np.median(spans.us_K[block : block + BLOCKS]) < last_K[block - 1]:
            back = (
                "an hour" if last_K[block - 1] - first_K[block - 1] > REPEATED_US[1] + spans.near_us else "half an hour"
            )
            raise UserError(
                f"the stamps go back by {back} at night, as local time does at the end of summer time"
                f"{f', but not in the zone {zone}' if zone else ''}. State the zone whose time they show, as in "
                "--local-timezone Europe/London, to read both. If the clock was set instead, state --clock keep-first, "
                "keep-last or split."
            )


def _changes(zone: ZoneInfo, begin_us: int, end_us: int) -> Iterator[Change]:
    """Yield the changes of a zone's clocks between two times in UTC."""

    def ahead(time: datetime) -> timedelta:
        return time.astimezone(zone).utcoffset() or timedelta()

    time, end = (_EPOCH + timedelta(microseconds=us) for us in (begin_us, end_us))
    while time < end:
        before, after = time, time + _DAY
        if ahead(before) != ahead(after):
            while after - before > _SECOND:
                half = before + (after - before) / 2
                before, after = (half, after) if ahead(half) == ahead(time) else (before, half)
            # clocks change at full seconds
            yield Change(_us(after - _EPOCH) // 1_000_000 * 1_000_000, _us(ahead(before)), _us(ahead(after)))
        time += _DAY


def _us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
