"""Leave a domain out: what a row loses when a device, place or season was in no training window.

Each value of a column is left out of training in turn. The comparison is the main table's training on the same test
windows: other people too, but with this domain among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.evaluate.cells import Cell
from train.evaluate.dataset import LabelledSet
from train.evaluate.jobs import Block, Key
from train.evaluate.protocols import Split
from train.evaluate.results.summary import Scored, difference_of, interval_of
from train.evaluate.scores.metrics import METRICS

SETTING = "domain"


def domain_blocks(splits: Sequence[Split], rows: Sequence[str], draws: Mapping[str, int]) -> list[Block]:
    """Return the blocks that leave each domain out."""
    return [Block(row, SETTING, draw, splits) for row in rows for draw in range(draws[row])]


def summarise_domains(
    data: LabelledSet,
    domain_N: NDArray[np.str_],
    splits: Sequence[Split],
    main_splits: Sequence[Split],
    cells: Mapping[Key, list[Cell]],
    main: Mapping[str, Scored],
) -> list[dict[str, Any]]:
    """Return, for each domain and row, scores with the domain left out and in training, and the loss, JSON-ready."""
    found = []
    for domain in dict.fromkeys(split.domain for split in splits):
        numbers = [number for number, split in enumerate(splits) if split.domain == domain]
        own = [splits[number] for number in numbers]
        inside = [_only(split, domain_N == domain) for split in main_splits]
        rows = {}
        for row, scored in main.items():
            draws = range(len(scored.cells_RS))
            left_out = Scored.of(data, own, [[cells[row, SETTING, draw][n] for n in numbers] for draw in draws])
            kept = [split.test_N for split in main_splits]
            trained = Scored.of(
                data,
                inside,
                [
                    [
                        Cell(cell.predicted_VN[:1, domain_N[test_N] == domain], {})
                        for cell, test_N in zip(draw_S, kept, strict=True)
                    ]
                    for draw_S in scored.cells_RS
                ],
            )
            rows[row] = {
                metric: {
                    "left_out": interval_of(left_out.people_RP[metric]),
                    "in_training": interval_of(trained.people_RP[metric]),
                    "lost": difference_of(trained.people_RP[metric], left_out.people_RP[metric]),
                }
                for metric in METRICS
            }
        people = len(np.unique(data.person_N[domain_N == domain]))
        found.append({"domain": domain, "windows": int((domain_N == domain).sum()), "people": people, "rows": rows})
    return found


def _only(split: Split, kept_N: NDArray[np.bool_]) -> Split:
    return Split(split.train_N, split.test_N[kept_N[split.test_N]], split.held_out_N)
