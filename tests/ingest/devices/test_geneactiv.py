"""The GENEActiv reader compared with a plain writer and with real files read in plain Python; and bad input."""

from __future__ import annotations

import gzip
import io
import re
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.geneactiv import reader as geneactiv
from ingest.devices.registry import decode, probe
from ingest.process import process
from ingest.settings import SignalSettings
from ingest.signal.timing import fit
from pipeline.errors import UserError
from tests.ingest.devices.geneactiv_file import START, header, page, pages

NAME = "Jane_Doe.bin"
FIRST_US = int(np.datetime64(START, "us").astype(int))

axis = st.integers(-2048, 2047)
samples = st.lists(st.tuples(axis, axis, axis, st.integers(0, 1023), st.integers(0, 1)), min_size=1, max_size=300)


def probe_bytes(data: bytes, name: str = NAME) -> Any:
    return probe(io.BytesIO(data), name, len(data))


def recording(made: list[bytes], **other: Any) -> bytes:
    return header(**other) + b"".join(made)


@settings(max_examples=50, deadline=None)
@given(samples, st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_samples_light_and_button_round_trip(rows: Any, lower: Any, end: Any) -> None:
    made = page(rows, end=end)
    if lower:
        made = re.sub(rb"[0-9A-F]{3600}", lambda digits: digits.group().lower(), made)
    found = decode(header(end) + made, NAME)
    assert found.counts_CN[:, : len(rows)].T.tolist() == [list(row[:3]) for row in rows]
    assert found.samples == 300
    pressed = [0, *(row[4] for row in rows)]
    assert found.extras["button_presses"] == sum(now > before for before, now in pairwise(pressed))
    assert found.extras["light_max_lux"] == pytest.approx(max(row[3] for row in rows) * 800 / 300)
    assert found.extras["light_mean_lux"] == pytest.approx(sum(row[3] for row in rows) / 300 * 800 / 300)


@given(st.integers(5_000, 100_000), st.integers(-4_999, 4_999), st.integers(-2048, 2047))
@settings(max_examples=50, deadline=None)
def test_gain_and_offset_of_the_header_give_g(gain: Any, offset: Any, count: Any) -> None:
    found = decode(header(y_gain=gain, y_offset=offset) + page([(0, count, 0, 0, 0)]), NAME)
    g = found.counts_CN[1, 0] * found.g_per_count_C[1] + found.offset_g_C[1]
    assert g == pytest.approx((count * 100 - offset) / gain, abs=1e-12)


def test_numbers_with_a_comma() -> None:
    made = header(Measurement_Frequency="85,7 Hz") + page([], celsius="21,5", rate="85,7")
    found = decode(made, NAME)
    assert (found.nominal_rate_hz, found.celsius_K.tolist()) == (85.7, [21.5])


def test_pages_are_stamped_and_have_a_temperature() -> None:
    found = decode(recording(pages(20)), NAME)
    assert (found.samples, found.damaged_blocks, found.nominal_rate_hz) == (6000, 0, 60)
    assert found.stamp_us_K.tolist() == [FIRST_US + 5_000_000 * k for k in range(20)]
    assert found.stamp_sample_K.tolist() == [300 * k for k in range(20)]
    assert found.sequence_K.tolist() == list(range(20))
    assert found.celsius_K.tolist() == [21.5] * 20
    assert (found.device, found.serial, found.firmware) == ("GENEActiv 1.1", "012967", "Ver1.30 date 05Aug11")
    assert (found.rail_counts, found.limit_counts) == (2047, 2048)
    assert found.location == probe_bytes(recording(pages(20))).location == "left wrist"


@given(st.datetimes(datetime(1970, 1, 1), datetime(2106, 12, 31, 23, 59, 59)))
@settings(max_examples=100, deadline=None)
def test_page_times(time: Any) -> None:
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    assert decode(header() + page([], time=time), NAME).stamp_us_K[0] == np.datetime64(time, "us").astype(int)


NO_TIMES = (
    "",
    "x",
    "2024-02-30 00:00:00:000",
    "2023-02-29 00:00:00:000",
    "2024-13-01 00:00:00:000",
    "2024-00-01 00:00:00:000",
    "2024-01-00 00:00:00:000",
    "2024-01-01 24:00:00:000",
    "2024-01-01 00:60:00:000",
    "2024-01-01 00:00:60:000",
    "2024-01-01 00:00:00",
    "2024-01-01 00:00:00:0000",
    "2107-01-01 00:00:00:000",
    "20240-01-01 00:00:00:000",
)


@pytest.mark.parametrize("time", NO_TIMES)
def test_a_page_without_a_time_keeps_its_samples(time: Any) -> None:
    made = pages(30)
    made[7] = page([], 7, time)
    found = decode(recording(made), NAME)
    assert found.stamped_K.tolist() == [k != 7 for k in range(30)]
    timeline = fit(found)
    assert (timeline.mended_stamps, len(timeline.first_G)) == (1, 1)


@pytest.mark.parametrize(("celsius", "expected"), [("-3.5", -3.5), ("", np.nan), ("warm", np.nan), ("9", 9)])
def test_temperatures(celsius: str, expected: Any) -> None:
    found = decode(header() + page([], celsius=celsius), NAME).celsius_K[0]
    assert found == expected or (np.isnan(found) and np.isnan(expected))


def spoil_digit(made: bytes) -> bytes:
    return made[:-1000] + b"g" + made[-999:]


DAMAGE = {
    "a digit that is none": spoil_digit,
    "a digit lost": lambda made: made[:-1000] + made[-999:],
    "a digit too many": lambda made: made[:-1000] + b"0" + made[-1000:],
    "no number": lambda made: made.replace(b"Sequence Number", b"Sequence Nymber"),
    "another rate": lambda made: made.replace(b"Frequency:60.0", b"Frequency:80.0"),
    "no rate": lambda made: made.replace(b"Frequency:60.0", b"Frequency:"),
    "zeros": lambda made: bytes(len(made)),
    "its beginning lost": lambda made: made[30:],
    "its end lost": lambda made: made[:-900],
    "a head of other lines": lambda made: b"Recorded Data\r\n" + b"x:y\r\n" * 50 + made[-3602:],
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_page_is_left_out_and_counted(case: Any) -> None:
    made = pages(10)
    made[4] = DAMAGE[case](made[4])
    found = decode(recording(made), NAME)
    assert found.damaged_blocks == 1
    assert found.counts_CN[0, ::300].tolist() == [k for k in range(10) if k != 4]
    assert found.sequence_K.tolist() == [k for k in range(10) if k != 4]


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=500).filter(lambda junk: b"Recorded" not in junk and junk.strip(b"\r\n ")))
def test_junk_between_pages_is_skipped(junk: Any) -> None:
    made = pages(6)
    found = decode(recording([*made[:3], junk, *made[3:]]), NAME)
    assert (found.samples, found.damaged_blocks) == (1800, 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5 * 3_800))
