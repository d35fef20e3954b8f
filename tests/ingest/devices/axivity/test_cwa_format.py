"""Timestamps and rate codes of the format."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.devices.axivity import cwa_format
from tests.ingest.devices.cwa_file import stamp

days = st.datetimes(datetime(2000, 1, 1), datetime(2063, 12, 31)).map(lambda time: stamp(time.replace(microsecond=0)))


@given(st.lists(st.integers(0, 2**32 - 1) | days.flatmap(lambda bits: st.integers(bits & ~0x1FFFF, bits | 0x1FFFF))))
def test_a_timestamp_does_not_depend_on_its_neighbours(bits: Any) -> None:
    at_once = cwa_format.unpack_timestamp(np.array(bits, dtype=np.uint32))
    alone = [cwa_format.unpack_timestamp(np.array([each], dtype=np.uint32))[0] for each in bits]
    assert np.array_equal(at_once, np.array(alone, dtype="datetime64[s]"), equal_nan=True)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2063, 12, 31, 23, 59, 59)))
def test_timestamps_round_trip(time: Any) -> None:
    time = time.replace(microsecond=0)
    packed = cwa_format.pack_timestamp(np.array([time], dtype="datetime64[s]"))
    assert int(packed[0]) == stamp(time)
    assert cwa_format.unpack_timestamp(packed)[0].astype(datetime) == time


@pytest.mark.parametrize("bits", [0, 0xFFFFFFFF, 13 << 22 | 1 << 17, 2 << 22 | 30 << 17, 1 << 22 | 1 << 17 | 24 << 12])
def test_impossible_timestamps_are_missing(bits: Any) -> None:
    assert np.isnat(cwa_format.unpack_timestamp(np.array([bits], dtype=np.uint32))[0])


@pytest.mark.parametrize("rate", [6.25, 12.5, 25, 50, 100, 200, 400, 800, 1600, 3200])
@pytest.mark.parametrize("g", [2, 4, 8, 16])
def test_rate_codes_round_trip(rate: float, g: int) -> None:
    code = cwa_format.rate_code(rate, g)
    assert (cwa_format.rate_hz(code), cwa_format.range_g(code)) == (rate, g)
