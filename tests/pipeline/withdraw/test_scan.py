"""The search of bytes for ids."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.withdraw.scan import hex_runs, ids_in, may_hold_ids


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.text("0123456789abcdef", max_size=150).map(str.encode),
            st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}".encode()),
        ),
        max_size=8,
    )
)
def test_hex_runs_equal_a_scan_of_every_byte(parts: list[bytes]) -> None:
    data = b"".join(parts)
    found, run = [], ""
    for byte in [*data, 0]:
        if chr(byte) in "0123456789abcdef":
            run += chr(byte)
        else:
            found += [run] if len(run) >= 64 else []
            run = ""
    assert list(hex_runs(data)) == found
    assert may_hold_ids(data) or not found


def test_random_bytes_are_skipped() -> None:
    assert not may_hold_ids(np.random.default_rng(0).bytes(10_000_000))


def test_every_offset_in_a_run_is_tried() -> None:
    assert [id_[:1] for id_ in ids_in("a" + "b" * 64 + "c")] == ["a", "b", "b"]
