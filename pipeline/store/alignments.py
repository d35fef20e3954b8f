"""Alignments: which person-days of a participant were recorded at the same time, and how their clocks differ.

A derived Delta table, with a row for each ordered pair of person-days: tick t of `slot` was recorded together with tick
t + offset_ticks + drift_ppm / 1e6 x (t - first tick) of `other_slot`, where the first tick is that of `first_second`.
The row is valid for `seconds` seconds of `slot`. `eligible_5s`, `eligible_10s` and `eligible_30s` are the numbers of
start seconds in `slot` whose windows are eligible in both days (`shared_starts`), so that training knows its quotas
without reading.

A pair of recordings that was compared and refused is remembered by a row for its first days, valid for 0 seconds, whose
method gives the reason.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import SECONDS_PER_DAY, TICKS_PER_SECOND

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.store.store import Store

REFUSED = "refused: "
"""Beginning of the method of a row that only says that a pair was refused."""


@dataclass(frozen=True)
class Alignment:
    """A row of the table."""

    slot: int
    other_slot: int
    first_second: int
    seconds: int
    offset_ticks: float
    drift_ppm: float
    correlation: float
    """Of the two signals at the best offset."""
    method: str
    eligible_5s: int
    eligible_10s: int
    eligible_30s: int

    @property
    def refused(self) -> bool:
        """Whether the row only says that a pair was refused."""
        return self.method.startswith(REFUSED)

    @property
    def reason(self) -> str:
        """Why the pair was refused; "" if it was not."""
        return self.method.removeprefix(REFUSED) if self.refused else ""

    def other_tick(self, start_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tick of the other day at which windows from these start seconds begin, to the nearest tick.

        The drift within a window is neglected: 100 ppm are a hundredth of a tick in 5 s.
        """
        tick_N = start_N * TICKS_PER_SECOND
        drift_N = self.drift_ppm / 1e6 * (tick_N - self.first_second * TICKS_PER_SECOND)
        return np.rint(tick_N + self.offset_ticks + drift_N).astype(np.int64)


def shared_starts(
    start_S: NDArray[np.bool_], other_S: NDArray[np.bool_], alignment: Alignment, seconds: int
) -> NDArray[np.bool_]:
    """Return which starts of a day are eligible in both days.

    `start_S` and `other_S` say for every second whether an eligible window of `seconds` starts there
    (`states.eligible_starts`). A window of the other day may start between two seconds; then both have to be eligible.
    """
    second_N = np.flatnonzero(start_S)
    last = alignment.first_second + alignment.seconds - seconds
    second_N = second_N[(second_N >= alignment.first_second) & (second_N <= last)]
    tick_N = alignment.other_tick(second_N)
    before_N, after_N = tick_N // TICKS_PER_SECOND, -(-tick_N // TICKS_PER_SECOND)
    inside_N = (before_N >= 0) & (after_N < SECONDS_PER_DAY)
    second_N, before_N, after_N = second_N[inside_N], before_N[inside_N], after_N[inside_N]
    shared_S = np.zeros_like(start_S)
    shared_S[second_N[other_S[before_N] & other_S[after_N]]] = True
    return shared_S


def write_alignments(store: Store, rows: list[Alignment]) -> None:
    """Add rows in one commit; creates the table if there is none. Only for the holder of the lease."""
    store.alignments.create()
    store.alignments.append([asdict(row) for row in rows])


def without_stale_rows(store: Store) -> pa.Table | None:
    """The rows whose days are both in `person_days`; None if that is all of them, or there is no table.

    The others are of participants who withdrew, or of recordings that were ingested again into new slots.
    """
    if not store.alignments.exists:
        return None
    import pyarrow.compute as pc

    store.alignments.refresh()
    store.person_days.refresh()
    slots, rows = store.person_days.read(["slot"])["slot"], store.alignments.read()
    there = [pc.is_in(rows[name], value_set=slots.combine_chunks()) for name in ("slot", "other_slot")]
    kept = rows.filter(pc.and_(*there))
    return kept if kept.num_rows < rows.num_rows else None


def alignments_version(store: Store) -> int:
    """The newest version of the table; raises UserError if the store has none."""
    try:
        return store.alignments.version
    except UserError as error:
        if "expected a Delta table" not in str(error):
            raise
        raise UserError(
            f"{store.folder.url}: windows of other devices at the same time need the table of alignments, which this "
            "store does not have. Run `persondays align` on it."
        ) from None


def read_alignments(store: Store, version: int) -> list[Alignment]:
    """All rows of a version; raises UserError if that version or the table is gone."""
    return [Alignment(**row) for row in store.alignments.at(version).read().to_pylist()]
