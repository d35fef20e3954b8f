"""An evaluation: rows trained and tested by a protocol, on every core or the GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UserError
from train.evaluate.cells import Cells
from train.evaluate.dataset import LabelledSet
from train.evaluate.jobs import Block, run_blocks
from train.evaluate.protocols import PROTOCOLS, splits_of
from train.evaluate.results.summary import Scored, summarise
from train.evaluate.rows import RANDOM_NETWORKS, ROWS, Context
from train.evaluate.rows.head import PENALTIES
from train.evaluate.rows.training import EPOCHS
from train.evaluate.workers import workers
from train.networks import Encoder

DEFAULT_ROWS = ("linear", "random", "forest")
MAIN = "all"
"""The setting with all labels and people."""
PROTOCOL = {
    "head": "multinomial logistic regression on standardised features, L2, solved to its optimum",
    "penalty": f"C of {', '.join(f'{c:g}' for c in PENALTIES)}, for each network and split by macro F1 on the training "
    "people held out",
    "random": f"mean score of {RANDOM_NETWORKS} networks with random weights, each with BatchNorm statistics as "
    "initialised or of these windows without their labels, chosen like C",
    "macro_f1": "for each person, mean F1 over the classes in that person's truth",
    "macro_f1_union": "for each person, mean F1 over the classes in that person's truth or predictions",
    "kappa": "for each person, Cohen's kappa; people with one class in their truth are left out",
    "interval": "95%: Student's t, squared errors over people and over random draws added",
    "beaten": "random networks whose mean over people is below the pretrained one's",
}


@dataclass(frozen=True)
class Settings:
    """What to evaluate; rows are names in `ROWS`, protocol is a name in `PROTOCOLS`.

    `draws` is the number of seeds of rows that are trained with random numbers. Raises UserError for unknown names.
    """

    rows: tuple[str, ...] = DEFAULT_ROWS
    protocol: str = "folds"
    folds: int = 5
    seed: int = 0
    draws: int = 1
    epochs: int = EPOCHS

    def __post_init__(self) -> None:
        for option, given, known in (("--rows", self.rows, ROWS), ("--protocol", (self.protocol,), PROTOCOLS)):
            for name in given:
                if name not in known:
                    raise UserError(f"{option}: expected {', '.join(known)}; found {name!r}.")
        if not self.rows:
            raise UserError(f"--rows: expected at least one of {', '.join(ROWS)}; found none.")


def parse_rows(text: str | None, notes: list[str]) -> tuple[str, ...]:
    """Return the rows of `--rows`, or the default ones; `all` is every row. Rows keep the order of `ROWS`.

    A default row whose package is missing is left out, with a note; for a row that was asked for, ModuleNotFoundError.
    """
    if text is None:
        missing = [name for name in DEFAULT_ROWS if not _installed(name)]
        if missing:
            notes.append(
                f"the row {', '.join(missing)} is left out: it needs scikit-learn (pip install 'persondays[evaluate]')"
            )
        return tuple(name for name in DEFAULT_ROWS if name not in missing)
    asked = set(ROWS) if text.strip() == "all" else {name.strip() for name in text.split(",") if name.strip()}
    for name in asked & set(ROWS):
        if ROWS[name].package:
            importlib.import_module(ROWS[name].package)
    return tuple(name for name in ROWS if name in asked) + tuple(sorted(asked - set(ROWS)))


def _installed(name: str) -> bool:
    return not ROWS[name].package or importlib.util.find_spec(ROWS[name].package) is not None


def evaluate(
    network: Encoder,
    data: LabelledSet,
    settings: Settings,
    cells: Cells | None = None,
    progress: Callable[[float, str], None] = lambda share, note: None,
) -> dict[str, Any]:
    """Return the results, JSON-ready; `progress` receives the share that is done and a note.

    Cells saved by an interrupted run with the same settings are used again.
    """
    notes = list(data.notes)
    folds = min(settings.folds, len(data.people))
    if settings.protocol == "folds" and folds < settings.folds:
        notes.append(f"{settings.folds} folds lowered to {folds}, one for each person")
    splits = splits_of(settings.protocol, data, folds, settings.seed)
    blocks = [Block(row, MAIN, draw, splits) for row in settings.rows for draw in range(draws_of(row, settings.draws))]
    cells = cells or Cells()
    with workers() as pool:
        context = Context(data, network, pool, settings.seed, settings.epochs)
        found = run_blocks(context, blocks, cells, progress)
    rows = {
        name: Scored.of(data, splits, [found[block.key] for block in blocks if block.row == name])
        for name in settings.rows
    }
    if cells.stale:
        notes.append(
            f"{cells.stale} saved results of an earlier run were made with other settings, data, weights or versions: "
            "computed again"
        )
    if not all(fact for row in rows.values() for cells_S in row.cells_RS for fact in _facts(cells_S, "converged")):
        notes.append("a linear head did not converge: scores may be off in their last digits")
    summary = summarise(data, splits, rows)
    left_out = len(data.people) - min(row["kappa"]["people"] for row in summary["rows"].values())
    if left_out:
        notes.append(f"kappa leaves out {left_out} people with only one class, or never tested")
    return {
        "model": {"preset": network.preset, "width": network.width, "features": network.features},
        "data": {"windows": len(data.y_N), "people": len(data.people), "classes": len(data.classes)},
        "folds": len(splits),
        "seed": settings.seed,
        "protocol": {"split": PROTOCOLS[settings.protocol], **PROTOCOL},
        "protocol_name": settings.protocol,
        "notes": notes,
        **summary,
    }


def draws_of(row: str, draws: int) -> int:
    """Return how often a row is drawn: the networks of random weights, `draws` for others with randomness, else 1."""
    return ROWS[row].draws if ROWS[row].draws > 1 else draws if ROWS[row].random else 1


def _facts(cells: Iterable[Any], name: str) -> list[Any]:
    return [cell.facts[name] for cell in cells if name in cell.facts]
