"""An evaluation: rows trained and tested by a protocol, on every core or the GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import UserError
from train.evaluate.cells import Cell, Cells, digest
from train.evaluate.curves import Curve
from train.evaluate.dataset import LabelledSet
from train.evaluate.domains import domain_blocks, summarise_domains
from train.evaluate.jobs import Block, Key, Variant, run_blocks
from train.evaluate.protocols import PROTOCOLS, Split, domain_splits, splits_of
from train.evaluate.results.summary import Scored, summarise
from train.evaluate.retrieval import retrieve
from train.evaluate.rows import RANDOM_NETWORKS, ROWS, Context, random_network
from train.evaluate.rows.head import PENALTIES
from train.evaluate.rows.training import EPOCHS
from train.evaluate.shifts.attack import Attack
from train.evaluate.shifts.losses import losses
from train.evaluate.shifts.variants import shifts
from train.evaluate.workers import workers
from train.networks import Encoder
from train.networks.weights import load_model

DEFAULT_ROWS = ("linear", "random", "forest")
BASELINES = ("random", "forest", "handmade", "scratch")
ATTACKED = 1_000
"""Added to the seed for the random network that is attacked."""
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

    `test_people` are ids, for the protocol `fixed`. `draws` is the number of seeds of rows that are trained with random
    numbers. `curves` are parts of the labels or people, `domain` leaves out the values of the labelled set's further
    column, `shifts` and `attack` change test windows (the attack needs the network to attack, and its name),
    `retrieval` compares nearest neighbours. Raises UserError for unknown names, and for `test_people` without `fixed`.
    """

    rows: tuple[str, ...] = DEFAULT_ROWS
    protocol: str = "folds"
    test_people: tuple[str, ...] = ()
    folds: int = 5
    seed: int = 0
    draws: int = 1
    epochs: int = EPOCHS
    curves: tuple[Curve, ...] = ()
    domain: str | None = None
    shifts: bool = False
    attack: tuple[str, Encoder] | None = None
    retrieval: bool = False

    def __post_init__(self) -> None:
        for option, given, known in (("--rows", self.rows, ROWS), ("--protocol", (self.protocol,), PROTOCOLS)):
            for name in given:
                if name not in known:
                    raise UserError(f"{option}: expected {', '.join(known)}; found {name!r}.")
        if not self.rows:
            raise UserError(f"--rows: expected at least one of {', '.join(ROWS)}; found none.")
        if (self.protocol == "fixed") != bool(self.test_people):
            found = f"--protocol {self.protocol}" if self.test_people else "none"
            raise UserError(
                "--test-people: expected ids of participants with commas, without another --protocol than fixed; found "
                f"{found}."
            )


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


def parse_people(text: str | None) -> tuple[str, ...]:
    """Return the ids of `--test-people`, each once, in their order."""
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


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
    notes, cells = list(data.notes), cells or Cells()
    folds = min(settings.folds, len(data.people))
    if settings.protocol == "folds" and folds < settings.folds:
        notes.append(f"{settings.folds} folds lowered to {folds}, one for each person")
    splits = splits_of(settings.protocol, data, folds, settings.seed, settings.test_people)
    tested_P = np.unique(np.concatenate([data.person_N[split.test_N] for split in splits]))
    variants = _variants(data, splits, settings)
    draws = {row: draws_of(row, settings.draws) for row in settings.rows}
    blocks = [
        Block(row, MAIN, draw, splits, () if draw else variants) for row in settings.rows for draw in range(draws[row])
    ]
    curve_blocks = [block for c in settings.curves for block in c.blocks(data, splits, settings.rows, settings.seed)]
    apart = (
        [] if data.domain_N is None else domain_splits(data, data.domain_N, folds, settings.seed, settings.test_people)
    )
    with workers() as pool:
        context = Context(data, network, pool, settings.seed, settings.epochs)
        all_blocks = [*blocks, *curve_blocks, *domain_blocks(apart, settings.rows, draws)]
        found = run_blocks(context, all_blocks, cells, progress)
        fixed_P = tested_P if settings.test_people else None
        retrieval = {"retrieval": retrieve(context, fixed_P)} if settings.retrieval else {}
    rows = {
        name: Scored.of(data, splits, [found[block.key] for block in blocks if block.row == name])
        for name in settings.rows
    }
    reference = reference_of(settings.rows)
    parts: dict[str, Any] = {c.name: c.summarise(data, splits, found, rows, reference) for c in settings.curves}
    if data.domain_N is not None:
        domains = summarise_domains(data, data.domain_N, apart, splits, found, rows)
        parts["domain"] = {"column": settings.domain, "values": domains}
    if variants:
        parts["shifts"] = losses(data, splits, rows, [variant.name for variant in variants])
    summary = summarise(data, splits, rows)
    return {
        "model": {"preset": network.preset, "width": network.width, "features": network.features},
        "data": {
            "windows": len(data.y_N),
            "people": len(data.people),
            "tested": len(tested_P),
            "classes": len(data.classes),
        },
        "folds": len(splits),
        "seed": settings.seed,
        "protocol": {"split": PROTOCOLS[settings.protocol], **PROTOCOL},
        "protocol_name": settings.protocol,
        "test_people": [data.people[number] for number in tested_P],
        "reference": reference,
        "notes": [*notes, *_notes(len(tested_P), cells, found, summary)],
        **summary,
        **parts,
        **retrieval,
    }


def to_attack(given: str, network: Encoder, seed: int) -> tuple[str, Encoder]:
    """Return a name and the network to attack: of random weights for `random`, else a model; raises UserError.

    The network is not one of those in the row `random`.
    """
    if given == "random":
        return "a random network", random_network(network, seed + ATTACKED)
    attacked = load_model(given)
    if attacked.ticks != network.ticks:
        raise UserError(
            f"--attack {given}: expected a network for windows of {network.ticks} ticks, found {attacked.ticks}. Give "
            "another model, or `random`."
        )
    state = attacked.state_dict()
    parts = (part for name in sorted(state) for part in (name, np.asarray(state[name].cpu().float())))
    return f"network {digest(parts)[:8]}", attacked


def _variants(data: LabelledSet, splits: list[Split], settings: Settings) -> list[Variant]:
    variants = shifts() if settings.shifts else []
    if settings.attack is not None:
        name, network = settings.attack
        variants += Attack(network, name, data, splits, settings.seed).variants()
    return variants


def _notes(tested: int, cells: Cells, found: dict[Key, list[Cell]], summary: dict[str, Any]) -> list[str]:
    notes = []
    if cells.stale:
        notes.append(
            f"{cells.stale} saved results of an earlier run were made with other settings, data, weights or versions: "
            "computed again"
        )
    if not all(cell.facts.get("converged", True) for cells_S in found.values() for cell in cells_S):
        notes.append("a linear head did not converge: scores may be off in their last digits")
    left_out = tested - min(row["kappa"]["people"] for row in summary["rows"].values())
    if left_out:
        notes.append(f"kappa leaves out {left_out} people with only one class")
    return notes


def reference_of(rows: tuple[str, ...]) -> str:
    """Return the row with which the others are compared: the first of BASELINES that there is, else the last row."""
    return next((name for name in BASELINES if name in rows), rows[-1])


def draws_of(row: str, draws: int) -> int:
    """Return how often a row is drawn: the networks of random weights, `draws` for others with randomness, else 1."""
    return ROWS[row].draws if ROWS[row].draws > 1 else draws if ROWS[row].random else 1
