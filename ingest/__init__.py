"""Recordings to person-days. Imports neither `train` nor torch.

For your own code: `read_recording` (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.lazy import lazy

if TYPE_CHECKING:
    from ingest.inspect.frame import read_recording

__all__ = ["read_recording"]

__getattr__ = lazy(__name__, {"read_recording": "ingest.inspect.frame:read_recording"})
