"""Recordings cut into files and joined again: what is read is the uncut recording; what is not one is refused."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.devices.joined import Span, in_order, join, join_probes
from ingest.devices.registry import Part, decode, decode_parts, probe
from ingest.process import process
from ingest.recording import Recording
from ingest.settings import SignalSettings, TableSettings
from ingest.simulate.population import Kind
from ingest.simulate.recording import SUFFIX, simulate_recording
from pipeline.errors import UserError
from tests.ingest import made
from tests.ingest.devices.tables import START, epoch, iso, movement, parquet, seconds, text
from tests.ingest.parts import CUT, cut_table

ANYWHERE = SignalSettings(any_location=True)
RATE_HZ = 50.0


def joined(
    parts: Sequence[bytes],
    table: TableSettings = TableSettings(),  # noqa: B008
    names: Sequence[str] = (),
    seed: int = 0,
) -> Recording:
    """The recording in the parts, which are given in a random order."""
    order = random.Random(seed).sample(range(len(parts)), len(parts))
    given = [
        Part(f"part{number}", names[number] if names else "a.csv", partial(parts.__getitem__, number))
        for number in order
    ]
    return decode_parts(given, table)


def assert_same_days(found: Recording, wanted: Recording, off: int = 0) -> None:
    """Days, states and values are those of the other recording; values may be off by some counts."""
    days, wanted_days = (list(process(recording, ANYWHERE).days()) for recording in (found, wanted))
    assert len(days) == len(wanted_days) > 0
    for (date, day, row), (wanted_date, wanted_day, wanted_row) in zip(days, wanted_days, strict=True):
        assert date == wanted_date
        np.testing.assert_allclose(day.signal_CT, wanted_day.signal_CT, rtol=0, atol=off)
        np.testing.assert_array_equal(day.state_S, wanted_day.state_S)
        if not off:
            assert row == wanted_row


def assert_same_recording(found: Recording, wanted: Recording, off: int = 0) -> None:
    """All of what was read is equal, but for rounding in means, flags that a device never sets, and our own numbers of
    blocks; samples may be off by some counts."""
    for field in fields(Recording):
        value, other = getattr(found, field.name), getattr(wanted, field.name)
        if field.name == "extras":
            assert value == pytest.approx(other, rel=1e-12)
        elif field.name == "resumed_K":
            np.testing.assert_array_equal(np.flatnonzero(value), np.flatnonzero(other))
        elif field.name == "counts_CN":
            np.testing.assert_allclose(value, other, rtol=0, atol=off)
        elif field.name == "sequence_K" and not wanted.is_counted:
            assert (np.diff(value) > 0).all()
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other, err_msg=field.name)
        elif field.name != "pace":
            assert value == other, field.name


@pytest.fixture(scope="module")
def device_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """An hour and a half by each device, across a midnight; the ActiGraph sleeps while it is put away."""
    folder = tmp_path_factory.mktemp("devices")
    script = [("walking", 900), ("non-wear", 1800), ("sitting", 1800), ("walking", 900)]
    start = np.datetime64("2024-05-06T23:20:00")
    files = {}
    kinds: tuple[Kind, ...] = ("axivity", "actigraph", "geneactiv")
    for kind in kinds:
        path = folder / f"one{SUFFIX[kind]}"
        simulate_recording(path, 0, 1, script=script, start=start, kind=kind, idle_sleep=kind == "actigraph" or None)
        files[SUFFIX[kind]] = path.read_bytes()
    return files


@pytest.mark.parametrize("suffix", sorted(CUT))
@pytest.mark.parametrize("parts", [2, 7])
def test_a_device_file_cut_between_blocks_is_read_as_the_uncut_one(
    device_files: dict[str, bytes], suffix: str, parts: int
) -> None:
    wanted = decode(device_files[suffix], f"a{suffix}")
    found = joined(CUT[suffix](device_files[suffix], parts), names=[f"a{suffix}"] * parts)
    assert_same_recording(found, wanted)
    assert_same_days(found, wanted)


@pytest.mark.parametrize("suffix", [".bin", ".cwa"])  # an info.txt states the end of the uncut .gt3x
def test_the_probe_of_parts_covers_the_recording(device_files: dict[str, bytes], suffix: str) -> None:
    files = [device_files[suffix], *CUT[suffix](device_files[suffix], 3)]
    uncut, *parts = (probe(io.BytesIO(data), f"a{suffix}", len(data)) for data in files)
    of_parts = join_probes(["c", "a", "b"], [parts[2], parts[0], parts[1]])
    assert of_parts.serial == uncut.serial
    assert of_parts.days == uncut.days
    assert of_parts.samples >= decode(device_files[suffix], f"a{suffix}").samples


def test_compressed_parts_are_joined(device_files: dict[str, bytes]) -> None:
    parts = CUT[".cwa"](device_files[".cwa"], 3)
    packed = [gzip.compress(parts[0], 1), parts[1], gzip.compress(parts[2], 1)]
    found = joined(packed, names=["a.cwa.gz", "a.cwa", "a.cwa.gz"])
    assert_same_recording(found, decode(device_files[".cwa"], "a.cwa"))


STAMPS = {
    "milliseconds": lambda second_N: iso(second_N),
    "full seconds": lambda second_N: iso(np.floor(second_N), 0),
    "UTC": lambda second_N: iso(second_N, zone="Z"),
    "numbers": lambda second_N: epoch(second_N, 0.001),
}


@settings(max_examples=40)
@given(data=st.data())
def test_a_table_cut_anywhere_is_read_as_the_uncut_one(data: st.DataObject) -> None:
    """Whatever the stamps, also where rows are lost, stamps scatter and there is a pause; a part may have one row."""
    second_N = seconds(RATE_HZ, 400)
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    kind = data.draw(st.sampled_from(sorted(STAMPS)))
    stamp_N = second_N.copy()
    kept_N = np.ones(second_N.size, dtype=bool)
    if kind != "full seconds" and data.draw(st.booleans()):
        stamp_N = np.maximum.accumulate(second_N + 0.3 / RATE_HZ * rng.standard_normal(second_N.size))
        kept_N = rng.random(second_N.size) > data.draw(st.sampled_from([0, 0.02]))
    if data.draw(st.booleans()):
        kept_N &= ~((second_N > 150) & (second_N < 185))
    one, off = data.draw(st.sampled_from([(1, 0), (9.80665, 2)]))  # large values are rounded twice, then interpolated
    x_CN = movement(second_N) * one
    rows = text(x_CN[:, kept_N], STAMPS[kind](stamp_N[kept_N]), "time,x,y,z")
    cuts = data.draw(st.lists(st.integers(2_000, kept_N.sum() - 1), min_size=1, max_size=6, unique=True))
    parts = cut_table(rows, sorted(cuts))
    wanted, found = decode(rows, "a.csv"), joined(parts, seed=data.draw(st.integers(0, 99)))
    assert_same_recording(found, wanted, off)
    assert (found.pace is None) == (wanted.pace is None)
    assert_same_days(found, wanted, off)


def test_an_hour_of_large_values_or_without_rest_takes_scale_and_unit_from_the_others() -> None:
    second_N = seconds(RATE_HZ, 600)
    x_CN = movement(second_N)
    x_CN[:, second_N >= 400] = 3 * np.sin(2 * np.pi * np.arange(1, 4)[:, None] * second_N[second_N >= 400])
    x_CN[0, 450 * 50] = 12
    rows = text(x_CN * 9.80665, iso(second_N), "time,x,y,z")
    parts = cut_table(rows, [200 * 50, 400 * 50])
    with pytest.raises(UserError, match="g or in m/s2"):
        decode(parts[2], "a.csv")
    assert_same_days(joined(parts), decode(rows, "a.csv"), off=1)


def test_parquet_and_csv_parts_are_joined() -> None:
    second_N = seconds(RATE_HZ, 300)
    x_CN = np.round(movement(second_N), 4)
    rows = text(x_CN, iso(second_N), "time,x,y,z")
    first, last = cut_table(rows, [100 * 50])
    later_N = second_N >= 100
    stamp_N = START + np.round(second_N * 1e6).astype("timedelta64[us]")
    table = parquet({"time": stamp_N[later_N]} | {name: x_CN[axis, later_N] for axis, name in enumerate("xyz")})
    wanted = joined([first, last])
    assert_same_recording(joined([first, table]), wanted)


def export(start: str, x_CN: NDArray[np.float64], serial: str = "MOS2D12345678") -> bytes:
    """ActiGraph's export: its header, and rows without stamps."""
    date, time = start.split()
    lines = [
        "------------ Data File Created By ActiGraph wGT3X-BT ActiLife v6.13.3 Firmware v1.9.2 date format M/d/yyyy at "
        "30 Hz  Filter Normal -----------",
        f"Serial Number: {serial}",
        f"Start Time {time}",
        f"Start Date {date}",
        "Epoch Period (hh:mm:ss) 00:00:00",
        "Download Time 12:00:00",
        "Download Date 6/1/2024",
        "Current Memory Address: 0",
        "Current Battery Voltage: 4.07     Mode = 12",
        "--------------------------------------------------",
        "Accelerometer X,Accelerometer Y,Accelerometer Z",
    ]
    return "\r\n".join([*lines, *(f"{x:.3f},{y:.3f},{z:.3f}" for x, y, z in x_CN.T.tolist()), ""]).encode()


