"""Honest tables: rows with trouble (`fuzz_rows`), written in one of the forms that programs write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.settings import TableSettings
from tests.ingest.devices import fuzz_movement, fuzz_rows
from tests.ingest.devices.fuzz_law import HALF_A_TICK_S, Honest
from tests.ingest.devices.tables import parquet

Float = NDArray[np.float64]
Rng = np.random.Generator
GRAVITY = {"g": 1.0, "m/s2": 9.80665, "mg": 1000.0}


@dataclass
class Stamps:
    """Stamps of a form: cells (or an array, in Parquet), the step between them, the columns' names, and options."""

    cells: Any
    step_s: float
    names: str = "time"
    kind: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    start: np.datetime64 | None = None
    refusal: str = ""


def _ns(start: np.datetime64, second_N: Float) -> NDArray[np.int64]:
    return start.astype(np.int64) * 1000 + np.rint(second_N * 1e9).astype(np.int64)


def _iso(start: np.datetime64, second_N: Float, digits: int) -> list[str]:
    step = 10 ** (9 - digits)
    ns_N = (_ns(start, second_N) + step // 2) // step * step
    text = np.datetime_as_string(ns_N.astype("datetime64[ns]"), unit="ns")
    return [stamp[: 19 if digits == 0 else 20 + digits] for stamp in text.tolist()]


def _digits(rng: Rng) -> int:
    return int(rng.choice([3, 3, 4, 6, 9]))


def iso(rng: Rng, start: np.datetime64, second_N: Float) -> Stamps:
    digits = _digits(rng)
    zone = str(rng.choice(["", "", "Z", "+05:30", "+0100", "-03"]))
    separator = str(rng.choice([" ", "T"]))
    cells = [stamp.replace("T", separator) + zone for stamp in _iso(start, second_N, digits)]
    if digits == 3 and not zone and rng.random() < 0.2:
        cells = [stamp.replace(".", ":") for stamp in cells]
    return Stamps(cells, 10.0**-digits, kind=f"iso {digits} {zone}")


def zone_changes(rng: Rng, start: np.datetime64, second_N: Float) -> Stamps:
    """The offset changes in the file, as where a phone travels or summer time ends; instants go on."""
    at = int(rng.integers(second_N.size // 4, 3 * second_N.size // 4))
    hours = int(rng.choice([-1, 1]))
    cells = _iso(start, second_N, 3)
    later = _iso(start, second_N[at:] + 3600 * hours, 3)
    return Stamps([c + "+02:00" for c in cells[:at]] + [c + f"+0{2 + hours}:00" for c in later], 1e-3, kind="zones")


def epoch(rng: Rng, start: np.datetime64, second_N: Float) -> Stamps:
    unit = str(rng.choice(["s", "ms", "us", "ns"]))
    ns_N = _ns(start, second_N)
    if unit == "s":
        digits = int(rng.choice([3, 6]))
        us_N = np.rint(ns_N / 1000 / 10 ** (6 - digits)).astype(np.int64) * 10 ** (6 - digits)
        return Stamps(
            [f"{us // 1_000_000}.{us % 1_000_000:06d}"[: 11 + digits] for us in us_N.tolist()],
            10.0**-digits,
            kind=f"epoch s {digits}",
        )
    step = {"ms": 10**6, "us": 10**3, "ns": 1}[unit]
    return Stamps([str(value) for value in ((ns_N + step // 2) // step).tolist()], step * 1e-9, kind=f"epoch {unit}")


def since_boot(rng: Rng, start: np.datetime64, second_N: Float) -> Stamps:
    begin_s = float(np.round(rng.uniform(0, 50_000), 1))
    unit = str(rng.choice(["s", "ms", "us"]))
    step_s = {"s": 1e-4, "ms": 1e-3, "us": 1e-6}[unit]
    cells = [f"{value:.4f}" if unit == "s" else str(round(value / step_s)) for value in (begin_s + second_N).tolist()]
    since = np.datetime64(round(begin_s * 1e6), "us")
    return Stamps(cells, step_s, kind=f"boot {unit}", start=since)


def dates(rng: Rng, start: np.datetime64, second_N: Float) -> Stamps:
    is_day_first = bool(rng.random() < 0.5)
    form = "{2}/{1}/{0}" if is_day_first else "{1}/{2}/{0}"
    if rng.random() < 0.3:
        form = form.replace("/", ".") if is_day_first else form.replace("/", "-")
    if rng.random() < 0.3:
        form = form.replace("{1}", "{3}").replace("{2}", "{4}")
    cells: list[str] = []
    days = set()
    for stamp in _iso(start, second_N, 3):
        year, month, day = stamp[:10].split("-")
        days |= {day} if len(cells) < FIRST_ROWS else set()
        cells.append(f"{form.format(year, month, day, int(month), int(day))} {stamp[11:]}")
    is_clear = any(int(day) > 12 for day in days)
    asks = not is_clear and rng.random() < 0.3
    made = Stamps(cells, 1e-3, kind="dates", options={} if is_clear or asks else {"dayfirst": is_day_first})
    first = cells[0][:10].split()[0]
    made.refusal = rf"is {first[:6]}.*--dayfirst or --no-dayfirst" if asks else ""
    return made


def two_columns(rng: Rng, start: np.datetime64, second_N: Float) -> Stamps:
    cells = [stamp.replace("T", "\0") for stamp in _iso(start, second_N, 3)]
    return Stamps(cells, 1e-3, names=str(rng.choice(["date\0time", "Date\0Time"])), kind="two columns")


def serial_days(rng: Rng, start: np.datetime64, second_N: Float) -> Stamps:
    zero = int(rng.choice([25_569, 719_529]))
    digits = int(rng.choice([9, 10, 11]))
    days_N = start.astype(np.int64) / 86_400e6 + second_N / 86_400 + zero
    return Stamps(
        [f"{day:.{digits}f}" for day in days_N.tolist()], 86_400 * 10.0**-digits + 2e-5, kind=f"days {digits}"
    )


def compact(rng: Rng, start: np.datetime64, second_N: Float) -> Stamps:
    cells = [stamp.replace("-", "") for stamp in _iso(start, second_N, 3)]
    return Stamps(cells, 1e-3, kind="compact")


FORMS: tuple[Callable[[Rng, np.datetime64, Float], Stamps], ...] = (
    iso,
    iso,
    iso,
    epoch,
    epoch,
    since_boot,
    dates,
    two_columns,
    serial_days,
    compact,
    zone_changes,
)
FIRST_ROWS = 100
"""A reader looks at these for a date with one reading."""
AXES = (
    ("x", "y", "z"),
    ("X", "Y", "Z"),
    ("acc_x", "acc_y", "acc_z"),
    ("AccX", "AccY", "AccZ"),
    ("Accelerometer X", "Accelerometer Y", "Accelerometer Z"),
    ("x-axis (g)", "y-axis (g)", "z-axis (g)"),
)
PREAMBLES: tuple[list[str], ...] = (
    [],
    [],
    [],
    ["# exported by a program", "#"],
    ["Device: 1234", "Range: +/-8 g", "", "Comment: none, really; none"],
)


def start_of(rng: Rng) -> np.datetime64:
    """Draw a start, sometimes near midnight, or at the end of a month or year."""
    day = np.datetime64("2023-01-01", "D") + int(rng.integers(0, 1200))
    if rng.random() < 0.1:
        day = np.datetime64(str(rng.choice(["2024-02-28", "2024-02-29", "2023-12-31", "2024-03-31"])), "D")
    us = int(rng.integers(0, 86_400)) * 1_000_000
    if rng.random() < 0.2:
        us = (86_400 - int(rng.integers(1, 100))) * 1_000_000
    return day.astype("datetime64[us]") + np.timedelta64(us, "us")


def table(number: int, seed: int = 0) -> Honest:
    """Return an honest table by its number."""
    rng = np.random.default_rng((seed, 4, number))
    taken = fuzz_rows.draw(rng)
    swing_g = float(np.exp(rng.uniform(np.log(0.02), np.log(0.6))))
    movement = fuzz_movement.draw(rng, taken.slowest_hz, swing_g)
    start = start_of(rng)
    if not {"whole seconds"} & {*taken.kinds}:
        shift_s = float(np.round(rng.uniform(0, 1), 3))
        taken.true_N, taken.stamp_N = taken.true_N + shift_s, taken.stamp_N + shift_s
        taken.edges = [edge + shift_s for edge in taken.edges]
    is_parquet = rng.random() < 0.25
    form = iso if "whole seconds" in taken.kinds else FORMS[int(rng.integers(len(FORMS)))]
    stamps = _parquet_stamps(rng, start, taken.stamp_N) if is_parquet else form(rng, start, taken.stamp_N)
    x_CN = movement.at(taken.true_N)
    rail_g = np.inf
    if rng.random() < 0.08:
        rail_g = 2.0
        x_CN, movement = _railed(x_CN, movement, taken, rail_g)
    unit = str(rng.choice(["g", "g", "g", "m/s2", "mg"]))
    options = dict(stamps.options)
    if unit == "mg" or rng.random() < 0.1:
        options["unit"] = unit
    value_CN = x_CN * GRAVITY[unit]
    if is_parquet:
        data, step, written = _parquet(rng, stamps, value_CN, unit)
    else:
        data, step, written = _text(rng, stamps, value_CN, unit)
    options |= written.get("options", {})
    slope = float(np.abs(movement.slope(taken.true_N)).max())
    late_s = 0.001 + taken.late_s + stamps.step_s
    if {"whole seconds", "bunches"} & {*taken.kinds}:
        late_s = max(late_s, HALF_A_TICK_S)
    return Honest(
        kinds=(*taken.kinds, stamps.kind, "parquet" if is_parquet else "text", unit, *written["kinds"]),
        name="a.parquet" if is_parquet else "a.csv",
        data=data,
        movement=movement,
        start=start if stamps.start is None else stamps.start,
        spans=taken.spans(),
        slowest_hz=taken.slowest_hz,
        clock=taken.choice,
        table=TableSettings(**options),
        step_g=step / GRAVITY[unit] + 0.00025,
        late_s=late_s,
        more_g=slope * taken.scatter_s,
        rough=taken.rough(movement),
        edges=tuple(taken.edges),
        rail_g=rail_g,
        lossy=taken.lossy or taken.choice == "split" or bool(np.isfinite(rail_g)),
        refusal=written.get("refusal") or stamps.refusal or taken.refusal,
    )


def _railed(x_CN: Float, movement: Any, taken: Any, rail_g: float) -> tuple[Float, Any]:
    """Make the movement of x reach beyond the rail for seconds at a time, and cut the values there."""
    from dataclasses import replace

    hz_CK, size_CK = movement.hz_CK.copy(), movement.size_CK.copy()
    hz_CK[0, 0], size_CK[0, 0] = 0.4, 2.2
    movement = replace(movement, hz_CK=hz_CK, size_CK=size_CK)
    return np.clip(movement.at(taken.true_N), -rail_g, rail_g), movement


def _parquet_stamps(rng: Rng, start: np.datetime64, second_N: Float) -> Stamps:
    unit = str(rng.choice(["ms", "us", "ns"]))
    zone = str(rng.choice(["", "", "UTC", "Asia/Kolkata"])) or None
    step = {"ms": 10**6, "us": 10**3, "ns": 1}[unit]
    ns_N = _ns(start, second_N)
    if zone == "Asia/Kolkata":
        ns_N = ns_N - 19_800 * 10**9
    count_N = (ns_N + step // 2) // step
    kind = str(rng.choice(["instants", "integers"]))
    if kind == "integers" and not zone:
        return Stamps(pa.array(count_N), step * 1e-9, kind=f"integers {unit}")
    return Stamps(pa.array(count_N, pa.timestamp(unit, zone)), step * 1e-9, kind=f"instants {unit} {zone or ''}")


def _parquet(rng: Rng, stamps: Stamps, value_CN: Float, unit: str) -> tuple[bytes, float, dict[str, Any]]:
    names = AXES[int(rng.integers(len(AXES)))]
    kind = str(rng.choice(["float32", "float64", "int"])) if unit == "mg" else str(rng.choice(["float32", "float64"]))
    axes = [np.rint(axis_N).astype(np.int32) if kind == "int" else axis_N.astype(kind) for axis_N in value_CN]
    columns: dict[str, object] = {
        str(rng.choice(["time", "timestamp"])): stamps.cells,
        **dict(zip(names, axes, strict=True)),
    }
    if rng.random() < 0.3:
        columns["lux"] = np.arange(value_CN.shape[1]) % 300
    data = parquet(columns, int(rng.choice([1000, 100_000])))
    return data, 1.0 if kind == "int" else 1e-6 * GRAVITY[unit], {"kinds": (kind,)}


def _text(rng: Rng, stamps: Stamps, value_CN: Float, unit: str) -> tuple[bytes, float, dict[str, Any]]:
    digits = {"g": int(rng.choice([3, 4, 6])), "m/s2": int(rng.choice([2, 3, 5])), "mg": int(rng.choice([0, 1, 2]))}[
        unit
    ]
    delimiter = str(rng.choice([",", ",", ";", "\t"]))
    decimal = "," if delimiter == ";" and rng.random() < 0.6 else "."
    names = list(AXES[int(rng.integers(len(AXES)))])
    axes = [[f"{value:.{digits}f}" for value in axis_N] for axis_N in value_CN.tolist()]
    rows = value_CN.shape[1]
    header, columns = [stamps.names, *names], [stamps.cells, *axes]
    kinds = [delimiter + decimal, f"{digits} digits"]
    options: dict[str, Any] = {}
    refusal = ""
    if rng.random() < 0.3:
        header += ["gyr_x", "gyr_y", "gyr_z"]
        columns += [[f"{value:.2f}" for value in np.roll(axis_N * 7, 5).tolist()] for axis_N in value_CN]
        kinds.append("gyroscope")
    if rng.random() < 0.2:
        header.append("label")
        columns.append([("walk", "sit", "lie")[i // 2000 % 3] for i in range(rows)])
        kinds.append("label")
    if rng.random() < 0.2:
        header.append("lux")
        columns.append([str(i // 7 % 400) for i in range(rows)])
        kinds.append("lux")
    if decimal == ",":
        columns = [
            columns[0]
            if "." not in stamps.cells[0] or "T" in stamps.cells[0] or ":" in stamps.cells[0]
            else [cell.replace(".", ",") for cell in columns[0]],
            *([cell.replace(".", ",") for cell in column] for column in columns[1:]),
        ]
    preamble = list(PREAMBLES[int(rng.integers(len(PREAMBLES)))])
    lines = [delimiter.join(cells).replace("\0", delimiter) for cells in zip(*columns, strict=True)]
    if rng.random() < 0.08:
        lines = _in_turn(columns, lines, delimiter)
        asks = bool(rng.random() < 0.5)
        header.append("location")
        options = {} if asks else {"where_column": "location=left"}
        refusal = "several sensors.*--where-column" if asks else ""
        kinds.append("two sensors")
    end = str(rng.choice(["\n", "\r\n"]))
    title = delimiter.join(header).replace("\0", delimiter)
    bom = "\ufeff" if rng.random() < 0.1 else ""
    data = (bom + end.join([*preamble, title, *lines, ""])).encode()
    return data, 10.0**-digits, {"kinds": tuple(kinds), "options": options, "refusal": refusal}


def _in_turn(columns: Sequence[Sequence[str]], lines: Sequence[str], delimiter: str) -> list[str]:
    """Return the rows of two sensors in turn; the axes of the other one are exchanged."""
    other = [columns[0], columns[3], columns[1], columns[2], *columns[4:]]
    others = [delimiter.join(cells).replace("\0", delimiter) for cells in zip(*other, strict=True)]
    both = zip(lines, others, strict=True)
    return [line for left, right in both for line in (f"{left}{delimiter}left", f"{right}{delimiter}right")]
