"""The ActiGraph reader compared with a plain writer and with the vendor's exports; and bad input."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.actigraph import log_records, unpack_samples
from ingest.devices.actigraph import reader as actigraph
from ingest.devices.actigraph.gt3x_format import decode_float, encode_float
from ingest.devices.actigraph.log_records import read_log
from ingest.devices.actigraph.unpack_samples import MAX_SAMPLES
from ingest.devices.registry import decode, probe
from ingest.process import process
from ingest.settings import SignalSettings
from ingest.signal.timing import fit
from pipeline.errors import UserError
from tests.ingest.devices.gt3x_file import (
    SECOND,
    START,
    activity,
    activity2,
    archive,
    event,
    info,
    nibbles,
    parameters,
    record,
    recording,
    still,
)

NAME = "Jane_Doe_wrist.gt3x"
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
FIRST_US = SECOND * 1_000_000

twelve_bits = st.tuples(*[st.integers(-2048, 2047)] * 3)
words = st.tuples(*[st.integers(-32768, 32767)] * 3)


def probe_bytes(data: bytes, name: str = NAME) -> Any:
    return probe(io.BytesIO(data), name, len(data))


@settings(max_examples=50, deadline=None)
@given(st.lists(twelve_bits, min_size=15, max_size=60), st.sampled_from(METHODS))
def test_packed_samples_come_back(samples: Any, method: Any) -> None:
    made = decode(recording([activity(SECOND, samples)], method), NAME)
    assert made.counts_CN.T.tolist() == [list(sample) for sample in samples[:30]]
    assert made.counts_CN.dtype == np.int16


@settings(max_examples=50, deadline=None)
@given(st.lists(twelve_bits, min_size=15, max_size=60))
def test_samples_in_the_order_x_y_z_come_back(samples: Any) -> None:
    swapped = [(y, x, z) for x, y, z in samples]
    made = decode(recording([record(27, SECOND, nibbles(swapped)), record(27, SECOND + 1, b"\0")]), NAME)
    assert made.counts_CN.T.tolist() == [list(sample) for sample in samples[:30]]
    assert made.damaged_blocks == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(words, min_size=15, max_size=60))
def test_words_come_back(samples: Any) -> None:
    made = decode(recording([activity2(SECOND, samples)]), NAME)
    assert made.counts_CN.T.tolist() == [list(sample) for sample in samples[:30]]


@settings(max_examples=50, deadline=None)
@given(st.lists(twelve_bits, min_size=1, max_size=60))
def test_samples_of_old_devices_come_back(samples: Any) -> None:
    old = info(Serial_Number="NEO1C04110003", Acceleration_Scale=None, Acceleration_Max=None)
    files: dict[str, bytes | str] = {"info.txt": old}
    made = decode(archive(files | {"activity.bin": nibbles(samples), "log.txt": ""}), NAME)
    assert made.counts_CN.T.tolist() == [list(sample) for sample in samples]
    assert made.stamp_us_K.tolist() == [FIRST_US]
    assert (made.rail_counts, made.limit_counts, made.g_per_count_C[0]) == (2046, 2048, 1 / 341)


def test_the_example_of_the_format_page() -> None:
    payload = bytes.fromhex("00 60 08 EB D0 07 00 9E BF 00 70 08 EB F0")
    made = decode(archive({"info.txt": info(), "activity.bin": payload}), NAME)
    assert made.counts_CN.T.tolist() == [[8, 6, -323], [9, 7, -321], [8, 7, -321]]


@given(st.floats(-1e30, 1e30, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-30))
def test_floats_of_parameters_round_trip(value: Any) -> None:
    assert decode_float(encode_float(value)) == pytest.approx(value, rel=2**-22)


def test_floats_of_the_format_page() -> None:
    words = (0x09400000, 0x0C400000, 0x05418937, 0x036D3A07, 0)
    assert [round(decode_float(word), 3) for word in words] == [256, 2048, 16.384, 6.827, 0]
    assert encode_float(256) == 0x09400000


def test_records_are_stamped_seconds() -> None:
    made = decode(recording(still(100)), NAME)
    assert (made.samples, made.damaged_blocks, made.nominal_rate_hz) == (3000, 0, 30)
    assert made.stamp_us_K.tolist() == [FIRST_US + k * 1_000_000 for k in range(100)]
    assert made.first_K.tolist() == [30 * k for k in range(100)]
    assert (made.device, made.serial, made.firmware) == ("ActiGraph Link", "TAS1D12345678", "1.7.2")
    assert (made.rail_counts, made.limit_counts) == (2047, 2048)
    assert np.isnan(made.celsius_K).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 188), st.integers(0, 7), st.integers(1, 8))
def test_any_flipped_bit_costs_its_record(position: Any, bit: Any, which: Any) -> None:
    records = still(10)
    damaged = bytearray(records[which])
    damaged[position] ^= 1 << bit
    made = decode(recording([*records[:which], bytes(damaged), *records[which + 1 :]]), NAME)
    assert made.damaged_blocks == 1
    assert made.counts_CN[0, ::30].tolist() == [k for k in range(10) if k != which]
    assert made.sequence_K.tolist() == [k + 1 for k in range(10) if k != which]


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=2_000), st.integers(0, 10), st.lists(st.integers(1, 500), max_size=40))
def test_junk_between_records_is_skipped_for_any_pieces(junk: Any, place: Any, lengths: Any) -> None:
    records = still(10)
    log = b"".join([*records[:place], junk, *records[place:]])
    edges = np.minimum(np.cumsum([0, *lengths]), len(log)).tolist()
    pieces = [log[a:b] for a, b in zip(edges, [*edges[1:], len(log)], strict=True)]
    found, at_once = read_log(pieces, len(log), 30), read_log([log], len(log), 30)
    assert found.counts_CN[0, ::30].tolist() == list(range(10))
    assert at_once.damaged == found.damaged
    is_padding = len(junk) < 16 and not any(junk)
    assert (found.damaged == 0) == is_padding or record_like(junk)


def record_like(junk: bytes) -> bool:
    """Return whether the junk may contain a good record by chance."""
    return b"\x1e" in junk


def test_zeros_between_records_are_padding() -> None:
    records = still(10)
    made = decode(recording([records[0], bytes(3), *records[1:], bytes(5)]), NAME)
    assert (made.samples, made.damaged_blocks) == (300, 0)


def test_a_lost_part_is_counted_in_records() -> None:
    records = still(200)
    made = decode(recording([*records[:50], bytes(len(records[0]) * 100), *records[150:]]), NAME)
    assert (made.samples, made.damaged_blocks) == (3000, 100)
    assert np.diff(made.sequence_K).max() == 101


def test_idle_sleep_becomes_spans_and_no_samples() -> None:
    def seconds(*spans: Any) -> Any:
        return [piece for begin, end in spans for piece in still(end - begin, SECOND + begin)]

    log = [
        *seconds((0, 10)),
        event(SECOND + 10, 8),
        event(SECOND + 60, 9),  # as it should be
        *seconds((60, 70)),
        event(SECOND + 71, 8),
        event(SECOND + 100, 9),  # the event came a second late
        *seconds((100, 110)),
        event(SECOND + 110, 8),
        *seconds((120, 130)),  # never woke
        event(SECOND + 140, 9),
        *seconds((140, 150)),  # never fell asleep
        event(SECOND + 180, 8),
        event(SECOND + 190, 9),
        *seconds((190, 200)),  # fell asleep after a gap
        event(SECOND + 200, 8),
        record(2, SECOND + 260, b"\x10\x10"),  # asleep at the end
    ]
    made = decode(recording(log), NAME)
    spans = ((made.idle_spans_us - FIRST_US) / 1e6).tolist()
    assert spans == [[10, 60], [70, 100], [110, 120], [180, 190], [200, 260]]
    assert made.samples == 60 * 30
    assert made.damaged_blocks == 0
    figures = process(made, SignalSettings()).figures.plain()
    assert (figures["gaps"], round(figures["gap_total_s"], 6)) == (2, 40)
    assert figures["wear_hours"] == (60 + 160) / 3600


def test_a_weekend_of_idle_sleep_is_not_a_jump_of_the_clock() -> None:
    week = [*still(30), event(SECOND + 30, 8), event(SECOND + 200_000, 9), *still(30, SECOND + 200_000)]
    assert [str(day) for day, _, _ in process(decode(recording(week), NAME), SignalSettings()).days()] == [
        "2024-03-04",
        "2024-03-06",
    ]


@pytest.mark.parametrize("between", [[], [record(0, SECOND + 30, b"\x5a")]])
def test_a_pause_of_days_is_a_gap(between: list[bytes]) -> None:
    """Records have a second each and no numbers: what ascends is a pause, with a record of USB or without one."""
    log = [*still(30), *between, *still(30, SECOND + 200_000)]
    timeline = fit(decode(recording(log), NAME))
    assert (timeline.start_G - timeline.start_G[0]).tolist() == pytest.approx([0, 200_000], abs=1e-3)
    assert timeline.days == 3


def test_usb_records_are_neither_samples_nor_damage() -> None:
    log = [*still(30), record(26, SECOND + 30, b"\x5a"), record(0, SECOND + 31, b"\x5a")]
    made = decode(recording(log), NAME)
    assert (made.samples, made.damaged_blocks) == (900, 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_truncated_copy_gives_its_records(method: Any) -> None:
    rng = np.random.default_rng(1)
    log = [activity2(SECOND + k, rng.integers(-300, 300, (30, 3)).tolist()) for k in range(200)]
    whole = recording(log, method)
    expected_CN = decode(whole, NAME).counts_CN
    for size in (len(whole) - 10, len(whole) // 2, len(whole) // 7):
        made = decode(whole[:size], NAME)
        assert 0.9 * size / len(whole) * 6000 - 60 < made.samples <= 6000
        assert np.array_equal(made.counts_CN, expected_CN[:, : made.samples])
        assert made.damaged_blocks == (made.samples < 6000)
        assert probe_bytes(whole[:size]).days == probe_bytes(whole).days


def test_without_info_txt_the_first_records_are_used() -> None:
    first = parameters(sample_rate=30, accel_scale=0x09400000, start=SECOND, firmware=1 << 24 | 7 << 16 | 2)
    bio = record(6, SECOND, b'{"MetadataType":"Bio","SubjectName":"Jane Doe","Limb":"Wrist","Side":"Right"}')
    whole = archive({"log.bin": b"".join([bio, first, *still(5_000)]), "info.txt": info()}, zipfile.ZIP_STORED)
    cut = whole[:-800]
    made = decode(cut, NAME)
    assert (made.samples, made.location, made.firmware, made.device) == (149_940, "right wrist", "1.7.2", "ActiGraph")
    found = probe_bytes(cut)
    assert found.start == np.datetime64(START, "us")
    assert found.end == np.datetime64(START, "us") + np.timedelta64(4_998, "s")
    assert "Jane" not in repr((made, found))


def test_parameters_win_over_info_txt() -> None:
    first = parameters(sample_rate=50, accel_scale=encode_float(341))
    made = decode(recording([first, *still(5, rate=50)]), NAME)
    assert (made.nominal_rate_hz, made.g_per_count_C[0]) == (50, 1 / 341)


@pytest.mark.parametrize(
    ("serial", "counts_per_g", "rail"),
    [("NEO1C1", 341, 2046), ("CLE2A1", 341, 2046), ("MRA1A1", 341, 2046), ("MOS2D1", 256, 2047), ("TAS1D1", 256, 2047)],
)
def test_scale_and_range_by_serial_where_the_file_states_none(serial: str, counts_per_g: int, rail: int) -> None:
    none: dict[str, Any] = {"Acceleration_Scale": None, "Acceleration_Max": None, "Acceleration_Min": None}
    made = decode(recording(still(3), Serial_Number=serial, **none), NAME)
    assert (1 / made.g_per_count_C[0], made.rail_counts) == (counts_per_g, rail)


def test_the_range_in_the_file_is_used() -> None:
    made = decode(recording(still(3), Acceleration_Max="16.0"), NAME)
    assert (made.rail_counts, made.limit_counts) == (4095, 4096)


@pytest.mark.parametrize(
    ("said", "location"),
    [
        ({"Limb": "Wrist", "Side": "Right", "Dominance": "Non-Dominant"}, "non-dominant right wrist"),
        ({"Limb": "Waist", "Side": ""}, "waist"),
        ({"Limb": "Jane's wrist", "Side": "Left"}, None),
        ({"Limb": None, "Side": None}, None),
    ],
)
def test_location_is_read_and_nothing_else_about_the_person(said: Any, location: str | None) -> None:
    data = recording(still(3), **said)
    made = decode(data, NAME)
    assert made.location == location
    assert "Jane" not in repr(made) + repr(probe_bytes(data))


def test_only_wrists_are_accepted_by_default() -> None:
    waist, unknown = (decode(recording(still(60), Limb=limb), NAME) for limb in ("Waist", None))
    with pytest.raises(UserError, match=r"from a wrist.*worn on the left waist"):
        process(waist, SignalSettings())
    assert process(waist, SignalSettings(any_location=True)).figures.location == "left waist"
    assert process(unknown, SignalSettings()).figures.location is None


def test_probe_reads_the_directory_and_info_txt_wherever_it_is() -> None:
    log = b"".join(still(5_000))
    reads = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            found = super().read(size)
            reads.append(len(found))
            return found

    orders: list[dict[str, Any]] = [
        {"info.txt": info(), "log.bin": log},
        {"log.bin": log, "info.txt": info(), "more.bin": log},
    ]
    for files in orders:
        data = archive(files, zipfile.ZIP_STORED)
        reads.clear()
        found = probe(Watched(data), NAME, len(data))
        assert [str(day) for day in found.days] == ["2024-03-04", "2024-03-05", "2024-03-06"]
        assert (found.device, found.nominal_rate_hz) == ("ActiGraph Link", 30)
        assert found.samples >= 50 * 3600 * 30
        assert sum(reads) < 300_000 < len(data)


def test_a_probe_that_reads_everything_holds_a_piece_of_it() -> None:
    log = b"".join([*still(6_000), event(SECOND + 6_000, 8), event(SECOND + 7_000, 9)])
    orders: list[dict[str, Any]] = [{"log.bin": log}, {"info.txt": info(Last_Sample_Time=None), "log.bin": log}]
    for files in orders:
        reads = []

        class Watched(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                found = super().read(size)
                reads.append(len(found))  # noqa: B023
                return found

        first = parameters(sample_rate=30, accel_scale=encode_float(256))
        data = archive({**files, "log.bin": first + log}, zipfile.ZIP_STORED)
        found = probe(Watched(data), NAME, len(data))
        assert (found.start, found.samples) == (np.datetime64(START, "us"), 180_000)
        assert found.end == np.datetime64(START, "us") + np.timedelta64(7_000, "s")
        assert max(reads) <= 1 << 20 < len(data)
    data = archive({"info.txt": info(Last_Sample_Time=None), "activity.bin": nibbles([(1, 2, 3)] * 900)})
    found = probe_bytes(data)
    assert (found.samples, found.end) == (900, np.datetime64(START, "us") + np.timedelta64(30, "s"))


def test_the_location_is_known_before_the_samples() -> None:
    for limb, location in (("Wrist", "left wrist"), ("Waist", "left waist")):
        assert probe_bytes(recording(still(60), Limb=limb)).location == location


def test_members_in_any_order_are_recognised() -> None:
    files: dict[str, Any] = {"calibration.json": b"{}", "info.txt": info(), "log.bin": b"".join(still(60))}
    noise = np.random.default_rng(0).bytes(100_000)
    for name, before in (("a.zip", {}), (NAME, {"firmware.bin": noise}), (NAME, {"firmware.bat": noise})):
        made = decode(archive(before | files), name)
        assert (made.device, made.samples) == ("ActiGraph Link", 1800)


def test_gzip_reads_the_same() -> None:
    data = recording(still(60))
    assert np.array_equal(decode(gzip.compress(data), NAME + ".gz").counts_CN, decode(data, NAME).counts_CN)
    assert probe_bytes(gzip.compress(data), NAME + ".gz") == probe_bytes(data)


def test_recognised_by_content() -> None:
    assert actigraph.recognises(recording(still(1))[:1000])
    assert not actigraph.recognises(archive({"info.txt": "of a study", "CWA-DATA.cwa": b"MD"}))
    assert not actigraph.recognises(archive({"CWA-DATA.cwa": b"MD"}))
    assert not any(map(actigraph.recognises, (b"", b"PK\x03\x04", b"Device Identity", b"MD\xfc\x03")))


ENCRYPTED = bytearray(recording(still(3)))
for at in (ENCRYPTED.index(b"PK\x03\x04") + 6, ENCRYPTED.index(b"PK\x01\x02") + 8):
    ENCRYPTED[at] |= 1

LYING = bytearray(archive({"log.bin": b"".join(still(3)), "info.txt": info()}, zipfile.ZIP_STORED))
LYING[28:30] = b"\xff\xff"  # length of the extra field of the first member

BAD = {
    "a member beyond the end": (bytes(LYING), "at least one undamaged record"),
    "empty": (b"", "no archive"),
    "text": (b"time,x,y,z\n" * 500, "no archive"),
    "other archive": (archive({"notes.txt": "nothing"}), "an archive with 1 other files"),
    "encrypted": (bytes(ENCRYPTED), "encrypted"),
    "no samples": (recording([]), "at least one undamaged record"),
    "empty activity.bin": (archive({"info.txt": info(), "activity.bin": b""}), "at least one undamaged record"),
    "only damage": (recording([b"\x1e" * 100_000]), "at least one undamaged record"),
    "no rate": (recording(still(3), Sample_Rate=None), "Sample Rate.*found none"),
    "rate of zero": (recording(still(3), Sample_Rate=0), "Sample Rate.*found 0"),
    "rate of 2^60": (recording(still(3), Sample_Rate=2**60), "Sample Rate"),
    "rate that is none": (recording(still(3), Sample_Rate="nan"), "Sample Rate.*found nan"),
    "no scale": (recording(still(3), Serial_Number="", Acceleration_Scale="0"), "Acceleration Scale"),
    "activity.bin without a start": (
        archive({"info.txt": info(Start_Date=0), "activity.bin": nibbles([(1, 2, 3)])}),
        "expected a Start Date",
    ),
    "a start in the year 3655": (
        archive({"info.txt": info(Start_Date=2**60), "activity.bin": nibbles([(1, 2, 3)])}),
        "expected a Start Date",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_rejected_without_the_name(case: Any) -> None:
    data, message = BAD[case]
    with pytest.raises(UserError, match=message) as error:
        decode(data, NAME)
    assert "Jane" not in str(error.value)


def bomb(piece: bytes, times: int) -> bytes:
    """Return a small archive whose log.bin unpacks to `piece`, `times` over."""
    import zlib

    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = engine.compress(piece) + engine.flush(zlib.Z_FULL_FLUSH)
    body = packed * times + zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
    head = archive({"info.txt": info()}, zipfile.ZIP_STORED).split(b"PK\x01\x02")[0]
    local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 8, 0, 33, 0, len(body), 0xFFFFFFFF, 7, 0)
    return head + local + b"log.bin" + body


SLOWER = (b"\x1e" * (1 << 20), b"\x1e\x06\0\0\0\0\xff\xff" * (1 << 17))


@pytest.mark.parametrize("piece", [bytes(1 << 20), *(pytest.param(piece, marks=pytest.mark.slow) for piece in SLOWER)])
def test_bombs_of_nothing_are_refused(piece: Any) -> None:
    data = bomb(piece, 4_000)
    assert len(data) < 20e6
    with pytest.raises(UserError, match="at most 170,000,000 samples"):
        decode(data, NAME)


def test_a_long_recording_is_read_and_a_log_that_repeats_its_seconds_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on what headers claim, not on a log that has a second for each record."""
    for module in (log_records, unpack_samples):
        monkeypatch.setattr(module, "MAX_SAMPLES", 3_000)
        monkeypatch.setattr(module, "LONG_SAMPLES", 9_000)
    data = recording(still(290))
    made = decode(data, NAME)
    assert made.samples == 290 * 30
    assert made.counts_CN[0, ::30].tolist() == [k % 1000 for k in range(290)]
    assert made.stamp_us_K.tolist() == [(SECOND + k) * 1_000_000 for k in range(290)]
    for records, limit in ((still(310), "9,000"), (still(1) * 120, "3,000")):
        with pytest.raises(UserError, match=f"at most {limit} samples"):
            decode(recording(records), NAME)


