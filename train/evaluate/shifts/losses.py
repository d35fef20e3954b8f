"""What each row loses to each shift: the paired difference of its scores on the windows and on the shifted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from train.evaluate.dataset import LabelledSet
from train.evaluate.protocols import Split
from train.evaluate.results.summary import Scored, number
from train.evaluate.scores.metrics import METRICS, paired


def losses(
    data: LabelledSet, splits: Sequence[Split], rows: Mapping[str, Scored], names: Sequence[str]
) -> dict[str, Any]:
    """Return the score and the loss of every row's first draw for each variant of the test windows, JSON-ready."""
    table: dict[str, Any] = {}
    for row, scored in rows.items():
        first = Scored.of(data, splits, scored.cells_RS[:1])
        table[row] = []
        for variant in range(1, len(names) + 1):
            shifted = Scored.of(data, splits, scored.cells_RS[:1], variant)
            entry = {}
            for metric in METRICS:
                found = paired(first.people_RP[metric], shifted.people_RP[metric])
                entry[metric] = {
                    "mean": number(found.mean[1]),
                    "lost": number(found.difference),
                    "low": number(found.low),
                    "high": number(found.high),
                }
            table[row].append(entry)
    return {"shifts": list(names), "rows": table}
