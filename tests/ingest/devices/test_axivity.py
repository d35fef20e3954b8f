"""The Axivity reader compared with a plain writer and with the vendor's export; and bad input."""

from __future__ import annotations

import gzip
import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.axivity import cwa_format as cwa_format
from ingest.devices.registry import decode, probe
from ingest.process import process
from ingest.settings import SignalSettings
from ingest.signal.timing import fit
from pipeline.errors import UserError
from tests.ingest.devices.cwa_file import START, block, header, stamp

NAME = "EID_12345_secret.cwa"


def probe_bytes(data: bytes, name: str = NAME) -> Any:
    return probe(io.BytesIO(data), name, len(data))


def still(blocks: int = 30, **kwargs: Any) -> bytes:
    """Blocks of 120 samples each, one every 1.2 s."""
    return b"".join(
        block(
            [(0, 0, 256)] * 120,
            [2] * 120,
            sequence=k,
            time=START + timedelta(seconds=int(k * 1.2)),
            fraction=round((k * 1.2 % 1) * 32768),
            **kwargs,
        )
        for k in range(blocks)
    )


values = st.integers(-512, 511)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(values, values, values, st.integers(0, 3)), min_size=1, max_size=120))
def test_packed_samples_come_back(rows: Any) -> None:
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
def test_unpacked_samples_come_back_with_their_scale(samples: Any, scale: Any) -> None:
    recording = decode(header() + block(samples, light=scale << 13 | 100), NAME)
    assert recording.counts_CN.T.tolist() == [list(sample) for sample in samples]
    assert recording.g_per_count_C.tolist() == [1 / (256 << scale)] * 3


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([(3, 80), (6, 40), (9, 26)]), st.integers(0, 4), st.data())
def test_of_three_six_and_nine_axes_those_of_the_accelerometer_are_kept(kind: Any, scale: Any, data: Any) -> None:
    axes, capacity = kind
    value = st.integers(-32768, 32767)
    rows = data.draw(st.lists(st.tuples(*[value] * axes), min_size=1, max_size=capacity))
    recording = decode(header(hardware=0x64) + block(rows, axes=axes, light=scale << 13), NAME)
    first = 0 if axes == 3 else 3
    assert recording.device == "AX6"
    assert recording.counts_CN.T.tolist() == [list(row[first : first + 3]) for row in rows]
    assert recording.g_per_count_C.tolist() == [1 / (256 << scale)] * 3


days = st.datetimes(datetime(2000, 1, 1), datetime(2063, 12, 31)).map(lambda time: stamp(time.replace(microsecond=0)))


@given(st.lists(st.integers(0, 2**32 - 1) | days.flatmap(lambda bits: st.integers(bits & ~0x1FFFF, bits | 0x1FFFF))))
def test_a_timestamp_does_not_depend_on_its_neighbours(bits: Any) -> None:
    at_once = cwa_format.unpack_timestamp(np.array(bits, dtype=np.uint32))
    alone = [cwa_format.unpack_timestamp(np.array([each], dtype=np.uint32))[0] for each in bits]
    assert np.array_equal(at_once, np.array(alone, dtype="datetime64[s]"), equal_nan=True)


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


def test_any_flipped_bit_of_a_block_is_noticed() -> None:
    whole = still(3)
    for position in (0, 3, 25, 28, 30, 300, 511):
        flipped = bytearray(whole)
        flipped[512 + position] ^= 0x10
        assert decode(header() + bytes(flipped), NAME).damaged_blocks == 1


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


def test_serial_and_location_are_read_and_nothing_else_of_the_annotation() -> None:
    data = header(0x00B00B1E, annotation=b"_p=left+wrist&_sc=26&_sn=Jane+Doe") + still(1)
    recording = decode(data, NAME)
    assert (recording.serial, recording.location) == (str(0x00B00B1E), "left wrist")
    assert probe_bytes(data).location == "left wrist"
    assert decode(header(annotation=b"_p=Jane+Doe") + still(1), NAME).location is None
    assert "Jane" not in repr(probe_bytes(data))


def test_probe_finds_span_and_size_without_reading_between() -> None:
    middle = b"\x00" * 512 * 5000
    found = probe_bytes(
        header() + still(300) + middle + block([(0, 0, 256)] * 120, [2] * 120, time=datetime(2024, 3, 6))
    )
    assert found.start == np.datetime64(START, "us")
    assert found.end == np.datetime64("2024-03-06T00:00:01.200", "us")
    assert found.days == [np.datetime64(day, "D") for day in ("2024-03-04", "2024-03-05", "2024-03-06")]
    assert (found.device, found.nominal_rate_hz, found.samples) == ("AX3", 100.0, 120 * 5301)


def test_probe_bounds_the_end_when_the_end_is_unreadable() -> None:
    found = probe_bytes(header() + still(10) + b"\xff" * 512 * 3000)
    assert found.end >= np.datetime64(START, "us") + np.timedelta64(3010 * 120 * 10, "ms")


def test_gzip_reads_the_same() -> None:
    data = header() + still(400)
    packed = gzip.compress(data[:100_000]) + gzip.compress(data[100_000:])
    assert probe_bytes(packed, NAME + ".GZ") == probe_bytes(data)
    assert np.array_equal(decode(packed, NAME + ".gz").counts_CN, decode(data, NAME).counts_CN)
    assert np.array_equal(decode(gzip.compress(data), NAME + ".gz").counts_CN, decode(data, NAME).counts_CN)


def test_an_unknown_file_is_rejected() -> None:
    with pytest.raises(UserError, match=r"\.cwa"):
        decode(b"", "secret.xyz")


