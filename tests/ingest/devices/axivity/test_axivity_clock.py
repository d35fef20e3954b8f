"""Clocks that were never set or stray, pauses of days, and the full seconds of old firmware."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from ingest.devices.registry import decode
from ingest.process import process
from ingest.settings import SignalSettings
from ingest.signal.timing import fit
from pipeline.errors import UserError
from tests.ingest.devices.axivity.in_memory import NAME, probe_bytes, still
from tests.ingest.devices.cwa_file import START, block, header


@pytest.mark.parametrize("which", [0, 1, -1])
@pytest.mark.parametrize("year", [2000, 2060])
def test_a_stray_stamp_at_an_end_does_not_extend_the_span(which: int, year: int) -> None:
    def stamped(times: Any) -> Any:
        samples = [(0, 0, 256)] * 100
        blocks = (block(samples, [2] * 100, sequence=k, time=time, rate_code=0x49) for k, time in enumerate(times))
        return probe_bytes(header() + b"".join(blocks))

    times = [START + timedelta(seconds=2 * k) for k in range(300)]
    wanted = stamped(times)
    times[which] = datetime(year, 3, 4)
    found = stamped(times)
    assert abs(found.start - wanted.start) <= np.timedelta64(2, "s")
    assert found.end == wanted.end


def test_a_clock_that_was_never_set_is_an_error() -> None:
    blank = bytearray(block([(0, 0, 256)] * 120, [2] * 120))
    blank[14:18] = bytes(4)
    total = sum(np.frombuffer(bytes(blank[:510]), "<u2").tolist())
    blank[510:] = (-total & 0xFFFF).to_bytes(2, "little")
    with pytest.raises(UserError, match="never set"):
        probe_bytes(header() + bytes(blank))
    with pytest.raises(UserError, match="never set"):
        fit(decode(header() + bytes(blank), NAME))


@pytest.mark.parametrize("events", [0, 1])
def test_a_device_that_was_resumed_after_days_keeps_both_parts(events: int) -> None:
    """On USB it stops; then its block numbers begin at 0 again, or an event says that logging was resumed."""

    def part(start: datetime, first: int, flags: int) -> bytes:
        return b"".join(
            block(
                [(0, 0, 256)] * 100,
                [2] * 100,
                time=start + timedelta(seconds=k),
                sequence=first + k,
                events=flags if k == 0 else 0,
            )
            for k in range(60)
        )

    first = part(START, 0, 0)
    data = header() + first + part(START + timedelta(hours=49), 60 if events else 0, events)
    timeline = fit(decode(data, NAME))
    assert (timeline.days, timeline.backward_blocks) == (3, 0)
    assert np.diff(timeline.start_G).tolist() == pytest.approx([49 * 3600], abs=1e-3)
    numbered_on = header() + first + part(START + timedelta(hours=49), 60, 0)
    with pytest.raises(UserError, match="--clock keep-first"):
        process(decode(numbered_on, NAME), SignalSettings())


def test_the_rate_code_0_with_stamps_of_later_firmware_is_100_hz() -> None:
    made = decode(header() + still(60, rate_code=0), NAME)
    assert made.nominal_rate_hz == 100.0
    assert fit(made).rate_hz == pytest.approx(100.0, rel=1e-4)


@pytest.mark.parametrize("rate", [97.3, 100.0, 101.9, 50.0])
def test_the_oldest_firmware_states_full_seconds_and_the_rate_code_0(rate: float) -> None:
    """Its blocks have the rate in Hz where later ones have the offset of their stamp."""
    count = 9_000
    second_K = np.arange(count) * 120 / rate + 2 * (np.arange(count) >= 6_000)
    blocks = [
        block(
            [(0, 0, 256)] * 120,
            [2] * 120,
            sequence=k,
            time=START + timedelta(seconds=int(second_K[k])),
            fraction=None,
            offset=50 if rate == 50 else 100,
            rate_code=0,
        )
        for k in range(count)
    ]
    made = decode(header(rate_code=0) + b"".join(blocks), NAME)
    assert (made.nominal_rate_hz, made.limit_counts) == (50.0 if rate == 50 else 100.0, 4096)
    timeline = fit(made)
    assert timeline.rate_hz == pytest.approx(rate, rel=1e-4)
    assert timeline.first_G.tolist() == [0, 6_000 * 120]
    true = second_K + 10 * 3600
    assert np.abs(timeline.seconds_of(made.first_K) - true).max() < 0.1
    found = probe_bytes(header(rate_code=0) + b"".join(blocks))
    assert abs(found.end - np.datetime64(START + timedelta(seconds=second_K[-1]), "us")) < np.timedelta64(3, "s")
