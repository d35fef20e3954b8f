"""Damaged blocks are left out and counted; stamps belong to their samples."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from ingest.devices.registry import decode
from tests.ingest.devices.axivity.in_memory import NAME, still
from tests.ingest.devices.cwa_file import START, block, header


def test_stamps_belong_to_the_right_sample() -> None:
    new = block([(0, 0, 256)] * 120, [2] * 120, time=START, fraction=16384, offset=125)
    old = block([(0, 0, 256)] * 120, [2] * 120, sequence=1, time=START + timedelta(seconds=1), fraction=None, offset=55)
    recording = decode(header() + new + old, NAME)
    assert recording.stamp_sample_K.tolist() == [125, 120 + 55]
    start_us = int(np.datetime64(START, "us").astype(np.int64))
    assert (recording.stamp_us_K - start_us).tolist() == [500_000, 1_000_000]


def test_a_damaged_block_is_left_out_and_counted() -> None:
    blocks = bytearray(still(10))
    blocks[512 * 4 + 100] ^= 1
    blocks[512 * 7 : 512 * 8] = bytes(512)
    recording = decode(header() + bytes(blocks) + b"AX half a block", NAME)
    assert recording.damaged_blocks == 3
    assert recording.sequence_K.tolist() == [0, 1, 2, 3, 5, 6, 8, 9]
    assert recording.samples == 8 * 120
    assert recording.first_K.tolist() == [120 * k for k in range(8)]


def test_a_flipped_bit_of_a_block_is_noticed() -> None:
    whole = still(3)
    for position in (0, 3, 25, 28, 30, 300, 511):
        flipped = bytearray(whole)
        flipped[512 + position] ^= 0x10
        assert decode(header() + bytes(flipped), NAME).damaged_blocks == 1
