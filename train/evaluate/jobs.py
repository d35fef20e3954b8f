"""Run rows on splits: every core takes a cell, cells are saved as they end, and saved ones are not computed again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from train.evaluate.cells import Cell, Cells, digest, versions
from train.evaluate.protocols import Split
from train.evaluate.rows import ROWS, Context
from train.evaluate.rows.features import device
from train.evaluate.rows.row import Fitted, Inputs, Learner, Lesson

FORMAT = 1
"""Raised when a row changes in a way that makes saved cells wrong."""
PACKAGES = ("torch", "numpy", "scikit-learn")
EXTRA_COST = 0.1
"""A guess at the cost of a variant of the test windows, as a share of that of training."""

Key = tuple[str, str, int]
"""Row, setting and draw."""


Change = Callable[[int, NDArray[np.int64], NDArray[np.float32]], NDArray[np.float32]]
"""Maps a split's number, numbers of windows and the windows in g (windows, 3, ticks) to changed windows."""


class Variant(NamedTuple):
    """A change of test windows; the name must say all that the result depends on."""

    name: str
    of: Change


@dataclass(frozen=True)
class Block:
    """One row, trained in one setting (a name and its splits) with one random draw; tested on variants too.

    With `logits` the cells keep those of the test windows; trees have none.
    """

    row: str
    setting: str
    draw: int
    splits: Sequence[Split]
    variants: Sequence[Variant] = ()
    logits: bool = False

    @property
    def key(self) -> Key:
        """The block's place in the results."""
        return self.row, self.setting, self.draw

    @property
    def input_draw(self) -> int:
        """The draw of the row's inputs: rows with a fixed number of draws repeat them."""
        return self.draw % ROWS[self.row].draws


class Interrupted(Exception):
    """Another cell failed, or the user interrupted the run."""


def run_blocks(
    context: Context,
    blocks: Iterable[Block],
    cells: Cells,
    progress: Callable[[float, str], None] = lambda share, note: None,
) -> dict[Key, list[Cell]]:
    """Return the cells of every block, one for each split; `progress` receives the share that is done and a note.

    Blocks whose inputs are kept run side by side; random networks run one after the other, so that the features of
    only one are in memory.
    """
    prints = Fingerprints(context)
    groups: dict[tuple[str, int], list[Block]] = defaultdict(list)
    for block in sorted(blocks, key=lambda block: ROWS[block.row].cost):
        row = ROWS[block.row]
        groups[(block.row, block.input_draw) if row.draws > 1 else ("", 0)].append(block)
    work = Work(
        [(block, number) for group in groups.values() for block in group for number in range(len(block.splits))]
    )
    results: dict[Key, list[Cell]] = {}
    for group in groups.values():
        found = {block.key: _saved(block, cells, prints) for block in group}
        missing = [(block, number) for block in group for number, cell in enumerate(found[block.key]) if cell is None]
        for block in group:
            for number, cell in enumerate(found[block.key]):
                if cell is not None:
                    work.report(block, number, 1)
        work.watched = progress
        for block, number, cell in _compute(context, missing, work):
            cells.save(cell_name(block, number), prints.of(block, number), cell)
            found[block.key][number] = cell
            work.report(block, number, 1)
        results |= {key: [cell for cell in row if cell is not None] for key, row in found.items()}
    progress(1, "")
    return results


class Work:
    """How much of all cells is done. A cell's part is in proportion to its guessed cost."""

    def __init__(self, cells: list[tuple[Block, int]]) -> None:
        self.costs = {(block.key, number): _cost(block, block.splits[number]) for block, number in cells}
        self.shares, self.total, self.done = dict.fromkeys(self.costs, 0.0), sum(self.costs.values()), 0.0
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.watched: Callable[[float, str], None] = lambda share, note: None

    def report(self, block: Block, number: int, share: float, note: str = "") -> None:
        """Note that `share` of a cell is done; raises Interrupted after `stopped` was set."""
        if self.stopped.is_set():
            raise Interrupted
        with self.lock:
            cell = block.key, number
            self.done += (share - self.shares[cell]) * self.costs[cell]
            self.shares[cell] = share
            self.watched(self.done / self.total, ", ".join(part for part in (ROWS[block.row].title, note) if part))


