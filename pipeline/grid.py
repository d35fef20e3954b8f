"""The grid of a person-day. Every number here is part of the store's format (docs/store.md)."""

from __future__ import annotations

SAMPLE_RATE_HZ = 30
SECONDS_PER_DAY = 86_400
TICKS_PER_SECOND = SAMPLE_RATE_HZ
TICKS_PER_DAY = SECONDS_PER_DAY * TICKS_PER_SECOND
TICKS_PER_HOUR = 3_600 * TICKS_PER_SECOND

AXES = 3
FILL = -32_768
"""The int16 value of a tick that was not measured."""

COUNTS_PER_G = 1_024
"""Counts of one g by default; each store has its own value in its attributes."""

COUNT_LIMIT = 32_767
"""Values clip at plus and minus this many counts."""

WINDOW_SECONDS = (5, 10, 30)
"""Window lengths for which `person_days` stores the number of eligible starts."""
