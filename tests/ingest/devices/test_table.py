"""Tables: what is read compared with what was written, and what the user is asked."""

from __future__ import annotations

import gzip
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.registry import decode
from ingest.devices.table.columns import find_columns
from ingest.settings import TableSettings
from ingest.signal.timing import fit
from pipeline.errors import UserError
from tests.ingest.devices.fuzz import check_arrays
from tests.ingest.devices.tables import (
    MAX_ROUNDING_G,
    START,
    epoch,
    iso,
    movement,
    parquet,
    probe_bytes,
    read,
    seconds,
    text,
    times,
    values,
)

G = 9.80665

BOOT = np.datetime64(5_000_000_000, "us")
STAMPS = {
    "iso": (lambda second: iso(second), START, "calendar"),
    "iso with T": (lambda second: iso(second, 6, "T"), START, "calendar"),
    "iso in UTC": (lambda second: iso(second, 3, "T", "Z"), START, "calendar"),
    "iso ahead of UTC": (lambda second: iso(second, 3, " ", "+05:30"), START, "calendar"),
    "full seconds": (lambda second: iso(second, 0), START, "calendar"),
    "tenths of seconds": (lambda second: iso(second, 1), START, "calendar"),
    "seconds since 1970": (lambda second: epoch(second, 1), START, "calendar"),
    "full seconds since 1970": (lambda second: [stamp.split(".")[0] for stamp in epoch(second, 1)], START, "calendar"),
    "milliseconds": (lambda second: epoch(second, 1e-3), START, "calendar"),
    "nanoseconds": (lambda second: epoch(second, 1e-9), START, "calendar"),
    "since boot in seconds": (lambda second: epoch(second, 1, BOOT), BOOT, "boot"),
    "since boot in nanoseconds": (lambda second: epoch(second, 1e-9, BOOT), BOOT, "boot"),
}


@pytest.mark.parametrize("rate_hz", [20.0, 97.3, 100.0])
@pytest.mark.parametrize("how", STAMPS)
def test_every_kind_of_stamp_gives_the_times(how: str, rate_hz: float) -> None:
    stamp, start, kind = STAMPS[how]
    second_N = seconds(rate_hz)
    made = read(text(movement(second_N), stamp(second_N), "time,x,y,z"))
    assert (made.origin, made.samples) == (kind, second_N.size)
    assert made.nominal_rate_hz == pytest.approx(rate_hz, rel=2e-3)
    assert np.abs(times(made, start) - second_N).max() < (
        1 / rate_hz + 0.003 if "full" in how or "tenth" in how else 0.0015
    )
    assert np.abs(values(made) - movement(second_N)).max() < MAX_ROUNDING_G + 0.00005


def test_without_stamps_the_rate_gives_the_times() -> None:
    second_N = seconds(50)
    made = read(text(movement(second_N), header="X,Y,Z"), TableSettings(rate_hz=50))
    assert (made.origin, made.nominal_rate_hz) == ("start", 50)
    assert np.abs(times(made, np.datetime64(0, "us")) - second_N).max() < 1e-6
    numbered = text(movement(second_N), range(second_N.size))
    assert np.array_equal(read(numbered, TableSettings(rate_hz=50)).counts_CN, made.counts_CN)


@pytest.mark.parametrize("begin", [0.0, 0.35])
def test_the_first_rows_of_a_shared_second_are_its_last(begin: float) -> None:
    """Recordings begin and continue in the middle of a second; the next second places their other rows."""
    second_N = seconds(40, 120)
    second_N = second_N[(second_N >= begin) & ((second_N < 50) | (second_N >= 60.7))]
    made = read(text(movement(second_N), iso(second_N, 0)))
    assert np.abs(times(made) - second_N).max() < 0.001
    assert made.sequence_K.tolist() == list(range(made.sequence_K.size))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-15, 15, width=32), min_size=3, max_size=3), st.sampled_from(["g", "m/s2"]), st.booleans())
def test_rounding_is_bounded_at_every_scale(peak: list[float], unit: str, is_late: bool) -> None:
    second_N = seconds(50, 120)
    x_CN = movement(second_N)
    x_CN[:, -1 if is_late else 0] = peak
    scale = G if unit == "m/s2" else 1
    made = read(text(x_CN * scale, iso(second_N), form="{:.7f}"))
    assert np.abs(values(made) - x_CN).max() < 0.000415
    assert np.abs(made.counts_CN).max() <= made.limit_counts


def test_values_beyond_any_device_are_impossible() -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    x_CN[1, 7000] = -40
    made = read(text(x_CN, iso(second_N)))
    assert np.flatnonzero(np.abs(made.counts_CN.astype(int)).max(0) > made.limit_counts).tolist() == [7000]
    assert np.abs(values(made)[0] - x_CN[0]).max() < 0.000415


