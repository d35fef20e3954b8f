"""From where on a recording is worth a look: fixed limits, so that it is judged alike at ingest and in every report.

They are drawn from no cohort: one that is strange as a whole shows as such.
"""

from __future__ import annotations

LEAST_ELIGIBLE_H = 1
"""Hours that may be drawn for training, without which a recording is of no use."""
WORN_LITTLE_H = 24
MOST_ERROR_MG = 10
"""Mean distance from one g at rest."""
MOST_NOISE_MG = 10
"""Of a sensor at rest; stillness is told by under 13."""
MOST_RATE_OFF = 0.03
MOST_RESIDUAL_MS = 50
LONG_GAP_H = 1
MUCH_CLIPPED = 0.01
"""Of the measured seconds."""
MANY_BLOCKS = 100
"""Damaged, or telling a time that others contradict."""
ENMO_RANGE_MG = (5, 100)
"""Of a person, over days."""
