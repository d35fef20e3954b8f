"""Which slots the tables name, and so which are nobody's: what stands in those may go."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.store.store import Store

Int = NDArray[np.int64]


def named_slots(store: Store, but: Collection[str] = ()) -> NDArray[np.bool_]:
    """For every slot ever given, whether a row of the plan (but of these people) or of `person_days` names it.

    As long as the arrays, or longer where the plan reaches further. (What was given and forgotten is within the
    arrays: they never shrink.)
    """
    plan = store.plan.read(["participant", "first_slot", "slots"])
    first, after = plan["first_slot"].to_numpy(), pc.add(plan["first_slot"], plan["slots"]).to_numpy()
    counts = pc.invert(pc.is_in(plan["participant"], pa.array(sorted(but), pa.string()))).to_numpy()
    days = store.person_days.read(["slot"])["slot"].to_numpy()
    length = max(store.length, after.max(initial=0), days.max(initial=-1) + 1)
    return covered(length, first[counts], after[counts], days)


def covered(length: int, first: Int, after: Int, single: Int) -> NDArray[np.bool_]:
    """For each of `length` slots, whether it is in a span (from `first` to before `after`) or one of `single`."""
    begun = np.bincount(first, minlength=length + 1) - np.bincount(after, minlength=length + 1)
    is_covered = np.cumsum(begun)[:length] > 0
    is_covered[single] = True
    return np.asarray(is_covered)
