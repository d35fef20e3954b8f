"""Labelled windows from tables whose rows are samples: csv or Parquet, with a participant and an activity in each row.

A window has one participant, activity, place, device and trial, and lies in rows of one rate without a pause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import COUNT_LIMIT, SAMPLE_RATE_HZ
from pipeline.units import GRAVITY, Unit
from train.labelled.bouts import LONGEST_PAUSE_S, Bout, BoutCounts
from train.labelled.cut import COUNTS_PER_G, cut, even_pieces
from train.labelled.files import MISSING, LabelledWindows

if TYPE_CHECKING:
    import pyarrow as pa

AXIS_COLUMNS = ("x", "y", "z")
NEEDED = ("participant", "activity", *AXIS_COLUMNS)
FURTHER = ("device", "location")
"""Columns that a table may have, and that the labelled set then has too."""
KNOWN = (*NEEDED, "time", "trial", *FURTHER)
SUFFIXES = (".parquet", ".csv", ".csv.gz")
RATES_HZ = (4.0, 2_000.0)
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
FEWEST_COUNTS_PER_G = 512
NEAR_G = (0.5, 2.0)
"""The median length of the acceleration vector, in g, if the unit is right and gravity is in it."""


@dataclass(frozen=True)
class TableForm:
    """How to read a table. `columns` maps names in KNOWN to the table's own, `where` is a column and its value.

    With `rate_hz`, rows of a trial are even at this rate, and times are not read. Raises UserError for what cannot be.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    unit: Unit = "g"
    rate_hz: float | None = None
    where: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.unit not in GRAVITY:
            raise UserError(f"--unit: expected {', '.join(GRAVITY)}; found {self.unit!r}.")
        if self.rate_hz is not None and not RATES_HZ[0] <= self.rate_hz <= RATES_HZ[1]:
            raise UserError(
                f"--rate: expected {RATES_HZ[0]:g} to {RATES_HZ[1]:g} rows a second, found {self.rate_hz:g}."
            )

    @staticmethod
    def parse(columns: str | None, unit: str, rate_hz: float | None, where: str | None) -> TableForm:
        """Return the form that flags describe: `columns` as in participant=subject,x=ax, `where` as in NAME=VALUE."""
        pairs = [part.partition("=") for part in (columns or "").split(",") if part.strip()]
        named = {what.strip(): name.strip() for what, _, name in pairs}
        if not named.keys() <= set(KNOWN) or not all(named.values()):
            raise UserError(
                f"--columns: expected NAME=COLUMN with commas, where NAME is {', '.join(KNOWN)}; found {columns!r}."
            )
        name, _, value = (where or "").partition("=")
        if where is not None and not (name.strip() and value.strip()):
            raise UserError(f"--where-column: expected NAME=VALUE, found {where!r}.")
        return TableForm(named, cast(Unit, unit), rate_hz, (name.strip(), value.strip()) if where is not None else None)


@dataclass(frozen=True)
class Rows:
    """Rows of a table in the order of its trials, in their own order inside each.

    time_N: seconds. x_CN: g, NaN where missing. trial_N: number of the trial, ascending. activity_N: text. `of_trial`
    are participant and further columns of each trial.
    """

    time_N: NDArray[np.float64]
    x_CN: NDArray[np.float64]
    trial_N: NDArray[np.int64]
    activity_N: NDArray[np.str_]
    of_trial: list[dict[str, str]]
    unlabelled: int


def find_tables(source: Path) -> list[Path]:
    """Return the tables of a folder, or the one table that `source` is; raises UserError if there is none."""
    if source.is_file() and source.name.endswith(SUFFIXES):
        return [source]
    files = sorted(path for path in source.glob("*") if path.name.endswith(SUFFIXES)) if source.is_dir() else []
    if not files:
        raise UserError(f"{source}: expected a table (.parquet, .csv or .csv.gz) or a folder of tables, found none.")
    return files


