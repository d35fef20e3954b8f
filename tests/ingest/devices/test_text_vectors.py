"""Vector instructions on text compared with Python's own functions: hexadecimal digits, and the search for a byte."""

from __future__ import annotations

import string

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.devices.geneactiv.find_byte import find_byte
from ingest.devices.geneactiv.unhex import LANES, unhex
from pipeline.numerics.jit import njit

DIGITS = st.text(string.hexdigits, min_size=LANES, max_size=LANES)


@njit()
def found(data: NDArray[np.uint8], begin: int, byte: int) -> int:
    return int(find_byte(data, begin, byte))


@njit()
def unhexed(text: NDArray[np.uint8], begin: int, out: NDArray[np.uint8], first: int) -> bool:
    return bool(unhex(text, begin, out, first))


def convert(text: bytes) -> tuple[bool, bytes]:
    """Convert digits between others; what is around the result must stay as it is."""
    out = np.full(LANES // 2 + 5, 0xA5, dtype=np.uint8)
    valid = unhexed(np.frombuffer(b"f0f" + text + b"0", dtype=np.uint8), 3, out, 2)
    assert (np.delete(out, slice(2, -3)) == 0xA5).all()
    return valid, out[2:-3].tobytes()


@given(DIGITS)
def test_digits_become_bytes(digits: str) -> None:
    assert convert(digits.encode()) == (True, bytes.fromhex(digits))


@given(DIGITS, st.integers(0, LANES - 1))
def test_one_wrong_character_anywhere_is_found(digits: str, place: int) -> None:
    for character in range(256):
        text = bytearray(digits.encode())
        text[place] = character
        assert convert(bytes(text))[0] == (chr(character) in string.hexdigits)


@given(st.lists(st.sampled_from([0, 10, 138, 255]), min_size=LANES, max_size=LANES), st.sampled_from([0, 10, 138, 255]))
def test_the_first_of_a_byte_is_found(values: list[int], byte: int) -> None:
    data = np.array([byte, *values, byte], dtype=np.uint8)
    assert found(data, 1, byte) == (values.index(byte) if byte in values else LANES)
