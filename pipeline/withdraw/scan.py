"""Find ids in bytes: 64 hex digits in a row, whatever surrounds them.

Compressed samples are scanned at the speed of memory: a run of 64 bytes contains eight consecutive bytes of any
selection of every eighth byte. So data in which no eight consecutive selected bytes are hex digits contain no id.
Parquet compresses its text: its columns are decoded and scanned as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa

ID_DIGITS = 64
RUN = re.compile(rb"[0-9a-f]{64,}")
STRIDE = 8
ROWS_AT_ONCE = 8192

_IS_HEX = np.zeros(256, np.bool_)
_IS_HEX[list(b"0123456789abcdef")] = True


def may_hold_ids(data: bytes) -> bool:
    """False where `data` contain no 64 hex digits in a row; nearly always False for compressed samples."""
    hits = _IS_HEX[np.frombuffer(data, np.uint8)[::STRIDE]]
    for shift in (1, 2, 4):
        hits = hits[shift:] & hits[:-shift]
    return bool(hits.any())


def hex_runs(data: bytes) -> Iterator[str]:
    """Every maximal run of 64 or more hex digits."""
    if may_hold_ids(data):
        for match in RUN.finditer(data):
            yield match[0].decode()


def ids_in(run: str) -> Iterator[str]:
    """Every 64 digits of a run that may be an id; a run may hold several ids end to end."""
    return (run[at : at + ID_DIGITS] for at in range(len(run) - ID_DIGITS + 1))


def decode_text(parquet: bytes) -> Iterator[tuple[str, bytes]]:
    """The text of a Parquet file, by column and in batches of rows, one value per line.

    Raises pyarrow.ArrowInvalid or OSError where it cannot be decoded.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(BytesIO(parquet))
    names = [field.name for field in file.schema_arrow if _may_hold_text(field.type)]
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=names) if names else ():
        for name in batch.schema.names:
            yield name, "\n".join(map(_text, batch[name].to_pylist())).encode()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else repr(value)


def _may_hold_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_nested(kind)
        or pa.types.is_dictionary(kind)
    )
