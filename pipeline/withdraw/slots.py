"""Which slots the tables name. Objects in all other slots belong to nobody and may be deleted."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.store.store import Store

Int = NDArray[np.int64]


def named_slots(store: Store, without: Collection[str] = ()) -> NDArray[np.bool_]:
    """For every slot ever given, whether a row of `plan` or `person_days` names it.

    Rows of `plan` that belong to the participants `without` do not count. The result is as long as the arrays, or
    longer where the plan reaches further. (Slots that left the plan are within the arrays, which never shrink.)
    """
    plan = store.plan.read(["participant", "first_slot", "slots"])
    first, end = plan["first_slot"].to_numpy(), pc.add(plan["first_slot"], plan["slots"]).to_numpy()
    counts = pc.invert(pc.is_in(plan["participant"], pa.array(sorted(without), pa.string()))).to_numpy()
    days = store.person_days.read(["slot"])["slot"].to_numpy()
    length = max(store.length, end.max(initial=0), days.max(initial=-1) + 1)
    return covered_slots(length, first[counts], end[counts], days)


def covered_slots(length: int, first: Int, end: Int, single: Int) -> NDArray[np.bool_]:
    """For each of `length` slots, whether it is in a span (from `first` to before `end`) or one of `single`."""
    change = np.bincount(first, minlength=length + 1) - np.bincount(end, minlength=length + 1)
    is_covered = np.cumsum(change)[:length] > 0
    is_covered[single] = True
    return np.asarray(is_covered)
