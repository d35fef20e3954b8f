"""Forms of tables from other programs: dates, headers, units, several sensors in one table."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.process import process
from ingest.settings import SignalSettings, TableSettings
from pipeline.errors import UserError
from tests.ingest.devices.tables import START, iso, movement, read, seconds, text, times, values
from tests.ingest.devices.test_table_exports import VENDOR

RATE_HZ = 50
SECOND_N = seconds(RATE_HZ, 120)
HEADER = "time,x,y,z"
STAMPS = iso(SECOND_N)


def moved(form: str) -> list[str]:
    """Return the stamps with their date in another form."""
    return [f"{form.format('2024', '03', '04')} {stamp[11:]}" for stamp in STAMPS]


def check(data: bytes, settings: TableSettings = TableSettings()) -> None:  # noqa: B008
    made = read(data, settings)
    assert made.samples == SECOND_N.size
    assert np.abs(times(made) - SECOND_N).max() < 0.002
    assert np.abs(values(made) - movement(SECOND_N)).max() < 0.001


@pytest.mark.parametrize(
    ("form", "dayfirst"), [("{2}/{1}/{0}", True), ("{1}/{2}/{0}", False), ("{2}.{1}.{0}", True), ("4/3/{0}", True)]
)
def test_dates_with_two_readings_are_asked_about(form: str, dayfirst: bool) -> None:
    data = text(movement(SECOND_N), moved(form), HEADER)
    with pytest.raises(UserError, match="--dayfirst or --no-dayfirst"):
        read(data)
    check(data, TableSettings(dayfirst=dayfirst))


def test_milliseconds_after_a_colon() -> None:
    check(text(movement(SECOND_N), [stamp.replace(".", ":") for stamp in STAMPS], HEADER))


def test_compact_dates() -> None:
    check(text(movement(SECOND_N), [stamp.replace("-", "").replace(" ", "T") for stamp in STAMPS], HEADER))


@pytest.mark.parametrize("epoch", ["1899-12-30", "excel as text", "matlab"])
def test_serial_days_of_spreadsheets_and_matlab(epoch: str) -> None:
    days = START.astype(np.int64) / 86_400e6 + SECOND_N / 86_400 + (719_529 if epoch == "matlab" else 25_569)
    digits = 9 if epoch == "excel as text" else 12
    check(text(movement(SECOND_N), [f"{day:.{digits}f}" for day in days], HEADER))


def test_a_row_of_units_and_a_last_comma() -> None:
    rows = text(movement(SECOND_N), STAMPS, delimiter="\t").decode().splitlines()
    header = [
        "\t".join(f"Shimmer_B6_{name}_CAL" for name in ("Timestamp", "Accel_LN_X", "Accel_LN_Y", "Accel_LN_Z")) + "\t",
        "ms\tm/(s^2)\tm/(s^2)\tm/(s^2)\t",
    ]
    check("\n".join([*header, *(row + "\t" for row in rows), ""]).encode())
    rows = text(movement(SECOND_N), STAMPS).decode().splitlines()
    check("\n".join([HEADER, *(row + "," for row in rows), ""]).encode())


def test_values_in_mg() -> None:
    data = text(1000 * movement(SECOND_N), STAMPS, HEADER)
    with pytest.raises(UserError, match="state --unit mg"):
        read(data)
    check(data, TableSettings(unit="mg"))


def test_a_unit_that_is_far_off_is_refused_without_rest() -> None:
    x_CN = movement(SECOND_N)
    x_CN[2] = np.random.default_rng(1).normal(33, 10, SECOND_N.size)
    with pytest.raises(UserError, match="--unit states g, but on average"):
        read(text(x_CN, STAMPS, HEADER), TableSettings(unit="g"))


def test_decimal_commas_after_rows_of_zeros() -> None:
    x_CN = movement(SECOND_N)
    x_CN[:, :2000] = 0
    rows = [
        f"{stamp};" + ";".join(f"{value:.4f}".replace(".", ",") if any(axes) else "0" for value in axes)
        for stamp, axes in zip(STAMPS, x_CN.T.tolist(), strict=True)
    ]
    made = read("\n".join(["time;x;y;z", *rows, ""]).encode())
    assert np.abs(values(made) - x_CN[:, 2000:]).max() < 0.001


def test_two_sensors_in_one_table_are_a_question() -> None:
    x_CN = movement(SECOND_N)
    both = []
    for stamp, *axes in zip(STAMPS, *x_CN, strict=True):
        x, y, z = (f"{axis:.4f}" for axis in axes)
        both += [f"{stamp},left,{x},{y},{z}", f"{stamp},right,{z},{x},{y}"]
    data = "\n".join(["time,location,x,y,z", *both, ""]).encode()
    with pytest.raises(UserError, match="--where-column location=VALUE"):
        read(data)
    check(data, TableSettings(where_column="location=left"))


def test_seconds_before_zero_are_read() -> None:
    made = read(text(movement(SECOND_N), [f"{second - 60:.2f}" for second in SECOND_N], HEADER))
    assert made.samples == SECOND_N.size
    done = process(made, SignalSettings())
    assert sum((day.state_S & 1).sum() for _, day, _ in done.days()) == pytest.approx(120, abs=1)


def test_rows_whose_time_is_not_understood_are_counted() -> None:
    stamps = ["yesterday" if 100 <= i < 150 else stamp for i, stamp in enumerate(STAMPS)]
    assert read(text(movement(SECOND_N), stamps, HEADER)).damaged_blocks == 50


@pytest.mark.parametrize(("date", "form"), [("3/4/24", "M/d/yy"), ("3/4/2567", "M/d/yyyy")])
def test_years_of_two_digits_and_thai_years(date: str, form: str) -> None:
    made = read(VENDOR.format(form=form, date=date).encode() + text(movement(seconds(30))))
    assert made.stamp_us_K[0] == START.astype(np.int64)


def test_columns_of_an_actigraph_export_are_found_by_name() -> None:
    second_N = seconds(30)
    x_CN = movement(second_N)
    data = VENDOR.format(form="M/d/yyyy", date="3/4/2024").encode() + text(
        np.concatenate([x_CN, 100 * np.abs(x_CN[:1])]), None, "Accelerometer X,Accelerometer Y,Accelerometer Z,Lux"
    )
    assert np.abs(values(read(data)) - x_CN).max() < 0.001
    named = read(data, TableSettings(columns="x=Accelerometer Y,y=Accelerometer Z,z=Accelerometer X"))
    assert np.abs(values(named) - x_CN[[1, 2, 0]]).max() < 0.001


def test_geneactivs_own_export() -> None:
    head = ["Device Type,GENEActiv", *["Device Model,1.1"] * 99]
    rows = text(movement(SECOND_N), [stamp.replace(".", ":") for stamp in STAMPS]).decode().splitlines()
    check("\n".join([*head, *(row + ",12,0,25.1" for row in rows), ""]).encode())


def test_two_sensors_without_a_column_of_names_are_a_question() -> None:
    x_CN = movement(SECOND_N)
    both_CN = np.stack([x_CN, x_CN[[2, 0, 1]]], axis=2).reshape(3, -1)
    with pytest.raises(UserError, match="take turns"):
        read(text(both_CN, [stamp for stamp in STAMPS for _ in range(2)], HEADER))
    coarse = iso(np.floor(SECOND_N * 25 + 1e-6) / 25)
    assert read(text(x_CN, coarse, HEADER)).samples == SECOND_N.size


def test_date_and_time_in_two_columns() -> None:
    check(text(movement(SECOND_N), [stamp.replace(" ", ",") for stamp in STAMPS], "date,time,x,y,z"))
    check(
        text(movement(SECOND_N), [f"4/3/2024,{stamp[11:]}" for stamp in STAMPS], "Date,Time,x,y,z"),
        TableSettings(dayfirst=True),
    )
