"""Features of your own recording: one row of numbers for every 10 seconds that were worn.

    python examples/csv_to_features.py recording.csv features.csv [--model wrist-small]

Any recording that persondays reads: csv or Parquet with a time and three axes, .cwa, .gt3x, .bin.
Needs pip install 'persondays[train,pandas]'.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import torch

from ingest import read_recording
from train import load_backbone

TICKS_PER_SECOND = 30


def main() -> None:
    """Read, cut into windows, run the backbone, write a table."""
    arguments = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    arguments.add_argument("recording")
    arguments.add_argument("out")
    arguments.add_argument("--model", default="wrist-small", help="an exported folder, weights, or a backbone's name")
    given = arguments.parse_args()

    data, figures = read_recording(given.recording)
    print(f"{figures['device']}: worn for {figures['wear_hours']:.1f} h, {figures['verdict']}")

    backbone = load_backbone(given.model)
    ticks = backbone.ticks
    count = len(data) // ticks
    data = data[: count * ticks]
    x_BCT = data[["x", "y", "z"]].to_numpy().reshape(count, ticks, 3).transpose(0, 2, 1)
    eligible_B = data["eligible"].to_numpy().reshape(count, ticks).all(axis=1)
    start_B, end_B = data.index[::ticks], data.index[ticks - 1 :: ticks]
    kept_B = eligible_B & (end_B - start_B < pd.Timedelta(seconds=ticks / TICKS_PER_SECOND))  # not over a missing day

    with torch.inference_mode():
        pieces = torch.from_numpy(np.ascontiguousarray(x_BCT[kept_B])).split(256)
        features_BF = torch.cat([backbone(piece).flatten(1) for piece in pieces]).numpy()
    table = pd.DataFrame(features_BF, index=start_B[kept_B])
    table.to_csv(given.out)
    print(f"{given.out}: {table.shape[0]:,} windows of {table.shape[1]} features")


if __name__ == "__main__":
    main()
