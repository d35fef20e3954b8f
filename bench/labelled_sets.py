"""Write a labelled set of ../shared/data/labelled (.npz) as the table that `persondays labelled table` reads.

    python -m bench.labelled_sets SET.npz OUT.parquet

A row for each sample: participant, activity, location (place on the body), trial (number of the segment), time (seconds
since the segment's start, even at its rate), x, y, z (g).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

COUNTS_PER_G = 1024


def write_table(source: Path, out: Path) -> None:
    """Write the table of a set."""
    with np.load(source) as found:
        arrays = {name: found[name] for name in ("xyz", "start", "subject", "label", "position", "rate")}
    count_S = np.diff(arrays["start"])
    segment_N = np.repeat(np.arange(len(count_S)), count_S)
    row_N = np.arange(len(segment_N)) - arrays["start"][:-1][segment_N]
    names = {"participant": "subject", "activity": "label", "location": "position"}
    columns: dict[str, pa.Array] = {
        name: pa.DictionaryArray.from_arrays(pa.array(segment_N, pa.int32()), pa.array(arrays[own].astype(str)))
        for name, own in names.items()
    }
    columns |= {"trial": pa.array(segment_N), "time": pa.array(row_N / arrays["rate"][segment_N])}
    columns |= {axis: pa.array(arrays["xyz"][:, i] / np.float32(COUNTS_PER_G)) for i, axis in enumerate("xyz")}
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), out, compression="zstd")


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), Path(sys.argv[2]))