@pytest.mark.slow
def test_a_bomb_of_good_records_is_refused() -> None:
    second = b"".join(activity(SECOND, [(0, 0, 256)] * 30) for _ in range(7_000))
    data = bomb(second, MAX_SAMPLES // (30 * 7_000) + 2)
    with pytest.raises(UserError, match="at most 170,000,000 samples"):
        decode(data, NAME)


def real(real_data: Path, name: str) -> Any:
    return decode((real_data / "recordings" / "actigraph" / f"{name}.gt3x").read_bytes(), NAME)


def export(real_data: Path, name: str) -> Any:
    """Return the vendor's export in g (N, 3)."""
    with gzip.open(real_data / "recordings" / "actigraph" / f"{name}.csv.gz", "rt") as file:
        return np.loadtxt(file, delimiter=",", skiprows=11)


@pytest.mark.parametrize(
    ("name", "samples", "spans", "device", "location"),
    [
        ("ISM_Disabled", 9_000, 0, "Link", "wrist"),
        ("ISM_Enabled", 2_190, 3, "Link", "right wrist"),
        ("TAS1H30182785_2019-09-17", 33_000, 5, "Link", None),
        ("actigraph_testfile", 17_640, 23, "wGT3XBT", "waist"),
        ("neo", 18_004, 0, "GT3XPlus", None),
        ("small", 810_270, 493, "Link", "wrist"),
    ],
)
def test_real_recordings(
    real_data: Path, name: str, samples: int, spans: int, device: str, location: str | None
) -> None:
    made = real(real_data, name)
    assert (made.samples, len(made.idle_spans_us), made.damaged_blocks) == (samples, spans, 0)
    assert (made.device, made.location) == (f"ActiGraph {device}", location)
    data = (real_data / "recordings" / "actigraph" / f"{name}.gt3x").read_bytes()
    found, timeline = probe_bytes(data), fit(made)
    assert found.start <= timeline.instant(timeline.start_G[0]) <= timeline.instant(timeline.end_G[-1]) <= found.end
    assert timeline.rate_hz == pytest.approx(made.nominal_rate_hz, rel=1e-9)
    at_rest = np.sqrt(((made.counts_CN * made.g_per_count_C[:, None]) ** 2).sum(axis=0))
    assert np.median(at_rest) == pytest.approx(1, abs=0.06)


def test_values_of_an_old_device_are_the_vendors(real_data: Path) -> None:
    made, expected_NC = real(real_data, "neo"), export(real_data, "neo")
    assert expected_NC.shape == (made.samples, 3)
    assert np.abs(made.counts_CN.T * made.g_per_count_C - expected_NC).max() < 0.0005
    assert made.stamp_us_K[0] == np.datetime64("2021-12-20T11:55:00", "us").astype(int)


def test_values_times_and_idle_sleep_are_the_vendors(real_data: Path) -> None:
    """The vendor's export repeats the last value in idle sleep, and holds zeros where the device was on USB."""
    made, expected_NC = real(real_data, "TAS1H30182785_2019-09-17"), export(real_data, "TAS1H30182785_2019-09-17")
    assert expected_NC.shape == (240_500, 3)
    start_us = np.datetime64("2019-09-17T18:40:00", "us").astype(int)
    taken_N = np.rint(fit(made).seconds_of(np.arange(made.samples)) * 100).astype(int)
    taken_N -= round((start_us % 86_400_000_000) / 10_000)
    assert np.abs(made.counts_CN.T * made.g_per_count_C - expected_NC[taken_N]).max() <= 0.00050001
    covered_N = np.zeros(len(expected_NC), dtype=bool)
    covered_N[taken_N] = True
    for begin, end in ((made.idle_spans_us - start_us) // 10_000).tolist():
        assert (expected_NC[begin:end] == expected_NC[begin - 1]).all()
        assert not covered_N[begin:end].any()
        covered_N[begin:end] = True
    assert np.flatnonzero(~covered_N).tolist() == [*range(214_000, 214_700), *range(215_900, 240_500)]


def test_a_night_of_idle_sleep_was_worn(real_data: Path) -> None:
    made = real(real_data, "small")
    figures = process(made, SignalSettings()).figures.plain()
    idle_hours = np.diff(made.idle_spans_us, axis=1).sum() / 3.6e9
    assert idle_hours / 13.59 == pytest.approx(0.448, abs=0.001)
    assert figures["wear_hours"] == pytest.approx(13.59, abs=0.01)
    assert figures["calibration"] == "own"
    assert figures["error_before_mg"] == pytest.approx(23.9, abs=0.1)
    assert figures["error_after_mg"] < 5
    assert (figures["gaps"], figures["clock"], figures["upsampled"]) == (0, "utc", False)
