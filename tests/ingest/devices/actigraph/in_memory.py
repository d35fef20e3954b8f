"""A recording in memory, under a file name that identifies a person."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from ingest.devices.registry import probe
from tests.ingest.devices.gt3x_file import SECOND

NAME = "Jane_Doe_wrist.gt3x"
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
FIRST_US = SECOND * 1_000_000


def probe_bytes(data: bytes, name: str = NAME) -> Any:
    return probe(io.BytesIO(data), name, len(data))