def read_rows(path: Path, form: TableForm, where: str) -> Rows:
    """Read a table, without the rows that have no participant or activity; raises UserError, which says `where`."""
    table = _select(_read(path, form, where), form, where)
    text = {name: _text(table[name]) for name in table.column_names if name not in (*AXIS_COLUMNS, "time", "where")}
    kept_N = np.ones(len(table), bool) if form.where is None else _text(table["where"]) == form.where[1]
    if not kept_N.any():
        raise UserError(f"{where}: expected rows, found none{_with(form)}. Name other values, or leave out the table.")
    has_label_N = ~np.isin(text["participant"], list(MISSING)) & ~np.isin(text["activity"], list(MISSING))
    unlabelled = int((kept_N & ~has_label_N).sum())
    kept_N &= has_label_N
    if not kept_N.any():
        raise UserError(f"{where}: expected rows with a participant and an activity, found none{_with(form)}.")
    text["participant"] = _filled(text["participant"])  # rows without one are a hole in the trial before them
    names = [name for name in text if name != "activity"]
    keys = [np.unique(text[name], return_inverse=True) for name in names]
    values_KU, trial_N = np.unique(np.stack([code_N for _, code_N in keys]), axis=1, return_inverse=True)
    trial_N = trial_N.reshape(-1)
    order = np.argsort(trial_N, kind="stable")
    place_N = np.arange(len(order)) - np.searchsorted(trial_N[order], trial_N[order])
    kept = kept_N[order]
    rows, trial_N, place_N = order[kept], trial_N[order][kept], place_N[kept]
    return Rows(
        time_N=_times(table, rows, trial_N, place_N, form, where),
        x_CN=np.stack([_numbers(table[axis], axis, where)[rows] for axis in AXIS_COLUMNS]) / GRAVITY[form.unit],
        trial_N=trial_N,
        activity_N=text["activity"][rows],
        of_trial=[
            {name: str(keys[place][0][codes[place]]) for place, name in enumerate(names)} for codes in values_KU.T
        ],
        unlabelled=unlabelled,
    )


def _read(path: Path, form: TableForm, where: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    names = {*KNOWN} - {*AXIS_COLUMNS, "time"}
    text = {form.columns.get(name, name) for name in names} | ({form.where[0]} if form.where else set())
    numbers = {form.columns.get(name, name) for name in (*AXIS_COLUMNS, "time")}
    options = csv.ConvertOptions(column_types=dict.fromkeys(text - numbers, pa.string()))  # 01 is not 1
    try:
        return pq.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path, convert_options=options)
    except (OSError, EOFError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{where}: expected a csv file with a line of names, or Parquet; found neither ({error})."
        ) from None


def _select(table: pa.Table, form: TableForm, where: str) -> pa.Table:
    """Return the columns that are used, under our names; `where` is that of the condition."""
    import pyarrow as pa

    needed = (*NEEDED, *(() if form.rate_hz is not None else ("time",)))
    own = {name: form.columns.get(name, name) for name in KNOWN if name != "time" or form.rate_hz is None}
    if form.where is not None:
        own["where"] = form.where[0]
        needed = (*needed, "where")
    missing = [
        own[name] for name in own if own[name] not in table.column_names and (name in needed or name in form.columns)
    ]
    if missing:
        hint = " Give --rate if rows are even and have no times." if own.get("time") in missing else ""
        raise UserError(
            f"{where}: expected the columns {', '.join(own[name] for name in needed)}; found "
            f"{', '.join(table.column_names)}, without {', '.join(missing)}. Name them with --columns, as in "
            f"participant=subject.{hint}"
        )
    used = {name: column for name, column in own.items() if column in table.column_names}
    return pa.table({name: table[column] for name, column in used.items()})


def _with(form: TableForm) -> str:
    return "" if form.where is None else f" with {form.where[0]}={form.where[1]}"


