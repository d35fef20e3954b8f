"""Odd but honest recordings: what is stored is what the file says (`fuzz_law`), or the refusal is the expected one."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from tests.ingest.devices.fuzz_honest import case
from tests.ingest.devices.fuzz_law import Broken, Honest, Span, check

COUNT = int(os.environ.get("PERSONDAYS_FUZZ", "100"))
BATCH = 20


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, COUNT, BATCH))
def test_what_is_stored_is_what_the_file_says(first: int) -> None:
    """To repeat a case: python -m tests.ingest.devices.fuzz_honest --case NUMBER."""
    faults = []
    for number in range(first, min(first + BATCH, COUNT)):
        made = case(number)
        try:
            check(made)
        except Broken as error:
            faults.append(f"case {number}, {', '.join(made.kinds)}: {error}")
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="module")
def even() -> Honest:
    """The first table of one rate, without trouble."""
    return next(made for made in map(case, range(1, 1000)) if made.kinds[0] == "even" and len(made.spans) == 1)


def test_values_off_by_a_hundredth_break_the_law(even: Honest) -> None:
    movement = replace(even.movement, size_CK=even.movement.size_CK * 1.01 + 0.003)
    with pytest.raises(Broken, match="measured seconds are off"):
        check(replace(even, movement=movement))


def test_times_off_by_a_tick_break_the_law(even: Honest) -> None:
    with pytest.raises(Broken, match="measured seconds are off"):
        check(replace(even, start=even.start + np.timedelta64(33_333, "us")))


def test_time_that_is_not_measured_breaks_the_law(even: Honest) -> None:
    longer = [Span(even.spans[0].begin, even.spans[0].end + 30)]
    with pytest.raises(Broken, match="honest seconds are measured"):
        check(replace(even, spans=longer))


def test_refusals_need_the_expected_words(even: Honest) -> None:
    with pytest.raises(Broken, match="it was accepted"):
        check(replace(even, refusal="several sensors"))
    with pytest.raises(Broken, match="to be accepted, found"):
        check(replace(even, data=even.data[:50]))