def test_exports_begin_at_the_start_of_their_headers() -> None:
    x_CN = movement(seconds(30, 120))
    x_CN = x_CN + 0.01 * np.random.default_rng(1).standard_normal(x_CN.shape)
    parts = [export("5/6/2024 10:00:00", x_CN), export("5/6/2024 10:02:00", x_CN), export("5/6/2024 10:10:00", x_CN)]
    found = process(joined(parts), ANYWHERE)
    assert found.figures.serial == "MOS2D12345678"
    assert found.figures.measured_hours == pytest.approx(360 / 3600, abs=2 / 3600)
    assert found.figures.gap_total_s == pytest.approx(360, abs=1)
    with pytest.raises(UserError, match="different serial numbers: they are of two devices"):
        joined([parts[0], export("5/6/2024 10:02:00", x_CN, "MOS2D87654321")])


def hours(*begins_s: float, length_s: float = 120, factor: float = 1.0) -> list[bytes]:
    """Tables that begin at some seconds."""
    second_N = seconds(RATE_HZ, length_s)
    return [text(movement(second_N + begin_s) * factor, iso(second_N + begin_s), "time,x,y,z") for begin_s in begins_s]


def test_a_pause_between_parts_is_a_gap() -> None:
    figures = process(joined(hours(0, 120, 300)), ANYWHERE).figures
    assert figures.gaps == 1
    assert figures.gap_total_s == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (hours(0, 100), r"part0 and part1 overlap by 20\.0 s: they are of two recordings, or the clock was set back"),
        (hours(0, 120, 120), "part1 and part2|part2 and part1"),
        (hours(0, 120, 120), "have the same samples: one file twice"),
        ([*hours(0), *hours(120, factor=9.80665)], r"have different units \((g and m/s2|m/s2 and g)\)"),
        ([*hours(0), text(movement(seconds(50, 60)), header="x,y,z")], "have different kinds of stamps"),
        ([*hours(0), text(movement(seconds(50, 60)), iso(seconds(50, 60), zone="Z"), "t,x,y,z")], "kinds of stamps"),
        ([*hours(0), b"time,x,y,z\n"], "its part part1: expected rows of numbers"),
        (
            [
                *hours(0),
                text(movement(seconds(50, 60)), epoch(seconds(50, 60), 0.001, np.datetime64(0, "us")), "t,x,y,z"),
            ],
            "count from another time",
        ),
    ],
)
def test_tables_that_are_not_one_recording_are_refused(parts: list[bytes], message: str) -> None:
    with pytest.raises(UserError, match=message):
        joined(parts)


