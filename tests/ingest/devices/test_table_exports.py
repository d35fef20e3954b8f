"""Tables exported by programs: ActiGraph's csv with its header, and real exports compared with their recordings."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ingest.devices.registry import decode
from ingest.process import process
from ingest.recording import Recording
from ingest.settings import SignalSettings
from pipeline.errors import UserError
from tests.ingest.devices.tables import MAX_ROUNDING_G, START, iso, movement, read, seconds, text, times, values

VENDOR = """------------ Data File Created By ActiGraph wGT3XBT ActiLife v6.13.3 Firmware v1.9.2 date format {form} at 30 Hz  Filter Normal -----------
Serial Number: MOS2A01
Start Time 10:00:00
Start Date {date}
Epoch Period (hh:mm:ss) 00:00:00
Download Time 12:00:00
Download Date {date}
Current Memory Address: 0
Current Battery Voltage: 4.18     Mode = 12
--------------------------------------------------
"""  # noqa: E501
DATES = {"M/d/yyyy": "3/4/2024", "dd/MM/yyyy": "04/03/2024", "yyyy-MM-dd": "2024-03-04", "dd.MM.yyyy": "04.03.2024"}


@pytest.mark.parametrize("form", DATES)
@pytest.mark.parametrize("header", ["", "Accelerometer X,Accelerometer Y,Accelerometer Z", "Timestamp,X,Y,Z"])
def test_the_header_of_actigraph(form: str, header: str) -> None:
    second_N = seconds(30)
    x_CN = movement(second_N)
    dates = {
        "M/d/yyyy": "{1}/{2}/{0}",
        "dd/MM/yyyy": "{2}/{1}/{0}",
        "yyyy-MM-dd": "{0}-{1}-{2}",
        "dd.MM.yyyy": "{2}.{1}.{0}",
    }
    stamps = [f"{dates[form].format('2024', '03', '04')} {stamp[11:]}" for stamp in iso(second_N + 1500)]
    time = stamps if header.startswith("T") else None
    data = VENDOR.format(form=form, date=DATES[form]).encode() + text(x_CN, time, header)
    made = read(data.replace(b"\n", b"\r\n"))
    assert (made.device, made.serial, made.firmware, made.nominal_rate_hz) == (
        "ActiGraph wGT3XBT",
        "MOS2A01",
        "1.9.2",
        30,
    )
    late = 1500 if header.startswith("T") else 0
    assert np.abs(times(made) - second_N - late).max() < 0.001
    with pytest.raises(UserError, match="Start Date"):
        read(data.replace(b"Start Date", b"Begin"))
    with pytest.raises(UserError, match="in the form"):
        read(data.replace(b"Start Time 10:00:00", b"Start Time noon"))


def test_sleep_filled_in_by_actigraph_is_removed() -> None:
    """Its export repeats the last value in full seconds; a single repeated value is a value."""
    second_N = seconds(30)
    x_CN = movement(second_N)
    x_CN[:, 3000:3090] = x_CN[:, 2999:3000]
    x_CN[:, 2998] = x_CN[:, 2999]
    x_CN[:, 4010:4035] = x_CN[:, 4009:4010]
    made = read(VENDOR.format(form="M/d/yyyy", date="3/4/2024").encode() + text(x_CN))
    assert made.samples == second_N.size - 90
    assert (made.idle_spans_us - START.astype(np.int64)).tolist() == [[100_000_000, 103_000_000]]


def recordings(real_data: Path, name: str) -> bytes:
    return (real_data / "recordings" / name).read_bytes()


def test_a_real_table_of_full_seconds(real_data: Path) -> None:
    """12 hours of an ActiGraph at 30 Hz, exported by another program: zeros where it slept."""
    data = recordings(real_data, "tables/actigraph_30hz_12h.csv.gz")
    made = read(data)
    x_NC = np.loadtxt(io.BytesIO(gzip.decompress(data)), delimiter=",", skiprows=1, usecols=(1, 2, 3))
    zero_N = (x_NC == 0).all(axis=1)
    assert made.nominal_rate_hz == 30
    assert made.samples == (~zero_N).sum()
    assert np.abs(values(made).T - x_NC[~zero_N]).max() < 1e-9
    assert np.diff(made.idle_spans_us, axis=1).sum() / 1e6 == pytest.approx(zero_N.sum() / 30, abs=0.01)
    true_s = np.flatnonzero(~zero_N) / 30
    assert np.abs(times(made, np.datetime64("2017-10-30T15:00:00", "us")) - true_s).max() < 1e-3


def test_the_vendors_export_of_an_axivity(real_data: Path) -> None:
    table = read(recordings(real_data, "axivity/example-610-steps.csv.gz"))
    binary = decode(recordings(real_data, "axivity/example-610-steps.cwa"), "a.cwa")
    assert table.samples == binary.samples
    assert np.abs(values(table) - values(binary)).max() < MAX_ROUNDING_G
    start = np.datetime64("2012-03-27", "us")
    assert np.abs(times(table, start) - times(binary, start)).max() < 0.025


def test_the_vendors_export_of_an_old_actigraph(real_data: Path) -> None:
    """Compare with activity.bin, read in six lines: 12 bits per axis, y first, 341 counts per g."""
    table = read(recordings(real_data, "actigraph/neo.csv.gz"))
    archive = recordings(real_data, "actigraph/neo.gt3x")
    packed = zipfile.ZipFile(io.BytesIO(archive)).read("activity.bin")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))[: table.samples * 36].reshape(-1, 3, 12).astype(int)
    raw_NC = (bits * 2 ** np.arange(11, -1, -1)).sum(axis=2)
    y, x, z = (np.where(raw_NC > 2047, raw_NC - 4096, raw_NC) / 341).T
    assert np.abs(values(table) - np.stack([x, y, z])).max() < 0.00051
    assert (table.device, table.nominal_rate_hz, table.samples) == ("ActiGraph GT3X+", 30, 18_004)
    assert table.stamp_us_K[0] == np.datetime64("2021-12-20T11:55:00", "us").astype(np.int64)
    assert_alike(table, decode(archive, "a.gt3x"))


def test_the_vendors_export_with_sleep_filled_in(real_data: Path) -> None:
    """Compare with log.bin, read plainly: every second that it holds is measured, the device slept during all others.

    Except for zeros, about which the device says nothing.
    """
    table = read(recordings(real_data, "actigraph/TAS1H30182785_2019-09-17.csv.gz"))
    archive = recordings(real_data, "actigraph/TAS1H30182785_2019-09-17.gt3x")
    log = zipfile.ZipFile(io.BytesIO(archive)).read("log.bin")
    second, samples, at = [], [], 0
    while at < len(log):
        _, kind, stamp, size = struct.unpack_from("<BBIH", log, at)
        if kind == 26 and size == 600:
            second.append(stamp)
            samples.append(np.frombuffer(log, "<i2", 300, at + 8).reshape(100, 3))
        at += 9 + size
    assert np.abs(values(table).T - np.concatenate(samples) / 256).max() < 0.00051
    assert (table.stamp_us_K / 1e6).tolist() == second
    slept = {s for begin, end in table.idle_spans_us // 1_000_000 for s in range(begin, end)}
    zeros = {*range(second[0] + 2141, second[0] + 2147), *range(second[0] + 2159, second[0] + 2405)}
    assert slept == {*range(second[0], second[0] + 2405)} - {*second} - zeros
    assert table.rail_counts / 4000 == pytest.approx(8, abs=0.001)
    assert_alike(table, decode(archive, "a.gt3x"))


def assert_alike(table: Recording, binary: Recording) -> None:
    """Check that two files give the same samples, times and states."""
    assert np.abs(values(table) - values(binary)).max() < 0.00051
    assert np.abs(times(table) - times(binary)).max() < 1e-4
    assert (table.serial, table.firmware) == (binary.serial, binary.firmware)
    states = [process(made, SignalSettings(any_location=True)).state_S for made in (table, binary)]
    assert (states[0] != states[1]).sum() <= 1, "the export holds the last value for a second more before zeros"
