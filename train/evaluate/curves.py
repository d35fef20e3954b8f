"""Curves: scores with fewer labels or fewer labelled people, each part drawn several times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import UserError
from train.evaluate.cells import Cell
from train.evaluate.dataset import LabelledSet
from train.evaluate.jobs import Block, Key
from train.evaluate.protocols import Split
from train.evaluate.results.summary import Scored, difference_of, interval_of
from train.evaluate.scores.metrics import METRICS
from train.evaluate.subsets import fewer_labels, fewer_people

Part = Callable[[LabelledSet, Split, Any, int], Split]
PARTS: dict[str, Part] = {"labels": fewer_labels, "people": fewer_people}


@dataclass(frozen=True)
class Curve:
    """Values of `labels` (percent of each class) or `people` (number) to train with; each is drawn `repeats` times."""

    name: str
    values: tuple[float, ...]
    repeats: int

    def blocks(self, data: LabelledSet, splits: Sequence[Split], rows: Sequence[str], seed: int) -> list[Block]:
        """Return the blocks of all values but those that take everything, which the main table has."""
        part, blocks = PARTS[self.name], []
        for value in self.values:
            for repeat in range(0 if self.takes_all(value, data, splits) else self.repeats):
                seeds = [seed + 1_000 * (repeat + 1) + number for number in range(len(splits))]
                parts = [part(data, split, value, own) for split, own in zip(splits, seeds, strict=True)]
                blocks += [Block(row, f"{self.name}{value:g}", repeat, parts) for row in rows]
        return blocks

    def takes_all(self, value: float, data: LabelledSet, splits: Sequence[Split]) -> bool:
        """Whether a value leaves nothing out."""
        if self.name == "labels":
            return value >= 100
        return all(value >= len(np.unique(data.person_N[split.train_N])) for split in splits)

    def summarise(
        self,
        data: LabelledSet,
        splits: Sequence[Split],
        cells: Mapping[Key, list[Cell]],
        main: Mapping[str, Scored],
        reference: str,
    ) -> dict[str, Any]:
        """Return the scores of each row at each value, and minus the reference row in the same draws, JSON-ready."""
        scored = {row: [self._scored(data, splits, cells, main, row, value) for value in self.values] for row in main}
        return {
            "values": list(self.values),
            "repeats": self.repeats,
            "reference": reference,
            "rows": {
                row: [{metric: interval_of(each.people_RP[metric]) for metric in METRICS} for each in parts]
                for row, parts in scored.items()
            },
            "minus_reference": {
                row: [
                    {metric: _minus(one, other, metric) for metric in METRICS}
                    for one, other in zip(parts, scored[reference], strict=True)
                ]
                for row, parts in scored.items()
                if row != reference
            },
        }

    def _scored(
        self,
        data: LabelledSet,
        splits: Sequence[Split],
        cells: Mapping[Key, list[Cell]],
        main: Mapping[str, Scored],
        row: str,
        value: float,
    ) -> Scored:
        if self.takes_all(value, data, splits):
            return main[row]
        draws = [cells[row, f"{self.name}{value:g}", repeat] for repeat in range(self.repeats)]
        return Scored.of(data, splits, draws)


def parse_values(option: str, text: str | None) -> tuple[float, ...]:
    """Return the numbers of an option, in ascending order; raises UserError unless they are above 0."""
    if text is None:
        return ()
    try:
        values = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError:
        values = []
    largest = 100 if option == "--labels" else float("inf")
    usable = values and values[0] > 0 and values[-1] <= largest and (option == "--labels" or _integers(values))
    if not usable:
        expected = "percentages above 0 and up to 100" if option == "--labels" else "numbers of people, at least 1"
        raise UserError(f"{option}: expected {expected}, with commas; found {text!r}.")
    return tuple(values) if option == "--labels" else tuple(map(int, values))


def _integers(values: list[float]) -> bool:
    return all(value >= 1 and value.is_integer() for value in values)


def _minus(one: Scored, other: Scored, metric: str) -> dict[str, float | None]:
    """Return the difference; draws of one part are paired, because both rows get the same labels."""
    one_RP, other_RP = one.people_RP[metric], other.people_RP[metric]
    if len(one_RP) == len(other_RP):
        return interval_of(one_RP - other_RP)
    return difference_of(one_RP, other_RP)
