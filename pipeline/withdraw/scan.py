"""Finding ids in bytes: 64 hex digits in a row, whatever stands around them.

Compressed samples are scanned at the speed of memory: a run of 64 covers every eighth byte eight times,
so a block in which no eight neighbours of every eighth byte are hex digits holds none. Parquet
compresses its text: its columns are decoded and scanned as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa

ID = 64
RUN = re.compile(rb"[0-9a-f]{64,}")
STRIDE = 8
ROWS = 8192

_HEX = np.zeros(256, np.bool_)
_HEX[list(b"0123456789abcdef")] = True


def may_hold_ids(data: bytes) -> bool:
    """False where no 64 hex digits stand in a row; nearly always so for compressed samples."""
    hits = _HEX[np.frombuffer(data, np.uint8)[::STRIDE]]
    for shift in (1, 2, 4):
        hits = hits[shift:] & hits[:-shift]
    return bool(hits.any())


def runs(data: bytes) -> Iterator[str]:
    """Every longest run of 64 or more hex digits."""
    if may_hold_ids(data):
        for match in RUN.finditer(data):
            yield match[0].decode()


def ids_in(run: str) -> Iterator[str]:
    """Every 64 digits of a run that may be an id: where two stand end to end, both."""
    return (run[at : at + ID] for at in range(len(run) - ID + 1))


def decoded(parquet: bytes) -> Iterator[tuple[str, bytes]]:
    """The text of a Parquet file, decoded, by column and in batches of rows; values stand apart.

    Raises pyarrow.ArrowInvalid or OSError where it cannot be decoded.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(BytesIO(parquet))
    names = [field.name for field in file.schema_arrow if _holds_text(field.type)]
    for batch in file.iter_batches(ROWS, columns=names) if names else ():
        for name in batch.schema.names:
            yield name, "\n".join(map(_text, batch[name].to_pylist())).encode()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else repr(value)


def _holds_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_nested(kind)
        or pa.types.is_dictionary(kind)
    )