def test_a_truncated_file_gives_its_complete_pages(lost: Any) -> None:
    made = pages(8)
    whole = recording(made)
    cut = whole[: len(whole) - lost]
    found = decode(cut, NAME)
    full = (len(cut) - len(header()) + 2) // len(made[0])
    assert found.samples == 300 * full
    assert found.damaged_blocks == (len(cut) - len(header()) > full * len(made[0]))


def test_probe_finds_the_span_from_both_ends() -> None:
    between = b"".join(pages(500)[100:400])
    last = page([], 100_000, START + timedelta(days=2))
    data = recording([*pages(100), between, b"0" * 200_000, last])
    found = probe_bytes(data)
    assert found.start == np.datetime64(START, "us")
    assert found.end == np.datetime64(START + timedelta(days=2, seconds=5), "us")
    assert [str(day) for day in found.days] == ["2024-03-04", "2024-03-05", "2024-03-06"]
    assert (found.device, found.nominal_rate_hz) == ("GENEActiv 1.1", 60)
    assert found.samples >= decode(data, NAME).samples


def test_probe_bounds_the_end_when_the_end_is_unreadable() -> None:
    data = recording(pages(100)) + b"\xff" * 2_000_000
    assert probe_bytes(data).end >= np.datetime64(START + timedelta(seconds=500), "us")


def test_gzip_reads_the_same() -> None:
    data = recording(pages(40))
    assert np.array_equal(decode(gzip.compress(data), NAME + ".gz").counts_CN, decode(data, NAME).counts_CN)
    assert probe_bytes(gzip.compress(data), NAME + ".gz") == probe_bytes(data)


def test_location_is_read_and_nothing_else_about_the_person() -> None:
    data = recording(pages(3))
    assert "Jane" not in repr(decode(data, NAME)) + repr(probe_bytes(data))
    assert decode(recording(pages(3), Device_Location_Code="Jane Doe"), NAME).location is None
    with pytest.raises(UserError, match="from a wrist"):
        process(decode(recording(pages(3), Device_Location_Code="right ankle"), NAME), SignalSettings())