def _compute(context: Context, missing: list[tuple[Block, int]], work: Work) -> Iterator[tuple[Block, int, Cell]]:
    """Yield cells as they end; if one fails, or the caller stops, the others end soon."""
    made: dict[tuple[str, int], tuple[list[Inputs], Learner]] = {}
    for block, _ in missing:
        if (block.row, block.draw) not in made:
            row = ROWS[block.row]
            made[block.row, block.draw] = row.inputs(context, block.input_draw), row.learner(context, block.draw)
    waiting = {
        context.pool.submit(_cell, context, block, number, *made[block.row, block.draw], work): (block, number)
        for block, number in missing
    }
    try:
        for future in as_completed(waiting):
            yield *waiting[future], future.result()
    except BaseException:
        work.stopped.set()
        raise
    finally:
        for future in waiting:
            future.cancel()


def _cell(context: Context, block: Block, number: int, inputs: list[Inputs], learn: Learner, work: Work) -> Cell:
    """Train a row on one split and predict the split's test windows, and each variant of them."""
    trained = 1 / (1 + EXTRA_COST * len(block.variants))

    def report(share: float, note: str) -> None:
        work.report(block, number, share * trained, note)

    data, split = context.data, block.splits[number]
    fitted = fit(context, split, inputs, learn, block.draw, report)
    logits_NK = fitted.logits_of_set(split.test_N) if block.logits else None
    predicted = [fitted.of_set(split.test_N) if logits_NK is None else logits_NK.argmax(1)]
    for done, variant in enumerate(block.variants):
        work.report(block, number, trained + (1 - trained) * done / len(block.variants), variant.name)
        predicted.append(fitted.of(variant.of(number, split.test_N, data.x_NCT[split.test_N])))
    names = tuple(variant.name for variant in block.variants)
    return Cell(np.stack(predicted), fitted.learned.facts, names, logits_NK)


def fit(
    context: Context,
    split: Split,
    inputs: list[Inputs],
    learn: Learner,
    draw: int = 0,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Fitted:
    """Train a row on the training windows of a split."""
    report(0, "")
    data = context.data
    lesson = Lesson(
        inputs_VN=[each.set_N[split.train_N] for each in inputs],
        y_N=data.y_N[split.train_N],
        held_out_N=split.held_out_N,
        classes=len(data.classes),
        seed=context.seed + draw,
        report=report,
    )
    learned = learn(lesson)
    return Fitted(learned, inputs[learned.view])


def _saved(block: Block, cells: Cells, prints: Fingerprints) -> list[Cell | None]:
    names = [variant.name for variant in block.variants]
    return [
        cells.load(cell_name(block, number), prints.of(block, number), names, block.logits)
        if cells.unfinished
        else None
        for number in range(len(block.splits))
    ]


def _cost(block: Block, split: Split) -> float:
    """Return a guess at the time of a cell, for the progress."""
    row = ROWS[block.row]
    extra = 1 + EXTRA_COST * len(block.variants)
    return row.cost * extra * (len(split.train_N) + len(split.test_N))


def cell_name(block: Block, number: int) -> str:
    """Return the name of a cell's file, without names of people or domains."""
    return f"{block.row}.{block.setting}.draw{block.draw}.split{number}"


class Fingerprints:
    """Keys of cells: digests of everything that a cell depends on."""

    def __init__(self, context: Context) -> None:
        data = context.data
        self.context = context
        self.data = digest([data.x_NCT, data.y_N, data.person_N, list(data.classes)])
        state = context.network.state_dict()
        self.model = digest(
            part for name in sorted(state) for part in (name, np.asarray(state[name].detach().cpu().float()))
        )
        self.rest: list[Any] = [FORMAT, context.seed, str(device()), versions(PACKAGES)]

    def of(self, block: Block, number: int) -> str:
        """Return the key of one cell."""
        split = block.splits[number]
        row = ROWS[block.row]
        depends = [self.model if row.uses_model else "", self.context.epochs if row.epochs else 0]
        windows = [split.train_N, split.test_N, split.held_out_N]
        return digest([*self.rest, block.row, block.draw, self.data, *depends, *windows])
