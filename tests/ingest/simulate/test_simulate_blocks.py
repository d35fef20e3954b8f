"""Blocks: packing, checksums, and stamps from which a reader finds the true rate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ingest.devices.axivity.cwa_format import BLOCK, HEADER, unpack_timestamp
from ingest.simulate.axivity_file import SAMPLES_A_BLOCK, CwaBlockBuilder, SampleClock, header, pack
from ingest.simulate.population import Packing, device

START = np.datetime64("2024-12-31T23:59:50.250000")


def unpack(words: Any) -> Any:
    """Unpack 10 bits per axis, shifted by the shared exponent, in plain NumPy."""
    exponent = (words >> 30).astype(int)
    axes = np.stack([(words >> shift & 1023).astype(int) for shift in (0, 10, 20)], axis=1)
    return np.where(axes > 511, axes - 1024, axes) << exponent[:, None], exponent


def made(packing: Packing = "packed, 8 g step", samples: int = 60_000, parts: int = 1, rate_hz: float = 98.3) -> Any:
    what = replace(device(0, 1), packing=packing, rate_hz=rate_hz)
    rng = np.random.default_rng(3)
    counts = np.round(rng.normal(0, 300, (samples, 3))).clip(-512, 511).astype(np.int16) * 4
    maker = CwaBlockBuilder(what, 77, START, SampleClock(rate_hz, 1.0), np.random.default_rng(4))
    pieces = np.array_split(counts, parts)
    blocks = [maker.add(piece, np.full(len(piece), 31.5, dtype=np.float32), 300.0) for piece in pieces]
    return np.concatenate(blocks), counts


@settings(deadline=None)
@given(arrays(np.int16, (50, 3), elements=st.integers(-2048, 2047)), st.sampled_from([0, 2]))
def test_packing_keeps_the_top_bits(counts: Any, least: Any) -> None:
    words = np.empty(50, dtype=np.uint32)
    pack(counts, words, least)
    values, exponent = unpack(words)
    step = 1 << exponent[:, None]
    assert np.all((counts - values >= 0) & (counts - values < step))
    smaller = exponent > least
    fits_less = ((counts >> (exponent[:, None] - smaller[:, None])) >= -512) & (
        (counts >> (exponent[:, None] - smaller[:, None])) <= 511
    )
    assert np.all(exponent >= least)
    assert not np.any(smaller & fits_less.all(axis=1))


@pytest.mark.parametrize("packing", list(SAMPLES_A_BLOCK))
def test_every_block_is_valid_and_holds_the_samples(packing: Any) -> None:
    blocks, counts = made(packing)
    assert blocks.dtype == BLOCK
    assert np.all(blocks.view("<u2").reshape(len(blocks), 256).sum(axis=1, dtype=np.uint16) == 0)
    assert np.array_equal(blocks["sequence_id"], np.arange(len(blocks)))
    raw = np.frombuffer(blocks["payload"].tobytes(), dtype=np.uint8)
    values = raw.view("<i2").reshape(-1, 3) if packing == "unpacked" else unpack(raw.view("<u4"))[0]
    assert len(values) == len(blocks) * SAMPLES_A_BLOCK[packing]
    assert np.array_equal(values, counts[: len(values)])


def test_blocks_do_not_depend_on_how_samples_are_split() -> None:
    whole, _ = made(parts=1)
    pieces, _ = made(parts=37)
    assert np.array_equal(whole["payload"], pieces["payload"])
    assert len(whole) == 500


@settings(max_examples=20, deadline=None)
@given(st.floats(97, 103))
def test_a_line_through_the_stamps_finds_rate_and_start(rate_hz: Any) -> None:
    blocks, _ = made(rate_hz=rate_hz)
    fraction = (blocks["device_fractional"] & 0x7FFF).astype(int)
    assert np.all(blocks["device_fractional"] & 0x8000)
    stamp = (unpack_timestamp(blocks["timestamp"]) - START.astype("datetime64[s]")).astype(float) + fraction / 32768
    sample = np.arange(len(blocks)) * 120 + blocks["timestamp_offset"] + (fraction * 100 >> 15)
    assert np.all(sample % 25 == 0)
    period, first = np.polyfit(sample, stamp, 1)
    assert 1 / period == pytest.approx(rate_hz, rel=4e-4)
    assert first == pytest.approx(0.25, abs=0.005)
    assert np.abs(stamp - first - period * sample).max() < 0.005


@given(st.floats(97, 103), st.floats(0, 6.28), st.floats(0, 1e6))
def test_clock_round_trips(rate_hz: Any, phase: Any, second: Any) -> None:
    clock = SampleClock(rate_hz, phase)
    index = clock.index(second)
    before, at = clock.seconds(np.array([index - 1, index]))
    assert before - 1e-6 < second <= at + 1e-6
    assert clock.seconds(np.array([0]))[0] == pytest.approx(0, abs=1e-9)


def test_header_names_device_and_wrist() -> None:
    head = np.frombuffer(header(device(0, 1), 77, START, START + np.timedelta64(2, "D"), "left wrist"), dtype=HEADER)[0]
    assert (head["magic"], head["length"], head["session_id"]) == (b"MD", 1020, 77)
    assert head["device_id"] == device(0, 1).serial
    assert head["rate_code"] == 0x4A
    assert bytes(head["annotation"]).rstrip() == b"_p=left+wrist"
    assert unpack_timestamp(head[["logging_end"]]["logging_end"].reshape(1))[0] == np.datetime64("2025-01-02T23:59:50")