def test_thousandths_of_g_lose_nothing() -> None:
    x_CN = np.random.default_rng(0).integers(-8000, 8001, (3, 5000)) / 1000
    x_CN[:, 1000:] = [[0.0], [0.0], [1.0]]
    made = read(text(x_CN, iso(seconds(50, 100)), form="{:.3f}"))
    assert np.abs(values(made) - x_CN).max() < 1e-12


HEADERS = {
    "time,x,y,z": (0, 1, 2, 3),
    "timestamp;Acc_X;Acc_Y;Acc_Z": (0, 1, 2, 3),
    "X,Y,Z,Time": (3, 0, 1, 2),
    "Timestamp,Accelerometer X,Accelerometer Y,Accelerometer Z": (0, 1, 2, 3),
    "time\tx-axis (g)\ty-axis (g)\tz-axis (g)": (0, 1, 2, 3),
    "HEADER_TIME,gyroX,gyroY,gyroZ,accelX,accelY,accelZ,t": (7, 4, 5, 6),
    "ax,ay,az,gx,gy,gz,unix_time": (6, 0, 1, 2),
    "index,time,x,y,z,temperature": (1, 2, 3, 4),
    "date,AccelerometerX [m/s^2],AccelerometerY [m/s^2],AccelerometerZ [m/s^2]": (0, 1, 2, 3),
}


@pytest.mark.parametrize("header", HEADERS)
def test_columns_are_found_by_their_names(header: str) -> None:
    delimiter = next(sign for sign in ";\t," if sign in header)
    time, *axes = HEADERS[header]
    names = header.split(delimiter)
    found = find_columns(names, len(names), TableSettings())
    assert (found.time, *found.axes) == (time, *axes)
    second_N = seconds(50, 60)
    columns = [np.full(second_N.size, 77.0).astype(str).tolist() for _ in names]
    columns[time] = iso(second_N)
    for axis, x_N in zip(axes, movement(second_N), strict=True):
        columns[axis] = x_N.astype(str).tolist()
    data = "\n".join([header, *(delimiter.join(row) for row in zip(*columns, strict=True)), ""]).encode()
    made = read(data)
    assert np.abs(values(made) - movement(second_N)).max() < 2 * MAX_ROUNDING_G


