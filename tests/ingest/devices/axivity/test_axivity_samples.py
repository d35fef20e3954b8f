"""Samples of every kind of block are read as a plain writer wrote them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.axivity import cwa_format
from ingest.devices.registry import decode
from tests.ingest.devices.axivity.in_memory import NAME
from tests.ingest.devices.cwa_file import block, header

values = st.integers(-512, 511)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(values, values, values, st.integers(0, 3)), min_size=1, max_size=120))
def test_packed_samples_round_trip(rows: Any) -> None:
    samples = [(x << e, y << e, z << e) for x, y, z, e in rows]
    recording = decode(header() + block(samples, [e for *_, e in rows]), NAME)
    assert recording.counts_CN.T.tolist() == [list(sample) for sample in samples]
    assert recording.counts_CN.dtype == np.int16


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-2048, 2047)] * 3), min_size=1, max_size=120))
def test_packing_loses_the_bits_below_the_exponent(samples: Any) -> None:
    recording = decode(header() + block(samples, [2] * len(samples)), NAME)
    assert recording.counts_CN.T.tolist() == [[value >> 2 << 2 for value in sample] for sample in samples]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-32768, 32767)] * 3), min_size=1, max_size=80), st.integers(0, 4))
def test_unpacked_samples_round_trip_with_their_scale(samples: Any, scale: Any) -> None:
    recording = decode(header() + block(samples, light=scale << 13 | 100), NAME)
    assert recording.counts_CN.T.tolist() == [list(sample) for sample in samples]
    assert recording.g_per_count_C.tolist() == [1 / (256 << scale)] * 3


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([(3, 80), (6, 40), (9, 26)]), st.integers(0, 4), st.data())
def test_only_the_accelerometer_is_kept_of_three_six_or_nine_axes(kind: Any, scale: Any, data: Any) -> None:
    axes, capacity = kind
    value = st.integers(-32768, 32767)
    rows = data.draw(st.lists(st.tuples(*[value] * axes), min_size=1, max_size=capacity))
    recording = decode(header(hardware=0x64) + block(rows, axes=axes, light=scale << 13), NAME)
    first = 0 if axes == 3 else 3
    assert recording.device == "AX6"
    assert recording.counts_CN.T.tolist() == [list(row[first : first + 3]) for row in rows]
    assert recording.g_per_count_C.tolist() == [1 / (256 << scale)] * 3


@pytest.mark.parametrize("rate", [6.25, 12.5, 25, 50, 100, 200, 400, 800, 1600, 3200])
@pytest.mark.parametrize("g", [2, 4, 8, 16])
def test_every_rate_and_range_is_read(rate: float, g: int) -> None:
    """The rail is the last value within the range: packed samples step by 1, 2, 4, 8 counts at 2, 4, 8, 16 g."""
    code = cwa_format.rate_code(rate, g)
    exponent = g.bit_length() - 2
    most = (511 << exponent, 0, -512 << exponent)
    packed = decode(header(rate_code=code) + block([most] * 120, [exponent] * 120, rate_code=code), NAME)
    assert (packed.nominal_rate_hz, packed.counts_CN[:, 7].tolist()) == (rate, list(most))
    assert packed.rail_counts == most[0]
    assert packed.limit_counts == -most[2] == 256 * g
    of_ax6 = decode(
        header(hardware=0x64, rate_code=code) + block([(0, 0, 0, 2048, 0, 0)], axes=6, light=3 << 13, rate_code=code),
        NAME,
    )
    assert (of_ax6.counts_CN * of_ax6.g_per_count_C[:, None])[0, 0] == 1
    assert (of_ax6.rail_counts, of_ax6.limit_counts) == (2048 * g - 1, 2048 * g)
