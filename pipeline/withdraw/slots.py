"""Which slots the tables name, and so which are nobody's: what stands in those may go."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.store import Store


def named_slots(store: Store, but: Collection[str] = ()) -> NDArray[np.bool_]:
    """For every slot ever given, whether a row of the plan or of `person_days` names it; rows of `but` do not count.

    As long as the arrays, or longer where the plan reaches further. (What was given and forgotten is within the
    arrays: they never shrink.)
    """
    every = store.plan.read(["participant", "first_slot", "slots"])
    plan = _without(every, but)
    days = _without(store.person_days.read(["participant", "slot"]), but)["slot"].to_numpy()
    first, after = plan["first_slot"].to_numpy(), pc.add(plan["first_slot"], plan["slots"]).to_numpy()
    length = max(store.length, pc.max(pc.add(every["first_slot"], every["slots"])).as_py() or 0)
    begun = np.bincount(first, minlength=length + 1) - np.bincount(after, minlength=length + 1)
    named = np.cumsum(begun)[:length] > 0
    named[days] = True
    return np.asarray(named)


def _without(rows: pa.Table, people: Collection[str]) -> pa.Table:
    theirs = pc.is_in(rows["participant"], pa.array(sorted(people), pa.string()))
    return rows.filter(pc.invert(theirs))
