"""The quality figures of a recording: the JSON in the column `figures` of the table `recordings`.

`ingest` writes one `RecordingFigures` per recording. Reports read columns of figures from many recordings at once:
Arrow's JSON reader parses 100,000 lines of 1 kB in 0.5 s, where one `json.loads` per line takes 2 s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UserError

Verdict = Literal["good", "doubtful", "useless"]

BLOCK_BYTES = 1 << 24
"""Bytes that Arrow's JSON reader parses at a time; a line must fit in."""


@dataclass(frozen=True)
class RecordingFigures:
    """Quality figures of one recording; docs/signal.md describes each. A number that is not known is NaN or None.

    `start`, `end` and `clock_change` are ISO times of the device's clock (local time with --local-timezone).
    `serial` is the device's own number in a worker and its keyed id in the store.
    `extras` are figures that only some devices have, by name with the unit in it; in the JSON they are keys like the
    others.
    `rates`, `lost_share` and `jitter_ms` are of tables whose rows do not follow each other at one rate.
    `enmo_mg` and what follows it are known once the days are processed (`ingest.signal.quality.judged`).
    """

    device: str
    serial: str | None
    firmware: str | None
    location: str | None
    origin: str
    start: str
    end: str
    clock: str | None
    shift_hours: float | None
    clock_change: str | None
    samples: int
    content: str
    nominal_rate_hz: float
    rate_hz: float
    upsampled: bool
    rate_drift_ppm: float
    clock_residual_ms: float
    damaged_blocks: int
    duplicate_blocks: int
    backward_blocks: int
    mended_stamps: int
    gaps: int
    gap_total_s: float
    clipped_ticks: int
    clipped_share: float
    impossible_samples: int
    noise_mg: float
    calibration: str
    still_windows: int
    error_before_mg: float
    error_after_mg: float
    gain_x: float
    gain_y: float
    gain_z: float
    offset_x_g: float
    offset_y_g: float
    offset_z_g: float
    drift_x_g_per_celsius: float
    drift_y_g_per_celsius: float
    drift_z_g_per_celsius: float
    reference_celsius: float
    measured_hours: float
    idle_hours: float
    nonwear_hours: float
    wear_hours: float
    eligible_hours: float
    extras: dict[str, float | str] = field(default_factory=dict)
    rates: int | None = None
    lost_share: float | None = None
    jitter_ms: float | None = None
    enmo_mg: float | None = None
    enmo_mg_of_days: list[float | None] = field(default_factory=list)
    verdict: Verdict | None = None
    verdict_reason: str | None = None

    def plain(self) -> dict[str, Any]:
        """The figures as JSON-ready values by name."""
        values = asdict(self)
        extras = values.pop("extras")
        return {name: json_value(value) for name, value in (values | extras).items()}

    def to_json(self) -> str:
        """The figures as they are stored."""
        return json.dumps(self.plain(), sort_keys=True)


def _arrow_type(hint: Any) -> pa.DataType:
    """The column type of a figure: numbers are float64, because null has to be possible."""
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return {bool: pa.bool_(), int: pa.float64(), float: pa.float64()}.get(kinds[0], pa.string())


_HINTS = get_type_hints(RecordingFigures)
COLUMNS = pa.schema(
    [
        (each.name, _arrow_type(_HINTS[each.name]))
        for each in fields(RecordingFigures)
        if each.name not in ("extras", "enmo_mg_of_days")
    ]
)
"""The figures that `read_figures` can read, with their types."""


def read_figures(lines: pa.ChunkedArray, names: Sequence[str]) -> pa.Table:
    """Some figures of many recordings, from the column `figures`: one row per line, null where a line lacks the figure.

    Raises UserError when a line is not JSON of figures.
    """
    import pyarrow.json

    schema = pa.schema([COLUMNS.field(name) for name in names])
    read = pyarrow.json.ReadOptions(block_size=BLOCK_BYTES)
    parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    tables = [schema.empty_table()]
    for chunk in lines.chunks:
        if not len(chunk):
            continue
        joined = pc.binary_join(pa.ListArray.from_arrays([0, len(chunk)], pc.fill_null(chunk, "{}")), "\n")
        try:
            found = pyarrow.json.read_json(pa.BufferReader(joined[0].as_buffer()), read, parse)
        except pa.ArrowInvalid:
            found = schema.empty_table()
        if found.num_rows != len(chunk):
            raise UserError(
                "the column `figures` of the table `recordings` cannot be read: expected a JSON object of numbers in "
                "every row. The store was written by another release or is damaged: run `persondays verify`."
            )
        tables.append(found)
    return pa.concat_tables(tables)


def json_value(value: Any) -> Any:
    """A value as JSON and Arrow know it: numpy numbers become Python's, NaN and infinity become None."""
    if isinstance(value, np.ndarray | list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
