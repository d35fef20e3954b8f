"""Scores of rows and their differences, JSON-ready: a score that is not defined is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.evaluate.cells import Cell
from train.evaluate.dataset import LabelledSet
from train.evaluate.protocols import Split
from train.evaluate.rows import ROWS
from train.evaluate.scores.metrics import METRICS, confusion, interval, paired
from train.evaluate.scores.people import over_splits, score_tests

KINDS = {"pretrained": "linear", "random": "random"}
"""The two rows of the comparison with random weights, under the names of results.json."""


@dataclass(frozen=True)
class Scored:
    """A row's cells, by draw and split, and its scores.

    people_RP: by metric, (draws, people), the mean over the splits that test a person. tests_RSP: by metric, (draws,
    splits, people).
    """

    cells_RS: list[list[Cell]]
    people_RP: dict[str, NDArray[np.float64]]
    tests_RSP: dict[str, NDArray[np.float64]]

    @staticmethod
    def of(data: LabelledSet, splits: Sequence[Split], cells_RS: list[list[Cell]], variant: int = 0) -> Scored:
        """Score the predictions of one variant of the test windows."""
        tests_RSP = {
            metric: np.stack(
                [score_tests(function, data, splits, [cell.predicted_VN[variant] for cell in row]) for row in cells_RS]
            )
            for metric, function in METRICS.items()
        }
        people_RP = {
            metric: np.stack([over_splits(draw_SP) for draw_SP in scores]) for metric, scores in tests_RSP.items()
        }
        return Scored(cells_RS, people_RP, tests_RSP)

    def facts(self, name: str) -> list[list[Any]]:
        """Return a fact of every cell (draws, splits)."""
        return [[cell.facts[name] for cell in row] for row in self.cells_RS]


def summarise(data: LabelledSet, splits: Sequence[Split], rows: Mapping[str, Scored]) -> dict[str, Any]:
    """Return the scores of rows by name and all paired differences; with linear and random, their comparison too."""
    return {
        **(_pretrained_and_random(data, splits, rows) if set(KINDS.values()) <= set(rows) else {}),
        "classes": list(data.classes),
        "participants": list(data.people),
        "rows": {name: _row(data, splits, name, row) for name, row in rows.items()},
        "differences": [
            {"row": one, "other": other, **difference(rows[one], rows[other])} for one, other in combinations(rows, 2)
        ],
    }


def _row(data: LabelledSet, splits: Sequence[Split], name: str, row: Scored) -> dict[str, Any]:
    return {
        "title": ROWS[name].title,
        "draws": len(row.cells_RS),
        **{metric: score(row, metric) for metric in METRICS},
        "confusion": total_confusion(data, splits, row).tolist(),
        **{fact: row.facts(fact) for fact in row.cells_RS[0][0].facts},
    }


def score(row: Scored, metric: str) -> dict[str, Any]:
    """Return a row's mean over people with its 95% interval, and its mean in each draw, over tests, and by person.

    A test is a person in a split: the unit of the tables of ssl-wearables.
    """
    scores_RP, tests = row.people_RP[metric], row.tests_RSP[metric].mean(0)
    scored_P = np.isfinite(scores_RP).all(0)
    mean, low, high = interval(scores_RP)
    people_P, tests = scores_RP.mean(0), tests[np.isfinite(tests)]
    return {
        "people": int(scored_P.sum()),
        "mean": number(mean),
        "sd": number(_sd(people_P[scored_P])),
        "low": number(low),
        "high": number(high),
        "draws": [number(draw_P[scored_P].mean()) if scored_P.any() else None for draw_P in scores_RP],
        "tests": {
            "count": len(tests),
            "mean": number(tests.mean() if len(tests) else np.nan),
            "sd": number(_sd(tests)),
        },
        "by_person": [number(value) for value in people_P],
    }


def difference(one: Scored, other: Scored) -> dict[str, Any]:
    """Return the paired difference of two rows, for each metric."""
    return {metric: _difference(one.people_RP[metric], other.people_RP[metric]) for metric in METRICS}


def _difference(one_RP: NDArray[np.float64], other_RP: NDArray[np.float64]) -> dict[str, Any]:
    found = paired(one_RP, other_RP)
    return {
        "people": found.people,
        "mean": number(found.difference),
        "sd": number(found.difference_sd),
        "low": number(found.low),
        "high": number(found.high),
    }


def total_confusion(data: LabelledSet, splits: Sequence[Split], row: Scored) -> NDArray[np.int64]:
    """Return counts (classes, classes) of the first draw, over all splits: rows are the truth."""
    return sum(
        (
            confusion(data.y_N[split.test_N], cell.predicted_VN[0], len(data.classes))
            for split, cell in zip(splits, row.cells_RS[0], strict=True)
        ),
        np.zeros((len(data.classes),) * 2, np.int64),
    )


def _pretrained_and_random(data: LabelledSet, splits: Sequence[Split], rows: Mapping[str, Scored]) -> dict[str, Any]:
    """Return the comparison of the frozen backbone with random weights, as earlier releases wrote it."""
    scored = {kind: rows[row] for kind, row in KINDS.items()}
    subjects = []
    for person, name in enumerate(data.people):
        own = data.person_N == person
        tested = [number for number, split in enumerate(splits) if person in data.person_N[split.test_N]]
        subjects.append(
            {
                "subject": name,
                "fold": tested[0] if tested else None,
                "windows": int(own.sum()),
                "classes": len(np.unique(data.y_N[own])),
                **{
                    kind: {metric: number(row.people_RP[metric][:, person].mean()) for metric in METRICS}
                    for kind, row in scored.items()
                },
            }
        )
    return {
        "summary": {metric: _summary(*(row.people_RP[metric] for row in scored.values())) for metric in METRICS},
        "subjects": subjects,
        "confusion": total_confusion(data, splits, scored["pretrained"]).tolist(),
        "c": {kind: row.facts("c") for kind, row in scored.items()},
    }


def _summary(pretrained_1P: NDArray[np.float64], random_RP: NDArray[np.float64]) -> dict[str, Any]:
    """Return mean and SD over people of both kinds, their paired difference, and the mean of each random network."""
    result = paired(pretrained_1P, random_RP)
    scored_P = np.isfinite(pretrained_1P[0])
    draws = [float(draw_P[scored_P].mean()) for draw_P in random_RP] if scored_P.any() else []
    return {
        "people": result.people,
        **{kind: {"mean": number(result.mean[i]), "sd": number(result.sd[i])} for i, kind in enumerate(KINDS)},
        "difference": _difference(pretrained_1P, random_RP),
        "random_networks": draws,
        "beaten": sum(draw < result.mean[0] for draw in draws),
    }


def interval_of(scores_RP: NDArray[np.float64]) -> dict[str, float | None]:
    """Return the mean of scores (draws, people) and the ends of its 95% interval."""
    return dict(zip(("mean", "low", "high"), map(number, interval(scores_RP)), strict=True))


def difference_of(one_RP: NDArray[np.float64], other_RP: NDArray[np.float64]) -> dict[str, float | None]:
    """Return the mean paired difference of scores (draws, people) and the ends of its 95% interval."""
    found = paired(one_RP, other_RP)
    return {"mean": number(found.difference), "low": number(found.low), "high": number(found.high)}


def number(value: float) -> float | None:
    """Return a float, or None for NaN."""
    return float(value) if np.isfinite(value) else None


def _sd(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