def test_tables_without_times_are_not_joined() -> None:
    rows = text(movement(seconds(50, 60)), header="x,y,z")
    with pytest.raises(UserError, match=r"its part part[01]: it has no times"):
        joined([rows, rows], TableSettings(rate_hz=50))


def test_tables_and_device_files_are_not_joined(device_files: dict[str, bytes]) -> None:
    with pytest.raises(UserError, match="1 of its 2 parts are tables, others are of a device"):
        joined([*hours(0), device_files[".cwa"]], names=["a.csv", "b.cwa"])


def minutes(count: int, **more: Any) -> list[Recording]:
    """Recordings of ten minutes, one after the other."""
    starts = (made.START + np.timedelta64(number, "m") * 10 for number in range(count))
    return [made.recording(600, 100.0, start=start, signal=movement, **more)[0] for start in starts]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"serial": "2"}, "parts a and b have different serial numbers: they are of two devices. Join only"),
        ({"device": "AX6"}, r"different kinds of device \(AX3 and AX6\)"),
        ({"nominal_rate_hz": 50.0}, r"different rates in Hz \(100\.0 and 50\.0\)"),
        ({"g_per_count_C": np.full(3, 1 / 512)}, "different scales"),
        ({"offset_g_C": np.full(3, 0.1)}, "different offsets"),
        ({"rail_counts": 1000}, "different ranges"),
        ({"origin": "boot"}, "different origins of time"),
        ({"stamped_K": np.zeros(500, dtype=bool)}, "its part b has no calendar times"),
    ],
)
def test_parts_of_other_devices_rates_and_scales_are_refused(change: dict[str, Any], message: str) -> None:
    first, second = minutes(2)
    with pytest.raises(UserError, match=message):
        join(["a", "b"], [first, replace(second, **change)])


