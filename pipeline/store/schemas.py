"""The columns of the store's tables (docs/store.md), and which of them have statistics.

The minimum and maximum of a text column would name participants, in a table's log and in the footers of its files.
"""

from __future__ import annotations

import pyarrow as pa

PLAN = pa.schema(
    [
        ("recording", pa.string()),
        ("participant", pa.string()),  # whose slots these are, before another table has a row
        ("source", pa.string()),  # fingerprint of size and etag: a changed file gets new slots
        ("first_slot", pa.int64()),
        ("slots", pa.int32()),
    ]
)

PERSON_DAYS = pa.schema(
    [
        ("slot", pa.int64()),
        ("recording", pa.string()),
        ("participant", pa.string()),
        ("day", pa.date32()),  # null with --relative-dates
        ("day_index", pa.int32()),  # 0 is the recording's first day
        ("device", pa.string()),
        ("serial", pa.string()),
        ("location", pa.string()),
        ("calibration", pa.string()),
        ("upsampled", pa.bool_()),
        ("measured_seconds", pa.int32()),
        ("idle_seconds", pa.int32()),
        ("gap_seconds", pa.int32()),
        ("clipped_seconds", pa.int32()),
        ("nonwear_seconds", pa.int32()),
        ("bad_seconds", pa.int32()),
        ("wear_seconds", pa.int32()),
        ("eligible_seconds", pa.int32()),
        ("eligible_5s", pa.int32()),
        ("eligible_10s", pa.int32()),
        ("eligible_30s", pa.int32()),
        ("motion_sum_g", pa.float64()),
        ("enmo_mg", pa.float32()),
        ("checksum", pa.string()),
    ]
)

RECORDINGS = pa.schema(
    [
        ("recording", pa.string()),
        ("participant", pa.string()),
        ("source", pa.string()),
        ("size", pa.int64()),
        ("status", pa.string()),  # done or rejected
        ("reason", pa.string()),
        ("person_days", pa.int32()),
        ("device", pa.string()),
        ("serial", pa.string()),
        ("location", pa.string()),
        ("figures", pa.string()),  # every QC figure of ingest.process, as JSON
    ]
)

ALIGNMENTS = pa.schema(  # derived from the arrays; names nobody
    [
        ("slot", pa.int64()),
        ("other_slot", pa.int64()),
        ("first_second", pa.int32()),
        ("seconds", pa.int32()),
        ("offset_ticks", pa.float64()),
        ("drift_ppm", pa.float64()),
        ("correlation", pa.float64()),
        ("method", pa.string()),
        ("eligible_5s", pa.int32()),
        ("eligible_10s", pa.int32()),
        ("eligible_30s", pa.int32()),
    ]
)

SCHEMAS = {"plan": PLAN, "person_days": PERSON_DAYS, "recordings": RECORDINGS, "alignments": ALIGNMENTS}


def with_statistics(schema: pa.Schema) -> list[str]:
    """Columns with stored minima and maxima: those of numbers."""
    return [field.name for field in schema if not pa.types.is_string(field.type) and not pa.types.is_date(field.type)]
