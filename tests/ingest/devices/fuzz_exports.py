"""Honest tables as programs of vendors export them: ActiLife, GENEActiv's own, Shimmer's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.ingest.devices import fuzz_movement
from tests.ingest.devices.fuzz_law import Honest, Span

Float = NDArray[np.float64]
Rng = np.random.Generator
LENGTH_S = 150
ACTILIFE = """------------ Data File Created By ActiGraph wGT3XBT ActiLife v6.13.3 Firmware v1.9.2 date format {form} at {rate} Hz  Filter Normal -----------
Serial Number: MOS2A01
Start Time {time}
Start Date {date}
Epoch Period (hh:mm:ss) 00:00:00
Download Time 12:00:00
Download Date {date}
Current Memory Address: 0
Current Battery Voltage: 4.18     Mode = 12
--------------------------------------------------"""  # noqa: E501
FORMS = {"M/d/yyyy": "{1}/{2}/{0}", "dd/MM/yyyy": "{4}/{3}/{0}", "yyyy-MM-dd": "{0}-{3}-{4}", "d.M.yyyy": "{2}.{1}.{0}"}


def _dated(form: str, start: np.datetime64) -> tuple[str, str]:
    year, month, day = str(start.astype("datetime64[D]")).split("-")
    return form.format(year, int(month), int(day), month, day), str(start.astype("datetime64[s]"))[11:]


def _cells(value_CN: Float, digits: int) -> list[list[str]]:
    return [[f"{value:.{digits}f}" for value in axis_N] for axis_N in value_CN.tolist()]


def _stamps(start: np.datetime64, second_N: Float) -> list[str]:
    text = np.datetime_as_string(start + np.rint(second_N * 1e3).astype("timedelta64[ms]"), unit="ms")
    return [str(stamp) for stamp in text]


def actilife(rng: Rng, start: np.datetime64, rate: int, second_N: Float, x_CN: Float) -> tuple[list[str], float]:
    """Return lines of ActiLife's raw export, with or without names and stamps, and the step of its values in g."""
    form = str(rng.choice([*FORMS]))
    date, time = _dated(FORMS[form], start)
    lines = ACTILIFE.format(form=form, rate=rate, time=time, date=date).split("\n")
    columns = _cells(x_CN, 3)
    kind = int(rng.integers(3))
    if kind:
        lines.append(("Accelerometer X,Accelerometer Y,Accelerometer Z", "Timestamp,X,Y,Z")[kind - 1])
    if kind == 2:
        dates = [_dated(FORMS[form], np.datetime64(stamp[:10]))[0] for stamp in _stamps(start, second_N)]
        stamps = [f"{day} {stamp[11:]}" for day, stamp in zip(dates, _stamps(start, second_N), strict=True)]
        columns = [stamps, *columns]
    return [*lines, *_joined(columns, ",")], 0.001


def geneactiv(rng: Rng, start: np.datetime64, rate: int, second_N: Float, x_CN: Float) -> tuple[list[str], float]:
    """Return lines of GENEActiv's csv export: 100 of header, then time, x, y, z, light, button and temperature."""
    head = ["Device Type,GENEActiv", *["Device Model,1.1"] * 99]
    stamps = [stamp.replace("T", " ").replace(".", ":") for stamp in _stamps(start, second_N)]
    rows = _joined([stamps, *_cells(x_CN, 4)], ",")
    return [*head, *(f"{row},{int(rng.integers(300))},0,25.1" for row in rows)], 1e-4


def shimmer(rng: Rng, start: np.datetime64, rate: int, second_N: Float, x_CN: Float) -> tuple[list[str], float]:
    """Return lines of a Shimmer export: names, a row of units, and a tab at the end of each row."""
    ms_N = start.astype(np.int64) / 1000 + np.round(second_N * 1e3, 3)
    names = [f"Shimmer_{name}_CAL" for name in ("B6D1_Timestamp_Unix", *(f"B6D1_Accel_LN_{axis}" for axis in "XYZ"))]
    head = ["\t".join(names) + "\t", "ms\tm/(s^2)\tm/(s^2)\tm/(s^2)\t"]
    rows = _joined([[f"{ms:.3f}" for ms in ms_N.tolist()], *_cells(x_CN * 9.80665, 4)], "\t")
    return [*head, *(row + "\t" for row in rows)], 1e-4 / 9.8


def _joined(columns: Sequence[Sequence[str]], delimiter: str) -> list[str]:
    return [delimiter.join(cells) for cells in zip(*columns, strict=True)]


PROGRAMS: tuple[Callable[..., tuple[list[str], float]], ...] = (actilife, geneactiv, shimmer)


def export(number: int, seed: int = 0) -> Honest:
    """Return an export by its number."""
    rng = np.random.default_rng((seed, 6, number))
    write = PROGRAMS[int(rng.integers(len(PROGRAMS)))]
    rate = int(rng.choice([30, 40, 50, 60, 80, 100]))
    movement = fuzz_movement.draw(rng, rate, float(np.exp(rng.uniform(np.log(0.02), np.log(0.6)))))
    days = int(rng.integers(0, 1200))
    start = np.datetime64("2023-01-01", "us") + np.timedelta64(86_400 * days + int(rng.integers(86_400)), "s")
    second_N = np.arange(LENGTH_S * rate) / rate
    lines, step_g = write(rng, start, rate, second_N, movement.at(second_N))
    return Honest(
        kinds=("export", write.__name__, f"{rate} Hz"),
        name="a.csv",
        data="\r\n".join([*lines, ""]).encode(),
        movement=movement,
        start=start,
        spans=[Span(0.0, float(second_N[-1]))],
        slowest_hz=rate,
        step_g=step_g + 0.00025,
        late_s=0.002,
    )
