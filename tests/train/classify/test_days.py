"""Minutes of a day as text: nothing is lost, and a long day is not rounded to whole minutes."""

from __future__ import annotations

import numpy as np

from train.classify.days import DaysTable, DayStates


def test_minutes_are_written_to_a_hundredth() -> None:
    table = DaysTable(("a", "b"))
    state = np.zeros(8_640, np.uint8)
    state[:1_001] = 3
    state[1_001:1_004] = 2
    table.add(DayStates(7, "f" * 64, None, state))
    header, line = table.encode().decode().splitlines()
    assert header == "slot,participant,day,a,b,not worn,unknown"
    assert line == f"7,{'f' * 64},,1272.67,0,0.5,166.83"
