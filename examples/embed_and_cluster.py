"""Find kinds of movement without labels: embed the windows of a store, cluster them, and say who does what how long.

    python examples/embed_and_cluster.py store out [--clusters 8] [--model wrist-small]

Needs pip install 'persondays[train,evaluate,pandas]'.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

SECONDS_PER_WINDOW = 10


def main() -> None:
    """Embed, cluster, write hours per participant and cluster."""
    arguments = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    arguments.add_argument("store")
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--clusters", type=int, default=8)
    arguments.add_argument("--model", default="wrist-small", help="an exported folder, weights, or a backbone's name")
    given = arguments.parse_args()

    features = given.out / "features"  # the command resumes, and uses all processes that torchrun starts
    embed = [sys.executable, "-m", "train.embed", "--store", given.store, "--out", str(features)]
    subprocess.run([*embed, "--model", given.model], check=True)
    rows = pq.read_table(features, columns=["participant", "slot", "start_second", "vector"]).to_pandas()

    vectors_BF = StandardScaler().fit_transform(np.stack(rows.pop("vector").to_list()))
    reduced_BF = PCA(min(32, *vectors_BF.shape), random_state=0).fit_transform(vectors_BF)
    clustering = MiniBatchKMeans(given.clusters, random_state=0, n_init=3)
    rows["cluster"] = clustering.fit_predict(reduced_BF)
    rows.to_parquet(given.out / "clusters.parquet")

    hours = rows.groupby(["participant", "cluster"]).size().unstack(fill_value=0) * SECONDS_PER_WINDOW / 3600
    hours.index = hours.index.str[:12]
    hours.to_csv(given.out / "hours.csv")
    print(hours.round(2).to_string())


if __name__ == "__main__":
    main()
