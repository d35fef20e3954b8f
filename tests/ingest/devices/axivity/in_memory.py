"""A recording in memory, under a file name that identifies a person."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

from ingest.devices.registry import probe
from tests.ingest.devices.cwa_file import START, block

NAME = "EID_12345_secret.cwa"


def probe_bytes(data: bytes, name: str = NAME) -> Any:
    return probe(io.BytesIO(data), name, len(data))


def still(blocks: int = 30, **kwargs: Any) -> bytes:
    """Blocks of 120 samples each, one every 1.2 s."""
    return b"".join(
        block(
            [(0, 0, 256)] * 120,
            [2] * 120,
            sequence=k,
            time=START + timedelta(seconds=int(k * 1.2)),
            fraction=round((k * 1.2 % 1) * 32768),
            **kwargs,
        )
        for k in range(blocks)
    )
