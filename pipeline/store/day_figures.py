"""The columns of `person_days` that follow from a day's values: ingest stores them, verify computes them again."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.grid import WINDOW_SECONDS
from pipeline.numerics.enmo import enmo
from pipeline.store.person_day import PersonDay
from pipeline.store.states import BAD, CLIPPED, GAP, IDLE, MEASURED, NONWEAR, eligible, eligible_starts, worn

SECONDS_OF = {"measured": MEASURED, "idle": IDLE, "gap": GAP, "clipped": CLIPPED, "nonwear": NONWEAR, "bad": BAD}


def day_figures(day: PersonDay, counts_per_g: float) -> dict[str, Any]:
    """Seconds by state, eligible starts by window length, sum of motion (g), mean ENMO (mg), checksum."""
    state_S = day.state_S
    eligible_S, worn_S = eligible(state_S), worn(state_S)
    enmo_S = enmo(day.signal_CT, counts_per_g)[worn_S & ((state_S & MEASURED) != 0)]
    return {
        **{f"{name}_seconds": int(((state_S & bit) != 0).sum()) for name, bit in SECONDS_OF.items()},
        "wear_seconds": int(worn_S.sum()),
        "eligible_seconds": int(eligible_S.sum()),
        **{f"eligible_{length}s": int(eligible_starts(eligible_S, length).sum()) for length in WINDOW_SECONDS},
        "motion_sum_g": float(day.motion_S[eligible_S].sum(dtype=np.float64)),
        "enmo_mg": float(enmo_S.mean(dtype=np.float64) * 1000) if enmo_S.size else None,
        "checksum": day.checksum(),
    }