DOUBTFUL = {
    "gyroscope only": "time,gyro_x,gyro_y,gyro_z",
    "two sensors": "time,acc1_x,acc1_y,acc1_z,acc2_x,acc2_y,acc2_z",
    "gravity removed": "time,linear_acc_x,linear_acc_y,linear_acc_z",
    "no z": "time,x,y,speed",
    "two times": "time,timestamp,x,y,z",
    "counts of movement": "time,axis1,axis2,axis3",
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_ambiguous_columns_are_a_question(case: str) -> None:
    header = DOUBTFUL[case]
    second_N = seconds(50, 20)
    row = [iso(second_N), *[[f"{i}.5"] * second_N.size for i in range(header.count(","))]]
    data = "\n".join([header, *(",".join(cells) for cells in zip(*row, strict=True)), ""]).encode()
    for ask in (lambda: probe_bytes(data), lambda: decode(data, "a.csv")):
        with pytest.raises(UserError, match="--columns time=NAME"):
            ask()


def test_columns_given_by_the_user() -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    data = text(np.concatenate([x_CN[::-1], x_CN]), iso(second_N), "when,a,b,c,d,e,f")
    wanted = read(text(x_CN, iso(second_N))).counts_CN
    for columns in ("time=when,x=d,y=e,z=f", "time=1, x=5, y=6, z=7"):
        assert np.array_equal(read(data, TableSettings(columns=columns)).counts_CN, wanted)
    with pytest.raises(UserError, match=r"no time column.*--rate"):
        read(data, TableSettings(columns="x=d,y=e,z=f"))
    with pytest.raises(UserError, match="'nothing'; the columns are 'when', 'a'"):
        read(data, TableSettings(columns="x=nothing,y=e,z=f"))
    with pytest.raises(UserError, match="one column twice"):
        read(data, TableSettings(columns="x=d,y=d,z=f"))
    with pytest.raises(ValueError, match="expected time=NAME,x=NAME"):
        TableSettings(columns="x,y,z")


def test_gravity_gives_the_unit() -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    in_g, in_si = (read(text(x_CN * one, iso(second_N), form="{:.6f}")) for one in (1, G))
    assert np.abs(values(in_g) - values(in_si)).max() < 0.0006
    for one in (1, G):
        given = TableSettings(unit="g" if one != 1 else "m/s2")
        with pytest.raises(UserError, match=r"--unit states .* but at rest the table reads (1|9\.8)"):
            read(text(x_CN * one, iso(second_N)), given)


@pytest.mark.parametrize(
    ("scale", "reason"),
    [
        (3.0, "at rest the table reads 3. State --unit g, m/s2 or mg"),
        (0.02, "at rest the table reads 0.02. Gravity was removed"),
        (90, "at rest the table reads 90. State --unit g, m/s2 or mg"),
        (1000, "on average the table reads 1000. In mg gravity is 1000: state --unit mg"),
        (980.665, "on average the table reads 981. .* not in cm/s2"),
        (9806.65, "on average the table reads 98... These may be mm/s2"),
        (256, "on average the table reads 256. These may be counts of 256 per g: divide them"),
        (16384, "on average the table reads 163... These may be counts of 16384 per g"),
    ],
)
def test_an_ambiguous_unit_is_a_question(scale: float, reason: str) -> None:
    second_N = seconds(50)
    with pytest.raises(UserError, match=rf"in g or in m/s2.*{reason}"):
        read(text(movement(second_N) * scale, iso(second_N)))


@pytest.mark.parametrize(("scale", "table"), [(1.0, TableSettings()), (1000.0, TableSettings(unit="mg"))])
def test_one_large_value_hides_no_unit(scale: float, table: TableSettings) -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    x_CN[:, 700] = 1e6
    made = read(text(x_CN * scale, iso(second_N)), table)
    assert np.abs(values(made) - x_CN)[:, np.arange(second_N.size) != 700].max() < 0.001


def test_without_rest_the_user_is_believed() -> None:
    second_N = seconds(50)
    x_CN = 2.5 * np.stack([np.sin(9 * second_N), np.cos(7 * second_N), np.sin(5 * second_N)])
    data = text(x_CN, iso(second_N))
    with pytest.raises(UserError, match="hardly ever at rest"):
        read(data)
    assert np.abs(values(read(data, TableSettings(unit="g"))) - x_CN).max() < 2 * MAX_ROUNDING_G


@pytest.mark.parametrize("zeros", [0, 20, 50, 130])
def test_zeros_for_a_second_are_idle_sleep(zeros: int) -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    x_CN[:, 5010 : 5010 + zeros] = 0
    made = read(text(x_CN, iso(second_N)))
    slept = zeros if zeros >= 50 else 0
    assert made.samples == second_N.size - slept
    wanted_us = START.astype(np.int64) + np.array([[5010, 5010 + zeros]]) * 20_000
    assert made.idle_spans_us.tolist() == (wanted_us.tolist() if slept else [])
    kept_N = np.delete(np.arange(second_N.size), np.s_[5010 : 5010 + slept])
    assert np.abs(times(made) - second_N[kept_N]).max() < 0.001
    assert np.abs(values(made) - x_CN[:, kept_N]).max() < 2 * MAX_ROUNDING_G


def test_two_days_of_sleep_are_not_a_clock_that_was_set() -> None:
    second_N = seconds(2, 2.2 * 86_400)
    x_CN = np.zeros((3, second_N.size))
    x_CN[:, :3000], x_CN[:, -3000:] = movement(second_N[:3000]), movement(second_N[-3000:])
    made = read(text(x_CN, iso(second_N, 1), form="{:.3f}"))
    assert made.samples == 6000
    assert np.abs(times(made)[[0, -1]] - second_N[[0, -1]]).max() < 0.001


def test_rows_without_values_and_jumps_are_gaps() -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    rows = text(x_CN, iso(second_N)).splitlines()
    for i in range(3000, 3100):
        rows[i] = rows[i].split(b",")[0] + b",,NaN,"
    del rows[8000:8400]
    made = read(b"\n".join(rows) + b"\n")
    kept_N = np.delete(np.arange(second_N.size), [*range(3000, 3100), *range(8000, 8400)])
    assert np.abs(times(made) - second_N[kept_N]).max() < 0.001
    assert made.idle_spans_us.size == 0
    assert len(fit(made).first_G) == 3
    assert np.abs(values(made) - x_CN[:, kept_N]).max() < 2 * MAX_ROUNDING_G


def test_rows_before_the_first_stamp_are_not_placed() -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    stamps = ["" if 0 < i < 40 else stamp for i, stamp in enumerate(iso(second_N))]
    assert read(text(x_CN, stamps)).samples == second_N.size
    stamps[0] = "2124-03-04 10:00:00.000"
    made = read(text(x_CN, stamps))
    assert made.samples == second_N.size - 40
    assert np.abs(times(made) - second_N[40:]).max() < 0.001
    with pytest.raises(UserError, match="clock was never set"):
        read(text(x_CN, [stamp.replace("2024", "2124") for stamp in iso(second_N)]))


def test_damaged_rows_are_left_out_and_counted() -> None:
    second_N = seconds(50, 1200)
    rows = text(movement(second_N), iso(second_N)).splitlines()
    rows[500] = b"2024-03-04 10:00:10.000,0.1"
    rows[40_000] = b"2024-03-04 10:13:20.000,0.1x,0.2,0.3"
    rows[50_000] = b"2024-13-44 10:16:40.000,0.1,0.2,0.3"
    made = read(b"\n".join(rows) + b"\n2024-03-04 10:2")
    assert made.damaged_blocks == 4
    assert made.samples == second_N.size
    assert made.pace
    assert made.pace.lost_share * second_N.size == pytest.approx(3), "they are interpolated"
    assert np.abs(times(made) - second_N).max() < 0.001
    assert np.abs(values(made) - movement(second_N)).max() < 0.001


def test_a_rail_is_only_claimed_where_it_shows() -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    assert read(text(x_CN, iso(second_N))).rail_counts == 32_768
    clipped = np.clip(np.where(second_N // 60 % 2, 4 * x_CN, x_CN), -2.04, 2.04)
    made = read(text(clipped, iso(second_N)))
    assert made.rail_counts / 4000 == pytest.approx(2.04, abs=0.001)
    peak = x_CN.copy()
    peak[0, 77] = 2.0
    assert read(text(peak, iso(second_N))).rail_counts == 32_768


def test_commas_may_be_decimal() -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    wanted = read(text(x_CN, iso(second_N)))
    data = text(x_CN, iso(second_N), "Zeit/time;x;y;z".replace("Zeit/", ""), delimiter=";").replace(b".", b",")
    assert np.array_equal(read(data).counts_CN, wanted.counts_CN)
    spoiled = data.replace(b"\n", b"\nno;0,1x;0,2;0,3\n", 2)
    assert np.array_equal(read(spoiled).counts_CN, wanted.counts_CN)


def test_other_ways_of_writing_text() -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    data = text(x_CN, iso(second_N), "time,x,y,z")
    wanted = read(data)
    for other in (
        data.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + data,
        data[:-1],
        data.replace(b"time,x,y,z", "time,x (m/s²),y,z".encode("latin-1")),
        b"made by a program\n\n" + data,
        data.replace(b",", b"|"),
    ):
        found = read(other)
        assert np.array_equal(found.counts_CN, wanted.counts_CN)
        assert np.array_equal(found.stamp_us_K, wanted.stamp_us_K)


KINDS = {
    "instants": lambda us: pa.array(us, pa.timestamp("us")),
    "instants of a zone": lambda us: pa.array(us - 3_600_000_000, pa.timestamp("us", "Europe/Berlin")),
    "ms": lambda us: pa.array(us // 1000),
    "float seconds": lambda us: pa.array(us / 1e6),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["time", "__index_level_0__"])
def test_parquet(kind: str, name: str) -> None:
    second_N = seconds(50)
    x_CN = movement(second_N)
    us_N = START.astype(np.int64) + np.round(second_N * 1e6).astype(np.int64)
    columns = dict(zip("xyz", x_CN.astype(np.float32), strict=True)) | {
        name: KINDS[kind](us_N),
        "note": ["-"] * us_N.size,
    }
    data = parquet(columns, rows_a_group=4000)
    if name != "time" and "instants" not in kind:
        with pytest.raises(UserError, match="no time column"):
            read(data)
        return
    made = read(data)
    assert np.abs(times(made) - second_N).max() < 0.001
    assert np.abs(values(made) - x_CN).max() < 2 * MAX_ROUNDING_G
    assert np.array_equal(decode(gzip.compress(data), "a").counts_CN, made.counts_CN)


def test_parquet_without_acceleration() -> None:
    data = parquet({"time": pa.array([0, 1], pa.timestamp("us")), "x": ["a", "b"], "y": [1.0, 2], "z": [1.0, 2]})
    with pytest.raises(UserError, match="expected numbers in the column 'x', found string"):
        read(data)
    with pytest.raises(UserError, match="no column is clearly the acceleration along x"):
        read(parquet({"participant": ["a"], "start": [1], "end": [2]}))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.binary(max_size=12), st.sampled_from(["csv", "gz", "parquet"]))
def test_a_damaged_table_gives_rows_or_an_error(place: int, junk: bytes, kind: str) -> None:
    second_N = seconds(20, 60)
    data = text(movement(second_N), iso(second_N), "time,x,y,z")
    if kind == "parquet":
        data = parquet({"time": second_N + 1e9, **dict(zip("xyz", movement(second_N), strict=True))}, 500)
    data = gzip.compress(data) if kind == "gz" else data
    place %= len(data)
    for spoiled in (data[:place] + junk, data[:place] + junk + data[place + len(junk) :]):
        with suppress(UserError):
            assert probe_bytes(spoiled).nominal_rate_hz > 0
        with suppress(UserError):
            made = decode(spoiled, "a.csv")
            check_arrays(made)
            assert made.samples > 0
