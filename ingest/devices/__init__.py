"""Recordings of every supported device, one module each, chosen by suffix; `.gz` may follow any suffix.

A device module has `probe(ends) -> Probe` and `decode(data) -> Recording`. Both raise UserError, whose
message never holds the file's name: only the caller knows whether that may be shown.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, BinaryIO

from ingest.devices.ends import count_ends, decompress, read_ends
from ingest.recording import Probe, Recording
from pipeline.errors import UserError

DEVICES = {
    ".bin": "ingest.devices.geneactiv",
    ".cwa": "ingest.devices.axivity",
    ".gt3x": "ingest.devices.actigraph",
}
"""Suffix to the module that reads it."""

_GZIP = ".gz"


def is_recording(name: str) -> bool:
    """Whether the suffix of a file name or URL is one of a supported recording."""
    return _plain(name).endswith(tuple(DEVICES))


def probe(file: BinaryIO, name: str, size: int) -> Probe:
    """Device, span and size of a recording, from its ends; `file` is seekable and has `size` bytes.

    A `.gz` is decompressed once in a stream. Raises UserError for what is no recording.
    """
    module = _module(name)
    found: Probe = module.probe(count_ends(file) if _compressed(name) else read_ends(file, size))
    return found


def decode(data: Any, name: str) -> Recording:
    """The recording in the bytes of a whole file (bytes, memory map, any buffer); raises UserError."""
    module = _module(name)
    recording: Recording = module.decode(decompress(data) if _compressed(name) else data)
    return recording


def _compressed(name: str) -> bool:
    return name.lower().endswith(_GZIP)


def _plain(name: str) -> str:
    return name.lower().removesuffix(_GZIP)


def _module(name: str) -> Any:
    plain = _plain(name)
    for suffix, module in DEVICES.items():
        if plain.endswith(suffix):
            return import_module(module)
    raise UserError(
        f"no reader for this file: expected a name ending in {', '.join(sorted(DEVICES))} (or that with .gz)."
    )
