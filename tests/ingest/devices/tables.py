"""Write tables of a known signal, csv by plain formatting and Parquet by pyarrow, and read them back."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingest.devices.registry import decode, probe
from ingest.recording import Recording
from ingest.settings import TableSettings
from ingest.signal.timing import fit

START = np.datetime64("2024-03-04T10:00:00", "us")
MAX_ROUNDING_G = 0.000125 + 1e-9
Time = Callable[[NDArray[np.float64]], Sequence[object]]


def movement(second_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return g (3, N): half of the time at rest in one orientation, else swinging."""
    moving_N = (second_N // 60 % 2).astype(bool)
    x_CN = np.stack([0.6 * np.ones_like(second_N), np.zeros_like(second_N), 0.8 * np.ones_like(second_N)])
    swing = np.stack([np.sin(2 * np.pi * 1.3 * second_N), np.cos(2 * np.pi * 0.7 * second_N), 0 * second_N])
    return x_CN + np.where(moving_N, 0.5 * swing, 0.001 * np.sin(40 * second_N))


def seconds(rate_hz: float, length_s: float = 300) -> NDArray[np.float64]:
    return np.arange(round(length_s * rate_hz)) / rate_hz


def iso(second_N: NDArray[np.float64], digits: int = 3, separator: str = " ", zone: str = "") -> list[str]:
    """Return stamps with some digits of a second."""
    text = np.datetime_as_string(START + np.round(second_N * 1e6).astype("timedelta64[us]"), unit="us")
    end = 19 if digits == 0 else 20 + digits
    return [stamp[:end].replace("T", separator) + zone for stamp in text.tolist()]


def epoch(second_N: NDArray[np.float64], unit_s: float, since: np.datetime64 = START) -> list[str]:
    start_s = since.astype(np.int64) / 1e6
    return [f"{value:.6f}" if unit_s == 1 else f"{round(value / unit_s)}" for value in (start_s + second_N).tolist()]


def text(
    x_CN: NDArray[np.float64],
    time: Sequence[object] | None = None,
    header: str = "",
    form: str = "{:.4f}",
    delimiter: str = ",",
) -> bytes:
    columns = [[form.format(value) for value in axis_N] for axis_N in x_CN.tolist()]
    rows = zip(*([time] if time is not None else []), *columns, strict=True)
    return "\n".join([*([header] if header else []), *(delimiter.join(map(str, row)) for row in rows), ""]).encode()


def parquet(columns: dict[str, object], rows_a_group: int | None = None) -> bytes:
    data = io.BytesIO()
    pq.write_table(pa.table(columns), data, row_group_size=rows_a_group)
    return data.getvalue()


def probe_bytes(data: bytes, settings: TableSettings = TableSettings()) -> Any:  # noqa: B008
    return probe(io.BytesIO(data), "a.csv", len(data), settings)


def read(data: bytes, settings: TableSettings = TableSettings()) -> Recording:  # noqa: B008
    """Return the recording, and check that the span of the probe contains it.

    Where stamps scatter, decoding smooths them: the first sample may then lie up to a period before its own stamp.
    """
    found, made = probe_bytes(data, settings), decode(data, "a.csv", settings)
    early_us = 1e6 / made.nominal_rate_hz if made.pace else 0.0
    last_us = made.stamp_us_K[-1] + (made.count_K[-1] - 1) / made.nominal_rate_hz * 1e6
    assert found.start.astype(np.int64) - early_us <= made.stamp_us_K[0]
    assert found.end.astype(np.int64) >= last_us - 1
    assert found.samples >= made.samples
    assert (found.device, found.serial) == (made.device, made.serial)
    return made


def times(made: Recording, start: np.datetime64 = START) -> Any:
    """Return the seconds from the start to each sample, by the fit."""
    timeline = fit(made)
    shift = (timeline.midnight.astype("datetime64[us]") - start).astype(np.int64) * 1e-6
    return timeline.seconds_of(np.arange(made.samples)) + shift


def values(made: Recording) -> Any:
    return made.counts_CN * made.g_per_count_C[:, None]
