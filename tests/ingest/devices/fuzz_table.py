"""Damaged tables: nonsense in cells, headers and stamps, and inconsistent Parquet files."""

from __future__ import annotations

import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.ingest.devices.tables import epoch, iso, movement, parquet, seconds, text

Rng = np.random.Generator
RATE_HZ, LENGTH_S = 25.0, 90.0
VENDOR = b"""------------ Data File Created By ActiGraph GT3X+ Firmware v2.5.0 date format M/d/yyyy at 25 Hz
Serial Number: NEO1
Start Time 10:00:00
Start Date 3/4/2024
"""
CELLS = (
    b"",
    b"nan",
    b"1e308",
    b"-1e39",
    b"9" * 400,
    b"1,2",
    b'"',
    b"0",
    b"inf",
    b"x" * 5000,
    b"\xff\xfe",
    b"1e-400",
    b"\0",
)
STAMPS = (
    b"1970-01-01 00:00:00",
    b"2106-02-07 06:28:15",
    b"9999-12-31 23:59:59.999",
    b"0000-00-00 00:00:00",
    b"-1",
    b"1e30",
    b"99999999999999999999",
    b"2024-03-04 10:00:00",
    b"nan",
)
HEADERS = (b"time,x,y,z", b"x,y,z,time", b"a,b,c,d", b"x,x,x,x", b",,,", b"time,time,x,y", b"x" * 60_000, b"t,gx,gy,gz")


def base(number: int) -> bytes:
    """Return a good table: text with stamps, or with ActiGraph's header, by number."""
    second_N = seconds(RATE_HZ, LENGTH_S)
    x_CN = movement(second_N)
    x_CN[:, 500:600] = 0
    return text(x_CN, iso(second_N), "time,x,y,z") if number % 2 else VENDOR + text(x_CN)


def nonsense(data: bytes, rng: Rng) -> bytes:
    """Return a table with nonsense in a valid form; sometimes another one, in Parquet."""
    if rng.random() < 0.3:
        return _parquet(rng)
    lines = data.splitlines()
    first = len(lines) - round(RATE_HZ * LENGTH_S)
    some = first + rng.integers(len(lines) - first, size=int(rng.choice([1, 5, 2000])))
    match rng.integers(7):
        case 0:
            lines[first - 1] = HEADERS[int(rng.integers(len(HEADERS)))]
        case 1:
            cell = CELLS[int(rng.integers(len(CELLS)))]
            for i in some:
                cells = lines[i].split(b",")
                cells[int(rng.integers(len(cells)))] = cell
                lines[i] = b",".join(cells)
        case 2:
            stamp = STAMPS[int(rng.integers(len(STAMPS)))]
            for i in some:
                lines[i] = re.sub(rb"^[^,]*", stamp, lines[i])
        case 3:
            begin, length = int(rng.integers(first, len(lines))), int(rng.integers(1, 1000))
            lines = lines[:begin] + lines[begin : begin + length] * int(rng.integers(0, 4)) + lines[begin + length :]
        case 4:
            rng.shuffle(lines)
        case 5:
            lines = lines[:first] + [
                bytes([rng.choice(list(b" ;\t,"))]).join(line.split(b",")) for line in lines[first:]
            ]
        case 6:
            unit_s = float(rng.choice([1, 1e-3, 1e-9, 1e-12, 60]))
            since = np.datetime64(int(rng.choice([0, 1, 10**15, 4 * 10**15])), "us")
            stamps = epoch(seconds(RATE_HZ, LENGTH_S), unit_s, since)
            lines[first:] = [
                stamp.encode() + b"," + line.split(b",", 1)[1]
                for stamp, line in zip(stamps, lines[first:], strict=True)
            ]
    return bytes(rng.choice(np.array([b"\n", b"\r\n", b"\r"], dtype=object))).join(lines)


def _parquet(rng: Rng) -> bytes:
    second_N = seconds(RATE_HZ, LENGTH_S)
    x_CN = movement(second_N) * rng.choice([1, 9.81, 1e30, np.nan, 0])
    time: object = second_N + float(rng.choice([0, 1e9, 1e18, -5, np.inf]))
    match rng.integers(4):
        case 0:
            time = pa.array((second_N * float(rng.choice([1e6, 1e3, 1]))).astype(np.int64))
        case 1:
            us_N = (second_N * 1e6).astype(np.int64) + int(rng.choice([0, 10**15, 9 * 10**18 // 1000]))
            time = pa.array(us_N, pa.timestamp("us", str(rng.choice(["UTC", "Europe/Berlin"]))))
        case 2:
            time = pa.array(["2024"] * second_N.size)
    columns = {"time": time, **dict(zip("xyz", x_CN, strict=True))}
    if rng.random() < 0.2:
        columns.pop(str(rng.choice(["time", "x"])))
    data = parquet(columns, int(rng.choice([20, 100, 100_000])))
    if rng.random() < 0.3:
        made = pq.ParquetFile(io.BytesIO(data)).metadata.serialized_size
        at = len(data) - 8 - int(rng.integers(made))
        data = data[:at] + rng.bytes(3) + data[at + 3 :]
    return data
