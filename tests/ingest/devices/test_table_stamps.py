"""Stamps of tables that are text: every form gives the times of Python's own strptime, or a question with an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.table.stamp_forms import find_form, forms_of
from ingest.devices.table.text_times import NO_TIME, parse_times
from ingest.settings import TableSettings
from pipeline.errors import UserError
from tests.ingest.devices.tables import START, epoch, iso, movement, parquet, probe_bytes, read, seconds, text, times
from tests.ingest.devices.test_table_exports import VENDOR

SECOND_N = seconds(50, 120)
STAMPS = iso(SECOND_N)
MOVED_CN = movement(SECOND_N)
HEADER = "time,x,y,z"
UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def stamps(form: str, second_N: object = SECOND_N) -> list[str]:
    """Return the stamps in a strptime form; milliseconds for %f, and the Buddhist year for %E."""
    found = []
    for second in np.asarray(second_N).tolist():
        time = START.astype(object) + timedelta(seconds=round(second, 6))
        year = form.replace("%E", str(time.year + 543)).replace("%f", f"{time.microsecond // 1000:03d}")
        found.append(time.strftime(year))
    return found


def check(data: bytes, given: TableSettings = TableSettings()) -> None:  # noqa: B008
    made = read(data, given)
    assert (made.samples, made.damaged_blocks) == (SECOND_N.size, 0)
    assert np.abs(times(made) - SECOND_N).max() < 0.002


FORMS = [
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%d/%m/%Y %I:%M:%S.%f %p",
    "%m/%d/%y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S.%f",
    "%a %b %d %H:%M:%S %Y",
    "%A, %B %d, %Y %I:%M:%S %p",
    "%Y%m%d%H%M%S.%f",
    "%Y-%jT%H:%M:%S",
    "%F %T",
    "%D %R",
]


@settings(max_examples=150, deadline=None)
@given(
    st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31)),
    st.sampled_from(FORMS),
    st.integers(-12 * 60, 14 * 60),
)
def test_times_are_those_of_strptime(time: datetime, form: str, ahead: int) -> None:
    expanded = form.replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S").replace("%D", "%m/%d/%y").replace("%R", "%H:%M")
    zone = f"{'-' if ahead < 0 else '+'}{abs(ahead) // 60:02d}:{abs(ahead) % 60:02d}"
    stamp = time.strftime(expanded.replace("%Y", f"{time.year:04d}").replace("%z", zone))
    wanted = datetime.strptime(stamp, expanded)
    wanted = wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC)
    found = parse_times(pa.array([f" {stamp} ", None, stamp + "x"]), form)
    assert found.tolist() == [(wanted - UNIX) // timedelta(microseconds=1) * 1000, NO_TIME, NO_TIME]


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-02-30 10:00:00",
        "2023-02-29 10:00:00",
        "2024-04-31 10:00:00",
        "2024-13-01 10:00:00",
        "2024-03-04 24:00:00",
        "2024-03-04 10:60:00",
        "2024-03-04 10:00:60",
        "2024-03-04",
        "24-03-04 10:00:00",
        "",
    ],
)
def test_what_is_no_time_has_none(stamp: str) -> None:
    assert parse_times(pa.array([stamp]), "%Y-%m-%d %H:%M:%S.%f").tolist() == [NO_TIME]


def test_a_fraction_may_be_missing() -> None:
    found = parse_times(pa.array(["2024-03-04 10:00:00", "2024-03-04 10:00:00.5"]), "%Y-%m-%d %H:%M:%S.%f")
    assert np.diff(found).tolist() == [500_000_000]


@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%d %H:%M:%S.%f",
        "%Y/%m/%d %H:%M:%S.%f",
        "%Y-%m-%d %H:%M:%S,%f",
        "%Y-%m-%dT%H.%M.%S.%f",
        "%d-%b-%Y %I:%M:%S.%f %p",
        "%a %b %d %H:%M:%S.%f %Y",
        "%B %d, %Y %I:%M:%S.%f%p",
        "%Y%m%d%H%M%S.%f",
        "%Y%m%d%H%M%S%f",
        "%Y%m%d %H:%M:%S.%f",
        "%Y%m%dT%H%M%S.%f",
        "%Y-%j %H:%M:%S.%f",
        "%E-%m-%d %H:%M:%S.%f",
        "%Y-%m-%d %H:%M:%S.%f UTC",
    ],
)
def test_forms_with_one_reading_are_read(form: str) -> None:
    check(text(MOVED_CN, [f'"{stamp}"' for stamp in stamps(form)], HEADER))


@pytest.mark.parametrize(
    ("form", "dayfirst"),
    [
        ("%d/%m/%Y %I:%M:%S.%f %p", True),
        ("%m/%d/%Y %I:%M:%S.%f %p", False),
        ("%d/%m/%y %H:%M:%S.%f", True),
        ("%m-%d-%y %H:%M:%S.%f", False),
        ("%d/%m/%E %H:%M:%S.%f", True),
        ("%H:%M:%S.%f %d.%m.%Y", True),
    ],
)
def test_dates_with_several_readings_are_asked_about(form: str, dayfirst: bool) -> None:
    data = text(MOVED_CN, stamps(form), HEADER)
    with pytest.raises(UserError, match=r"--dayfirst or --no-dayfirst"):
        read(data)
    check(data, TableSettings(dayfirst=dayfirst))


def test_years_of_two_digits_may_come_first() -> None:
    data = text(MOVED_CN, stamps("%y/%m/%d %H:%M:%S.%f"), HEADER)
    with pytest.raises(UserError, match=r"of 24/03/04\? State --dayfirst or --time-format '%y/%m/%d %H:%M:%S.%f'"):
        read(data)
    check(data, TableSettings(time_format="%y/%m/%d %H:%M:%S.%f"))


def test_a_flag_that_the_dates_contradict_is_refused() -> None:
    data = text(MOVED_CN, [stamp.replace("04/03", "25/03") for stamp in stamps("%d/%m/%Y %H:%M:%S.%f")], HEADER)
    assert read(data).samples == SECOND_N.size
    with pytest.raises(UserError, match="--no-dayfirst does not fit the dates"):
        read(data, TableSettings(dayfirst=False))


@pytest.mark.parametrize(
    "form", ["%d.%m.%y_%Hh%M_%S.%f", "%j/%Y %H:%M:%S.%f", "%Y-%d-%m %H:%M:%S.%f", "%d%m%Y %H%M%S.%f"]
)
def test_a_format_of_the_user_is_obeyed(form: str) -> None:
    check(text(MOVED_CN, stamps(form), HEADER), TableSettings(time_format=form))


def test_a_format_that_does_not_fit_is_refused() -> None:
    given = TableSettings(time_format="%d/%m/%y %H:%M:%S.%f")
    with pytest.raises(UserError, match=r"'99/99/9999 99:99:99.999'\. --time-format '%d/%m/%Y %H:%M:%S.%f' fits"):
        read(text(MOVED_CN, stamps("%d/%m/%Y %H:%M:%S.%f"), HEADER), given)
    with pytest.raises(UserError, match="does not fit the time column"):
        read(text(MOVED_CN, epoch(SECOND_N, 1), HEADER), given)
    with pytest.raises(UserError, match="--time-format is given, but the table has no column"):
        read(text(MOVED_CN, header="x,y,z"), TableSettings(time_format=given.time_format, rate_hz=50))
    instants = pa.array(START.astype(np.int64) + np.rint(SECOND_N * 1e6).astype(np.int64), pa.timestamp("us"))
    with pytest.raises(UserError, match="time column that holds instants"):
        read(parquet({"time": instants, **dict(zip("xyz", MOVED_CN, strict=True))}), given)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("%Y-%m-%d", "for the hour"),
        ("%H:%M:%S", "for the year"),
        ("%Y-%m-%d %I:%M:%S", "%I and %p"),
        ("%Y-%m-%d %H:%M:%S %Q", "found %Q"),
        ("%d/%d/%Y %H:%M", "for the month, found 0"),
        ("%Y-%m-%d %H:%M:%S %", "found %"),
    ],
)
def test_impossible_formats_are_refused(form: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"--time-format: .*{reason}"):
        TableSettings(time_format=form)


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        ("yesterday", r"found 'aaaaaaaaa'.*--time-format '%d"),
        ("10:00:00.020", r"no date, found '99:99:99.999'.*column of the date `date`"),
        ("00:12.5", "no date"),
        ("1403-02-31 10:00:00", "form %Y-%m-%d %H:%M:%S.%f, but are no dates"),
        ("04-Mär-2024 10:00:00", r"found '99-aaa-9999 99:99:99'"),
    ],
)
def test_stamps_that_are_not_understood_are_shown_by_their_shape(stamp: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read(text(MOVED_CN, [stamp] * SECOND_N.size, HEADER))


@pytest.mark.parametrize("stamp", ["1.71E+12", "1,7E+12"])
def test_numbers_that_a_spreadsheet_rounded_are_refused(stamp: str) -> None:
    with pytest.raises(UserError, match="rounded, as spreadsheets"):
        read(text(MOVED_CN, [f'"{stamp}"'] * SECOND_N.size, HEADER))


def test_a_date_that_does_not_exist_costs_its_own_row_only() -> None:
    found = [*STAMPS]
    found[3000] = found[3000].replace("2024-03-04", "2024-02-30")
    made = read(text(MOVED_CN, found, HEADER))
    assert made.damaged_blocks == 1
    assert made.samples == SECOND_N.size
    assert np.abs(times(made) - SECOND_N).max() < 0.002


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S.%f", "%d-%b-%Y %I:%M:%S.%f %p"])
def test_rows_of_another_form_are_counted_in_every_batch(form: str) -> None:
    second_N = seconds(50, 1500)  # more than a batch
    found = stamps(form, second_N)
    for i in (100, 40_000, 74_000):
        found[i] = "1/2/3"
    made = read(text(movement(second_N), found, HEADER))
    assert made.damaged_blocks == 3
    assert np.abs(times(made) - second_N).max() < 0.002


def test_values_after_the_last_stamp_are_left_out() -> None:
    data = text(MOVED_CN, STAMPS, HEADER) + b"Mean,0.1,0.2,0.9\n,0.3,0.3,0.3\nrows: 6000\n"
    made = read(data)
    assert (made.samples, made.damaged_blocks) == (SECOND_N.size, 3)


@pytest.mark.parametrize(("date", "form"), [("4/3/2567", "d/M/yyyy"), ("3/4/24", "M/d/yy"), ("24/3/4", "yy/M/d")])
def test_an_actigraph_export_states_the_order_of_its_stamps(date: str, form: str) -> None:
    second_N = seconds(30, 120)
    rows = text(movement(second_N), [f"{date} {stamp[11:]}" for stamp in iso(second_N)], "Timestamp,X,Y,Z")
    if form.startswith("yy/"):
        rows = rows.replace(b"24/3/4", b"24/03/04")
    made = read(VENDOR.format(form=form, date=date).encode() + rows)
    assert np.abs(times(made) - second_N).max() < 0.001


@pytest.mark.parametrize("name", ["HEADER_TIMESTAMP", "HEADER_TIME", "timestamp", "Date", "time (UTC)"])
def test_the_time_column_is_found_by_its_name(name: str) -> None:
    check(text(MOVED_CN, STAMPS, f"{name},X,Y,Z"))


KINDS = {
    "text": pa.array(STAMPS),
    "text with a zone": pa.array([f"{stamp}+02:00" for stamp in STAMPS]),
    "large text": pa.array(stamps("%d-%b-%Y %I:%M:%S.%f %p"), pa.large_string()),
    "dictionary": pa.array(STAMPS).dictionary_encode(),
    "one number": pa.array([int(stamp) for stamp in stamps("%Y%m%d%H%M%S%f")]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_stamps_of_parquet_tables(kind: str) -> None:
    check(parquet({"time": KINDS[kind], **dict(zip("xyz", MOVED_CN, strict=True))}, 4000))


def test_instants_that_no_recorder_stamps_are_not_wrapped_around() -> None:
    us_N = START.astype(np.int64) + 543 * 31_557_600_000_000 + np.rint(SECOND_N * 1e6).astype(np.int64)
    data = parquet({"time": pa.array(us_N, pa.timestamp("us")), **dict(zip("xyz", MOVED_CN, strict=True))})
    with pytest.raises(UserError, match="from 1970 to 2100"):
        read(data)


PARTS = st.sampled_from(
    ["20240304", "2024", "064", "3", "4", "24", "10:00:00", "10.00.00", "Mar", "Mon", "PM", "Z", "%"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.lists(st.one_of(PARTS, st.sampled_from("/-. T,")), max_size=12).map("".join),
            st.text("0123456789/:-. TZapm+,%", max_size=30),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_has_a_form_or_is_a_question(texts: list[str]) -> None:
    for table in (TableSettings(), TableSettings(dayfirst=True), TableSettings(time_format="%d/%m/%y %H:%M:%S.%f")):
        try:
            form = find_form(texts, table)
        except UserError:
            continue
        assert 2 * (parse_times(pa.array(texts), form) != NO_TIME).sum() >= len(texts)


def test_the_probe_bounds_samples_of_which_many_are_interpolated() -> None:
    kept_N = np.random.default_rng(1).random(SECOND_N.size) > 0.3
    us_N = START.astype(np.int64) + np.rint(SECOND_N[kept_N] * 1e6).astype(np.int64)
    axes = dict(zip("xyz", MOVED_CN[:, kept_N], strict=True))
    made = read(parquet({"time": pa.array(us_N, pa.timestamp("us")), **axes}))
    assert made.samples > 1.3 * kept_N.sum()


def test_the_forms_of_a_stamp() -> None:
    assert forms_of("3/4/2024 1:00:00 PM") == ["%d/%m/%Y %I:%M:%S.%f %p", "%m/%d/%Y %I:%M:%S.%f %p"]
    assert forms_of("10:00:00") == []
    assert find_form(["", "2024-03-04T10:00"], TableSettings()) == "%Y-%m-%dT%H:%M"
    assert probe_bytes(text(MOVED_CN, STAMPS, HEADER)).samples >= SECOND_N.size
