"""Deflate and gzip by Intel's library (isal), twice as fast as Python's zlib, which replaces it where isal is missing.

isal reports damage but loses the bytes right before it; zlib is used to recover those.
"""

from __future__ import annotations

import gzip
import zlib
from typing import Any

GzipFile: Any
decompressobj: Any
crc32: Any
DEFLATE_ERRORS: Any
"""What both libraries raise for damaged data."""

try:
    from isal import igzip, isal_zlib
except ImportError:
    GzipFile, decompressobj, crc32 = gzip.GzipFile, zlib.decompressobj, zlib.crc32
    DEFLATE_ERRORS = (zlib.error,)
else:
    GzipFile, decompressobj, crc32 = igzip.IGzipFile, isal_zlib.decompressobj, isal_zlib.crc32
    DEFLATE_ERRORS = (zlib.error, isal_zlib.error)