def _text(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """Return a column as text; missing values are empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.combine_chunks()
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    names = [*("" if value is None else str(value).strip() for value in coded.dictionary.to_pylist()), ""]
    codes_N = pc.fill_null(coded.indices, len(names) - 1).to_numpy(zero_copy_only=False)
    return np.array(names, np.str_)[codes_N.astype(np.int64)]


def _filled(text_N: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return text with missing values replaced by the last known value before them."""
    known_N = ~np.isin(text_N, list(MISSING))
    filled_N: NDArray[np.str_] = text_N[np.maximum.accumulate(np.where(known_N, np.arange(len(text_N)), 0))]
    return filled_N


def _numbers(column: pa.ChunkedArray, name: str, where: str) -> NDArray[np.float64]:
    import pyarrow as pa

    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise UserError(f"{where}: expected numbers in the column for {name}, found {column.type}.")
    return column.cast(pa.float64()).to_numpy()


def _times(
    table: pa.Table,
    rows: NDArray[np.int64],
    trial_N: NDArray[np.int64],
    place_N: NDArray[np.int64],
    form: TableForm,
    where: str,
) -> NDArray[np.float64]:
    """Return seconds of some rows; with `rate_hz`, from their place among all rows of the trial. Missing ones are NaN.

    So rows that are left out are a pause. Raises UserError for times of another unit, and where most rows are left out.
    """
    import pyarrow as pa

    if form.rate_hz is not None:
        steps = np.diff(place_N)[np.diff(trial_N) == 0]
        if len(steps) and np.median(steps) > 1:
            raise UserError(
                f"{where}: expected rows at {form.rate_hz:g} Hz one after the other, found other rows of the trial "
                "between most of them, which are left out. If a column tells two sensors apart, name it: --columns "
                "device=COLUMN. Otherwise give the table times."
            )
        return place_N / form.rate_hz
    column = table["time"]
    if pa.types.is_timestamp(column.type):
        column_N = column.cast(pa.timestamp("ns"), safe=False).combine_chunks()
        known_N = ~np.asarray(column_N.is_null())
        ns_N = column_N.cast(pa.int64()).fill_null(0).to_numpy()
        times = np.where(known_N, (ns_N - ns_N[known_N][:1].sum()) * 1e-9, np.nan)[rows]
    else:
        times = _numbers(column, "time", where)[rows]
    intervals = np.diff(times)[np.diff(trial_N) == 0]
    typical = float(np.median(intervals[intervals > 0])) if (intervals > 0).any() else 0.0
    if typical and not 1 / RATES_HZ[1] <= typical <= 1 / RATES_HZ[0]:
        fits = [unit for unit, factor in SECONDS.items() if 1 / RATES_HZ[1] <= typical * factor <= 1 / RATES_HZ[0]]
        hint = f" They look like {' or '.join(fits)}: convert them." if fits else ""
        raise UserError(
            f"{where}: expected times in seconds, or time stamps, of {RATES_HZ[0]:g} to {RATES_HZ[1]:g} rows a second; "
            f"found {typical:.3g} between rows.{hint}"
        )
    return times


def runs(rows: Rows) -> Iterator[tuple[int, int]]:
    """Yield runs of rows of one trial and activity, with ascending times and all values, as first and past the last."""
    usable_N = np.isfinite(rows.time_N) & np.isfinite(rows.x_CN).all(0)
    time_N, trial_N, activity_N = rows.time_N[usable_N], rows.trial_N[usable_N], rows.activity_N[usable_N]
    number = np.flatnonzero(usable_N)
    breaks = (np.diff(time_N) <= 0) | (np.diff(trial_N) != 0) | (activity_N[1:] != activity_N[:-1])
    breaks |= np.diff(number) != 1  # a row without a value
    for first, stop in pairwise([0, *(np.flatnonzero(breaks) + 1).tolist(), len(time_N)]):
        if stop - first > 1:
            yield int(number[first]), int(number[stop - 1]) + 1


def bouts_of(rows: Rows) -> Iterator[list[Bout]]:
    """Yield the bouts of each trial, which ends where times do not ascend; a long pause ends a bout."""
    known = np.flatnonzero(np.isfinite(rows.time_N))
    time_N, activity_N = rows.time_N[known], rows.activity_N[known]
    new_trial = (np.diff(time_N) <= 0) | (np.diff(rows.trial_N[known]) != 0)
    for start, end in pairwise([0, *(np.flatnonzero(new_trial) + 1).tolist(), len(known)]):
        breaks = activity_N[start + 1 : end] != activity_N[start : end - 1]
        breaks |= np.diff(time_N[start:end]) > LONGEST_PAUSE_S
        parts = pairwise([start, *(np.flatnonzero(breaks) + start + 1).tolist(), end]) if end > start else ()
        yield [Bout(float(time_N[one]), float(time_N[past - 1]), str(activity_N[one])) for one, past in parts]


def label_tables(
    files: Sequence[Path], form: TableForm, seconds: int, progress: Callable[[int], None] = lambda done: None
) -> tuple[LabelledWindows, dict[str, Any]]:
    """Cut windows of `seconds` without overlap from all tables; also returns facts for info.json. Raises UserError."""
    ticks = seconds * SAMPLE_RATE_HZ
    facts: dict[str, Any] = {"files": len(files), "unit_of_source": form.unit, "rows": 0, "rows_without_label": 0}
    columns: dict[str, list[str]] = {}
    rates: list[float] = []
    counts = BoutCounts()
    largest_g, longest_s, uneven = 0.0, 0.0, 0

    def pieces() -> Iterator[tuple[str, str, NDArray[np.float32]]]:
        nonlocal largest_g, longest_s, uneven
        for done, path in enumerate(files, 1):
            where = str(path) if len(files) == 1 else f"table {done} of {len(files)} (in the order of their names)"
            rows = read_rows(path, form, where)
            facts["rows"] += len(rows.time_N) + rows.unlabelled
            facts["rows_without_label"] += rows.unlabelled
            _check_unit(rows.x_CN, form.unit, where)
            largest = float(np.nanmax(np.abs(rows.x_CN), initial=0))
            largest_g = max(largest_g, largest)
            per_g = counts_per_g(largest)
            for bouts in bouts_of(rows):
                counts.add(bouts)
            for first, stop in runs(rows):
                time_N = rows.time_N[first:stop]
                longest_s = max(longest_s, float(time_N[-1] - time_N[0]))
                found = list(even_pieces(time_N, seconds))
                uneven += int(time_N[-1] - time_N[0] >= seconds and found != [(0, len(time_N))])
                trial = rows.of_trial[int(rows.trial_N[first])]
                for start, end in found:
                    windows_NTC = cut(time_N[start:end], rows.x_CN[:, first + start : first + end], ticks, per_g)
                    if len(windows_NTC):
                        rates.append((end - start - 1) / float(time_N[end - 1] - time_N[start]))
                        for name in FURTHER:
                            if name in trial:
                                columns.setdefault(name, []).extend([trial[name]] * len(windows_NTC))
                        yield trial["participant"], str(rows.activity_N[first]), windows_NTC
            progress(done)

    windows = LabelledWindows.of(pieces(), seconds)
    if not windows.y_N:
        raise UserError(
            f"expected activities of {seconds} s in rows of an even rate, and a second more for the filter; found runs "
            f"of {longest_s:.3g} s at most, {uneven} of them long enough but with uneven times. Cut shorter windows "
            "(--seconds), or give --rate if stamps are not those of the samples, or ingest the tables and use "
            "`persondays labelled truth`."
        )
    facts |= {
        **counts.facts(),
        "runs_not_even": uneven,
        "rates_hz": [round(float(value), 3) for value in np.percentile(rates, [0, 50, 100])],
        "largest_g": round(largest_g, 3),
    }
    whole = {name: values for name, values in columns.items() if len(values) == len(windows.y_N)}
    return replace(windows, columns=whole), facts


def counts_per_g(largest_g: float) -> int:
    """Return counts per g, a power of two, at which int16 holds values up to `largest_g`, or to 64 g."""
    counts = COUNTS_PER_G
    while largest_g * counts > COUNT_LIMIT and counts > FEWEST_COUNTS_PER_G:
        counts //= 2
    return counts


def _check_unit(x_CN: NDArray[np.float64], unit: Unit, where: str) -> None:
    """Raise UserError if gravity reads as in another unit."""
    length = float(np.nanmedian(np.linalg.norm(x_CN, axis=0))) if np.isfinite(x_CN).any() else 1.0
    reads = length * GRAVITY[unit]
    fits = [name for name, gravity in GRAVITY.items() if NEAR_G[0] <= reads / gravity <= NEAR_G[1]]
    if not NEAR_G[0] <= length <= NEAR_G[1] and fits:
        raise UserError(
            f"{where}: expected acceleration in {unit}; the median length of the vector is {reads:.3g}, "
            f"which is gravity in {fits[0]}. Give --unit {fits[0]}."
        )
