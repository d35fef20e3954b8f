"""A table of features names the windows to draw, and each comes with its vector: a kind of companions defined here.

This is the part of distillation that concerns the stream: a teacher's vectors reach the loss by the place of a window.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from pipeline import grid
from pipeline.errors import UserError
from pipeline.store.day_reader import DayReader
from pipeline.store.store import Store
from tests.train.days import NoiseDays, write_store
from tests.train.runs import alone, same_checkpoint
from tests.train.windows.companions.streams import SECONDS, Streamed, check_any_world_size, check_resuming
from train.checkpoint import format as ck
from train.embed.table import read_index, read_vectors
from train.objectives import OBJECTIVES, Objective
from train.objectives.objective import Figures
from train.random import WindowRandom
from train.tracking.log import read_lines
from train.windows.companions.kind import AnchorDay, Bound, Chooser, Companions, NoCompanions
from train.windows.draw import Float, Int, weights
from train.windows.lanes import deal, quotas
from train.windows.members import Members
from train.windows.settings import DataSettings

SLOTS, UNNAMED, EVERY_S = 10, 3, 10
"""Days of the store, the one without a vector, and seconds between vectors."""


class Named(NoCompanions):
    """Draws only the named starts of each day; no further windows come with them."""

    def __init__(self, named: Mapping[int, Int]) -> None:
        self._named = named

    def weights(self, anchor: AnchorDay) -> Float:
        weight_S = np.zeros(grid.SECONDS_PER_DAY)
        named = self._named[anchor.slot]
        weight_S[named] = anchor.weights_of(anchor.slot)[named]
        return weight_S


class InTable(Companions):
    """The windows that have a vector in a table of features, with these vectors."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.place_N, self.vector_NF = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0)

    def facts(self, store: Store) -> dict[str, Any]:
        slot_N, start_N = read_index(self.url)
        return {"table": sha256(slot_N.tobytes() + start_N.tobytes()).hexdigest()}

    def bind(self, members: Members, store: Store, data: DataSettings, facts: Mapping[str, Any]) -> Bound:
        if self.facts(store) != facts:
            raise UserError(f"{self.url}: expected the table that the run began with, found another.")
        parts = list(read_vectors(self.url, members.slots.tolist()))
        slot_N, start_N = (np.concatenate([part[column] for part in parts]).astype(np.int64) for column in (0, 1))
        place_N, order_N = np.unique(slot_N * grid.SECONDS_PER_DAY + start_N, return_index=True)
        self.place_N = torch.from_numpy(place_N)
        self.vector_NF = torch.from_numpy(np.concatenate([part.vector_NF for part in parts])[order_N])
        named = {slot: start_N[slot_N == slot] for slot in np.unique(slot_N).tolist()}
        starts = np.zeros_like(members.starts)
        with DayReader(store.folder) as days:
            for index, slot in enumerate(members.slots.tolist()):
                if slot in named:
                    weight_S = weights(*days.open_day(slot).states(), data.seconds)
                    starts[index] = np.count_nonzero(weight_S[named[slot]])
        counted = Members(members.slots, starts, members.participant_M, members.names)
        return Bound(counted.where(starts > 0), Named(named))

    def vectors(self, slot_B: Tensor, start_B: Tensor) -> Tensor:
        """The vectors of windows, by their place."""
        wanted_B = slot_B * grid.SECONDS_PER_DAY + start_B
        index_B = torch.searchsorted(self.place_N, wanted_B)
        assert torch.equal(self.place_N[index_B], wanted_B)
        return self.vector_NF[index_B]


class Imitate(Objective):
    """A toy: predict the vector, which is the place of the window."""

    def __init__(self, url: str) -> None:
        self.companions: InTable = InTable(url)

    def heads(self, features: int) -> dict[str, nn.Module]:
        return {"imitation": nn.Linear(features, 2)}

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        assert x.shape[1:] == (3, 300)
        vector_BF = self.companions.vectors(random.slot, random.start)
        assert torch.equal(vector_BF, torch.stack((random.slot, random.start), 1).float())
        assert not (random.slot == UNNAMED).any()
        return x, vector_BF / torch.tensor([SLOTS, grid.SECONDS_PER_DAY])

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        loss = nn.functional.mse_loss(outputs["imitation"].float(), targets)
        count = torch.tensor(len(targets), dtype=torch.float64)
        return loss, {"loss_sum": loss.detach().double() * count, "count": count}


def write_table(folder: Path, every_s: int) -> str:
    """Write a vector for a start every so many seconds, measured or not, a file a day; it is the place itself."""
    folder.mkdir()
    for slot in set(range(SLOTS)) - {UNNAMED}:
        start_N = np.arange(0, grid.SECONDS_PER_DAY, every_s)
        vectors = pa.FixedSizeListArray.from_arrays(np.stack((np.full_like(start_N, slot), start_N), 1).ravel(), 2)
        table = {"slot": np.full_like(start_N, slot), "start_second": start_N, "vector": vectors}
        pq.write_table(pa.table(table), folder / f"{slot}.parquet")
    return str(folder)


def test_a_run_draws_the_named_windows_with_their_vectors_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_store(str(tmp_path / "store"), people=SLOTS // 2, days=2, made=NoiseDays()).folder.url
    table = write_table(tmp_path / "table", EVERY_S)
    monkeypatch.setitem(OBJECTIVES, "imitate", lambda settings: Imitate(table))
    assert alone(store, tmp_path / "whole", objective__name="imitate") == 0
    for windows in (160, 480):
        assert alone(store, tmp_path / "stopped", objective__name="imitate", run__windows=windows) == 0
    same_checkpoint(tmp_path / "whole", tmp_path / "stopped", 30)
    stream = ck.open_checkpoint(str(tmp_path / "whole")).state.facts.stream
    assert stream is not None
    assert stream.companions == InTable(table).facts(Store.open(store))
    validation = [
        line for line in read_lines(tmp_path / "whole" / "logs" / "log.jsonl") if line["kind"] == "validation"
    ]
    assert validation[-1]["real"]["windows"] < 2 * 2 * 900 / EVERY_S
    other = write_table(tmp_path / "other", 2 * EVERY_S)
    monkeypatch.setitem(OBJECTIVES, "imitate", lambda settings: Imitate(other))
    with pytest.raises(UserError, match="expected the table that the run began with, found another"):
        alone(store, tmp_path / "whole", objective__name="imitate", run__windows=640)


def test_named_windows_are_the_same_at_any_world_size_and_after_resuming() -> None:
    days, slots = NoiseDays(), np.arange(1, 22)
    named = np.arange(0, grid.SECONDS_PER_DAY, EVERY_S)
    starts = [np.count_nonzero(weights(*days.open_day(slot).states(), SECONDS)[named]) for slot in slots.tolist()]
    chooser: Chooser = Named(dict.fromkeys(slots.tolist(), named))
    streamed = Streamed(days, deal(slots, quotas(np.array(starts), 40), 8, 11, 3), chooser)
    drawn = streamed.round()
    assert (drawn.start_B % EVERY_S == 0).all()
    assert len(drawn.place_BP.unique(dim=0)) == len(drawn) == streamed.lanes[0].windows_in(0)
    assert drawn.signal_BDCT.shape[1:] == (1, 3, 300)
    check_any_world_size(streamed, 2)
    check_resuming(streamed, 17)
