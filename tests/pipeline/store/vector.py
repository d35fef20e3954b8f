"""The test vector of docs/store.md: the values of the store in tests/data/store, from formulas, by NumPy alone.

`python -m tests.pipeline.store.vector` writes the store again, by our own code: needed only for a new version of the
format, as a reader in another language may compare with these bytes.
"""

from __future__ import annotations

import hmac
import json
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[2] / "data" / "store"
KEY = bytes(range(32))
PROCESSING = {"made": "as the test vector of docs/store.md"}
FILL, COUNTS_PER_G = -32_768, 1_024
MEASURED, IDLE, GAP, CLIPPED, NONWEAR, BAD = 1, 2, 4, 8, 16, 32


@dataclass(frozen=True)
class Day:
    """The arrays of a slot: counts (3, 2,592,000), g (86,400), bits (86,400)."""

    signal: NDArray[np.int16]
    motion: NDArray[np.float32]
    state: NDArray[np.uint8]


def keyed(kind: str, name: str) -> str:
    """The id of a name."""
    return hmac.new(KEY, f"{kind}:{name}".encode(), "sha256").hexdigest()


def first_day() -> Day:
    """Slot 0: two minutes from 9:00:00, with a second of each state, and a minute of idle sleep from 10:00:00."""
    signal, state = _empty()
    n = np.arange(120 * 30)
    ticks = 9 * 3600 * 30 + n
    moves = n < 60 * 30
    signal[0, ticks] = np.where(moves, 7 * n % 61 - 30, 0)
    signal[1, ticks] = np.where(moves, 11 * n % 127 - 63, 0)
    signal[2, ticks] = np.where(moves, 1024 + 13 * n % 31 - 15, 1024)
    state[32_400:32_520] = MEASURED
    signal[0, 32_430 * 30] = 32_767
    state[32_430] |= CLIPPED
    signal[:, 32_440 * 30 + 7] = FILL
    state[32_440] = GAP
    state[32_460:32_480] |= NONWEAR
    state[32_519] |= BAD
    state[36_000:36_060] = IDLE
    return Day(signal, _motion(signal, state), state)


def last_day() -> Day:
    """Slot 2: the last minute of a day, upside down and at rest."""
    signal, state = _empty()
    signal[:, 86_340 * 30 :] = np.array([[0], [0], [-1024]])
    state[86_340:] = MEASURED
    return Day(signal, _motion(signal, state), state)


def _empty() -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    return np.full((3, 2_592_000), FILL, np.int16), np.zeros(86_400, np.uint8)


def _motion(signal: NDArray[np.int16], state: NDArray[np.uint8]) -> NDArray[np.float32]:
    variance = signal.reshape(3, 86_400, 30).astype(np.float64).var(axis=2).sum(axis=0)
    return np.where(state & MEASURED, np.sqrt(variance) / COUNTS_PER_G, np.nan).astype(np.float32)


DAYS = {0: first_day, 2: last_day}
"""Slot 1 is a hole: assigned to the first recording, and never used."""

PLAN: list[dict[str, Any]] = [
    {"recording": keyed("recording", "a.cwa"), "participant": keyed("participant", "1"), "source": "00000000000000aa"}
    | {"first_slot": 0, "slots": 2},
    {"recording": keyed("recording", "b.cwa"), "participant": keyed("participant", "2"), "source": "00000000000000bb"}
    | {"first_slot": 2, "slots": 1},
]


def person_day(slot: int) -> dict[str, Any]:
    """The row of a slot, from its arrays."""
    day = DAYS[slot]()
    plan = PLAN[0 if slot == 0 else 1]
    seconds = {
        f"{name}_seconds": int(((day.state & bit) != 0).sum())
        for name, bit in (
            ("measured", MEASURED),
            ("idle", IDLE),
            ("gap", GAP),
            ("clipped", CLIPPED),
            ("nonwear", NONWEAR),
            ("bad", BAD),
        )
    }
    worn = ((day.state & (MEASURED | IDLE)) != 0) & ((day.state & NONWEAR) == 0)
    eligible = (day.state & (MEASURED | NONWEAR | BAD)) == MEASURED
    starts = {
        f"eligible_{length}s": int(np.lib.stride_tricks.sliding_window_view(eligible, length).all(axis=1).sum())
        for length in (5, 10, 30)
    }
    norm = np.sqrt((day.signal.astype(np.float64) ** 2).sum(axis=0)) / COUNTS_PER_G
    enmo = np.maximum(norm - 1, 0).reshape(86_400, 30).mean(axis=1)[worn & ((day.state & MEASURED) != 0)]
    return {
        "slot": slot,
        "recording": plan["recording"],
        "participant": plan["participant"],
        "day": date(2024, 2, 29),
        "day_index": 0,
        "device": "AX3",
        "serial": keyed("device", "12345"),
        "location": "right wrist" if slot == 0 else None,
        "calibration": "own" if slot == 0 else "none",
        "upsampled": False,
        **seconds,
        "wear_seconds": int(worn.sum()),
        "eligible_seconds": int(eligible.sum()),
        **starts,
        "motion_sum_g": math.fsum(day.motion[eligible].tolist()),
        "enmo_mg": float(enmo.mean() * 1000),
        "checksum": _sha256(day.signal.astype("<i2").tobytes()),
    }


def recording(index: int) -> dict[str, Any]:
    """The row of a recording."""
    plan = PLAN[index]
    return {name: plan[name] for name in ("recording", "participant", "source")} | {
        "size": 512 * (index + 1),
        "status": "done",
        "reason": None,
        "person_days": 1,
        "device": "AX3",
        "serial": keyed("device", "12345"),
        "location": "right wrist" if index == 0 else None,
        "figures": json.dumps({}),
    }


def _sha256(data: bytes) -> str:
    from hashlib import sha256

    return sha256(data).hexdigest()


def write(url: str) -> None:
    """Write the store by our own code."""
    from pipeline.identity import Key
    from pipeline.store.person_day import PersonDay
    from pipeline.store.store import Store

    store = Store.create(url, Key(KEY), PROCESSING, people="named")
    store.plan.append(PLAN)
    store.grow(3)
    for slot, made in DAYS.items():
        day = made()
        store.write_day(slot, PersonDay(day.signal, day.motion, day.state))
    store.person_days.append([person_day(slot) for slot in DAYS])
    store.recordings.append([recording(0), recording(1)])


if __name__ == "__main__":
    write(str(FOLDER))