def test_recordings_are_recognised_by_content() -> None:
    assert geneactiv.recognises(recording(pages(1))[:100])
    assert not any(map(geneactiv.recognises, (b"", b"Device", b"PK\x03\x04", b"MD\xfc\x03", b"time,x,y,z")))


BAD = {
    "empty": (b"", "Device Identity"),
    "text": (b"time,x,y,z\n" * 500, "Device Identity"),
    "no pages": (header(), "found 0 damaged pages"),
    "only damaged pages": (recording([spoil_digit(made) for made in pages(5)]), "found 5 damaged pages"),
    "rate of zero": (recording(pages(3), Measurement_Frequency="0 Hz"), "Measurement Frequency .* found 0"),
    "rate of 2^60": (recording(pages(3), Measurement_Frequency=2**60), "Measurement Frequency"),
    "no rate": (recording(pages(3), Measurement_Frequency=None), "Measurement Frequency .* found None"),
    "gain of zero": (recording(pages(3), x_gain=0), "for the x axis"),
    "no offset": (recording(pages(3), z_offset=None), "for the z axis"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_rejected_without_the_name(case: Any) -> None:
    data, message = BAD[case]
    for read in (lambda data: decode(data, NAME), probe_bytes):
        if read is probe_bytes and "pages" in case:
            message = "calendar time"
        with pytest.raises(UserError, match=message) as error:
            read(data)
        assert "Jane" not in str(error.value)


def test_a_clock_that_was_never_set_is_an_error() -> None:
    data = recording([page([], k, "") for k in range(5)])
    with pytest.raises(UserError, match="never set"):
        probe_bytes(data)
    with pytest.raises(UserError, match="never set"):
        fit(decode(data, NAME))


def plainly(data: bytes) -> Any:
    """Return samples in g (N, 3), stamps and temperatures of the complete pages, by regular expressions."""
    text = data.decode()
    gain, offset = (
        np.array([float(re.search(rf"^{axis} {name}:(-?\d+)", text, re.MULTILINE).group(1)) for axis in "xyz"])
        for name in ("gain", "offset")
    )
    found = re.findall(r"Page Time:(\S+) (\S+):(\d{3})\s.*?Temperature:([\d.]+).*?([0-9A-F]{3600})", text, re.DOTALL)
    words = np.array(
        [[int(digits[12 * i + 3 * c :][:3], 16) for c in range(3)] for *_, digits in found for i in range(300)]
    )
    g_NC = (np.where(words > 2047, words - 4096, words) * 100 - offset) / gain
    stamps = np.array([f"{day}T{time}.{ms}" for day, time, ms, *_ in found], dtype="datetime64[us]")
    return g_NC, stamps, np.array([float(celsius) for *_, celsius, _ in found])


@pytest.mark.parametrize(
    ("name", "samples", "damaged", "rate_hz", "device"),
    [
        ("example_geneactiv", 27_300, 0, 60, "GENEActiv 1.2"),
        ("GENEActiv_testfile", 4_800, 1, 600 / 7, "GENEActiv 1.1"),
    ],
)
def test_real_recordings(real_data: Path, name: str, samples: int, damaged: int, rate_hz: Any, device: str) -> None:
    data = (real_data / "recordings" / "geneactiv" / f"{name}.bin").read_bytes()
    found = decode(data, NAME)
    assert (found.samples, found.damaged_blocks, found.device) == (samples, damaged, device)
    g_NC, stamps, celsius = plainly(data)
    assert np.allclose(found.counts_CN.T * found.g_per_count_C + found.offset_g_C, g_NC, atol=1e-12)
    assert np.array_equal(found.stamp_us_K, stamps.astype(np.int64))
    assert np.allclose(found.celsius_K, celsius)
    timeline = fit(found)
    assert timeline.rate_hz == pytest.approx(rate_hz, rel=1e-6)
    assert len(timeline.first_G) == 1
    probed = probe_bytes(data)
    assert probed.start == timeline.instant(timeline.start_G[0])
    assert abs(probed.end - timeline.instant(timeline.end_G[-1])) < np.timedelta64(30, "ms")


def test_a_factory_calibrated_device_has_an_error_under_1_mg(real_data: Path) -> None:
    data = (real_data / "recordings" / "geneactiv" / "example_geneactiv.bin").read_bytes()
    figures = process(decode(data, NAME), SignalSettings()).figures.plain()
    assert (figures["still_windows"], figures["button_presses"]) == (40, 0)
    assert figures["error_before_mg"] < 1
    assert figures["light_mean_lux"] == pytest.approx(432.7, abs=0.1)