def test_what_only_one_part_states_is_kept() -> None:
    first, second = minutes(2)
    found = join(["a", "b"], [replace(second, location="left wrist", clock="utc"), first])
    assert (found.location, found.clock) == ("left wrist", "utc")
    with pytest.raises(UserError, match="different places on the body"):
        join(["a", "b"], [replace(second, location="left wrist"), replace(first, location="right wrist")])


def test_a_device_that_counts_from_0_in_each_file_continues_in_time() -> None:
    parts = minutes(3)
    wanted = process(made.recording(1800, 100.0, signal=movement)[0], ANYWHERE)
    found = process(join(list("abc"), parts), ANYWHERE)
    assert found.figures.gaps == 0
    assert found.figures.measured_hours == pytest.approx(wanted.figures.measured_hours, abs=1 / 3600)


def test_a_long_pause_is_a_gap_where_blocks_are_numbered() -> None:
    first, _ = made.recording(600, 100.0)
    second, _ = made.recording(600, 100.0, start=made.START + np.timedelta64(3, "D"))
    figures = process(join(["a", "b"], [second, first]), ANYWHERE).figures
    assert figures.gap_total_s == pytest.approx(3 * 86_400 - 600, abs=2)
    assert figures.backward_blocks == 0


def test_overlapping_and_repeated_parts_are_refused() -> None:
    first, second = minutes(2)
    early = replace(second, stamp_us_K=second.stamp_us_K - 60_000_000)
    with pytest.raises(UserError, match=r"its parts a and b overlap by 6\d\.\d s"):
        join(["a", "b"], [first, early])
    with pytest.raises(UserError, match=r"its parts b and c have the same samples: one file twice\. Leave out one"):
        join(["a", "b", "c"], [first, second, replace(second)])


def test_stray_stamps_at_the_ends_of_parts_do_not_decide_their_order() -> None:
    first, second = minutes(2)
    stamps = first.stamp_us_K.copy()
    stamps[-1] += 86_400_000_000 * 30
    found = join(["a", "b"], [second, replace(first, stamp_us_K=stamps)])
    assert found.stamp_us_K[0] == first.stamp_us_K[0]


def test_figures_of_a_device_are_joined_by_their_names() -> None:
    first, second = minutes(2)
    some: dict[str, float | str] = {
        "presses": 1,
        "light_mean_lux": 10.0,
        "light_max_lux": 20.0,
        "mode": "a",
        "note": "x",
    }
    other: dict[str, float | str] = {
        "presses": 2,
        "light_mean_lux": 40.0,
        "light_max_lux": 15.0,
        "mode": "a",
        "note": "y",
    }
    found = join(["a", "b"], [replace(first, extras=some), replace(second, extras=other)])
    assert found.extras == {"presses": 3, "light_mean_lux": 25.0, "light_max_lux": 20.0, "mode": "a"}


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 3_000)), min_size=1, max_size=12))
def test_spans_are_ordered_or_refused(some: list[tuple[int, int]]) -> None:
    spans = [Span(f"{n}", begin * 1_000_000, (begin + length) * 1_000_000) for n, (begin, length) in enumerate(some)]
    overlap = any(
        min(a.end_us, b.end_us) - max(a.begin_us, b.begin_us) > 1_000_000
        for n, a in enumerate(spans)
        for b in spans[n + 1 :]
    )
    if overlap:
        with pytest.raises(UserError, match="overlap by"):
            in_order(spans)
    else:
        order = in_order(spans)
        begins = [spans[place].begin_us for place in order]
        assert sorted(order) == list(range(len(spans)))
        assert begins == sorted(begins)


def test_real_recordings_cut_and_joined_are_the_uncut_ones(real_data: Path) -> None:
    """One of each device, cut where no record ends a file of the vendor's own."""
    found = 0
    for suffix, cut in CUT.items():
        paths = sorted(real_data.rglob(f"*{suffix}"), key=lambda path: path.stat().st_size)
        for path in paths[:1]:
            data = path.read_bytes()
            try:
                parts = cut(data, 4)
            except KeyError:  # an archive without log.bin
                continue
            assert_same_recording(joined(parts, names=[path.name] * 4), decode(data, path.name))
            found += 1
    assert found