BAD = {
    "empty": (b"", "found 0 bytes"),
    "cut header": (header()[:700], "found 700 bytes"),
    "text": (b"time,x,y,z\n" * 500, "not an Axivity recording"),
    "other hardware": (header(hardware=0x42) + still(3), "0x42"),
    "no blocks": (header(), "found 0 damaged ones"),
    "only damaged blocks": (header() + bytes(512 * 9000), "damaged ones"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("read", [probe_bytes, lambda data: decode(data, NAME)])
def test_bad_input_is_rejected_without_the_name(case: Any, read: Any) -> None:
    data, message = BAD[case]
    with pytest.raises(UserError, match=message) as error:
        read(data)
    assert "EID" not in str(error.value)


@pytest.mark.parametrize("read", [probe_bytes, decode])
@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-50], lambda data: data[:300] + b"xx" + data[302:], lambda _: b"no"]
)
def test_damaged_gzip_is_rejected(read: Any, spoil: Any) -> None:
    with pytest.raises(UserError, match="gzip"):
        read(spoil(gzip.compress(header() + still(400), mtime=0)), NAME + ".gz")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000), st.booleans())
def test_garbage_never_raises_anything_else(junk: Any, with_header: Any) -> None:
    data = (header() if with_header else b"") + junk
    for read in (probe_bytes, lambda data: decode(data, NAME)):
        with pytest.raises(UserError):
            read(data)


def test_clock_that_was_never_set() -> None:
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


def read_real(real_data: Path, name: str) -> Any:
    return decode((real_data / "recordings" / "axivity" / name).read_bytes(), name)


def test_real_recording(real_data: Path) -> None:
    recording = read_real(real_data, "ax3_testfile.cwa")
    assert (recording.samples, recording.damaged_blocks) == (17_400, 0)
    assert (recording.device, recording.serial, recording.location) == ("AX3", "39434", "right wrist")


def test_real_damage(real_data: Path) -> None:
    whole = read_real(real_data, "ax3_testfile.cwa")
    damaged = read_real(real_data, "ax3_testfile_corrupt_blocks_0_13_14_142_143_144.cwa")
    assert (damaged.samples, damaged.damaged_blocks) == (16_680, 6)
    good = [k for k in range(145) if k not in (0, 13, 14, 142, 143, 144)]
    kept = whole.counts_CN.reshape(3, 145, 120)[:, good].reshape(3, -1)
    assert np.array_equal(damaged.counts_CN, kept)
    assert damaged.sequence_K.tolist() == good


def test_real_recording_of_six_axes(real_data: Path) -> None:
    recording = read_real(real_data, "ax6_testfile.cwa")
    assert (recording.samples, recording.device) == (11_320, "AX6")
    at_rest = np.sqrt(((recording.counts_CN * recording.g_per_count_C[:, None]) ** 2).sum(axis=0))
    assert np.median(at_rest) == pytest.approx(1, abs=0.1)


def test_values_and_times_are_those_of_the_vendor(real_data: Path) -> None:
    """The converter ends a block by the nominal rate from its stamp; the next block begins where that one ended.

    By that rule our stamps give its times, which it cuts to milliseconds. The fit goes by the true rate, 98.5 Hz, so
    that the vendor is behind it by up to the 140 samples between a stamp and the end of a block: 22 ms.
    """
    recording = read_real(real_data, "example-610-steps.cwa")
    with gzip.open(real_data / "recordings" / "axivity" / "example-610-steps.csv.gz", "rt") as file:
        rows = [line.rstrip().split(",") for line in file]
    expected_CN = np.array([row[1:] for row in rows], dtype=float).T
    assert np.array_equal(recording.counts_CN * recording.g_per_count_C[:, None], expected_CN)

    vendor_us_N = np.array([row[0] for row in rows], dtype="datetime64[us]").astype(np.int64)
    period_us = 1e6 / recording.nominal_rate_hz
    after_K = recording.first_K + recording.count_K - recording.stamp_sample_K
    end_us_K = recording.stamp_us_K + after_K * period_us
    begin_us_K = np.append(end_us_K[0] - recording.count_K[0] * period_us, end_us_K[:-1])
    in_block_N = np.arange(recording.samples) - np.repeat(recording.first_K, recording.count_K)
    step_us_K = (end_us_K - begin_us_K) / recording.count_K
    ours_us_N = np.repeat(begin_us_K, recording.count_K) + in_block_N * np.repeat(step_us_K, recording.count_K)
    cut_us_N = ours_us_N - vendor_us_N
    assert -1 < cut_us_N.min() <= cut_us_N.max() < 1001

    timeline = fit(recording)
    second_N = vendor_us_N * 1e-6 - timeline.midnight.astype("datetime64[s]").astype(np.int64)
    difference_s = timeline.seconds_of(np.arange(recording.samples)) - second_N
    assert timeline.rate_hz == pytest.approx(98.52, abs=0.01)
    assert -0.008 < difference_s.min() < difference_s.max() < 0.024
    assert abs(np.median(difference_s)) < 0.007


@pytest.mark.parametrize("name", ["ax3_testfile.cwa", "ax6_testfile.cwa"])
def test_fractions_of_seconds_and_sample_offsets_fit_one_line(real_data: Path, name: str) -> None:
    """Stamps of new firmware; without the fraction they would scatter by half of its 100 samples."""
    recording = read_real(real_data, name)
    assert fit(recording).residual_ms < 1.5
    samples = np.diff(recording.stamp_sample_K)
    rates = samples / np.diff(recording.stamp_us_K) * 1e6
    assert rates.min() > 97
    assert rates.max() < 103
