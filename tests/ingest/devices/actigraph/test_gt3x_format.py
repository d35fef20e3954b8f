"""The floating-point numbers of parameter records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.devices.actigraph.gt3x_format import decode_float, encode_float


@given(st.floats(-1e30, 1e30, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-30))
def test_floats_of_parameters_round_trip(value: Any) -> None:
    assert decode_float(encode_float(value)) == pytest.approx(value, rel=2**-22)


def test_floats_equal_the_examples_of_the_format_page() -> None:
    words = (0x09400000, 0x0C400000, 0x05418937, 0x036D3A07, 0)
    assert [round(decode_float(word), 3) for word in words] == [256, 2048, 16.384, 6.827, 0]
    assert encode_float(256) == 0x09400000
