"""Runs with companions: killed and resumed, on two processes, with controls; and a kind of companions defined here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.store.store import Store
from tests.train.days import NoiseDays, write_store
from tests.train.runs import alone, run, same_checkpoint
from train.checkpoint import format as ck
from train.export.folder import write_export
from train.networks.weights import load_model
from train.objectives import OBJECTIVES, Objective
from train.objectives.objective import Figures
from train.random import WindowRandom
from train.tracking.log import read_lines
from train.windows.companions.kind import AnchorDay, Bound, Chooser, Companions
from train.windows.draw import Int
from train.windows.members import Members
from train.windows.settings import DataSettings

NEARBY: dict[str, Any] = {
    "objective__name": "simclr",
    "objective__simclr__positive": "nearby",
    "network__preset": "transformer10",
    "network__width": 0.25,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_store(str(tmp_path_factory.mktemp("made") / "store"), people=5, days=2, made=NoiseDays()).folder.url


@pytest.fixture(scope="module")
def nearby(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nearby")
    assert alone(store, out, **NEARBY) == 0
    return out


def test_a_run_that_stops_and_resumes_has_the_bits_of_one_that_did_not(
    store: str, nearby: Path, tmp_path: Path
) -> None:
    assert alone(store, tmp_path, run__windows=160, **NEARBY) == 0
    assert alone(store, tmp_path, **NEARBY) == 0
    same_checkpoint(nearby, tmp_path, 30)


@pytest.mark.slow
def test_two_processes_see_the_same_windows(store: str, nearby: Path, tmp_path: Path) -> None:
    done = run(store, tmp_path, 2, network__sync_batch_norm=True, **NEARBY)
    assert done.returncode == 0, done.stderr
    states = [ck.open_checkpoint(str(folder)).state for folder in (nearby, tmp_path)]
    assert states[0].windows_digest == states[1].windows_digest


def test_validation_and_log_have_companions_too(nearby: Path) -> None:
    lines = read_lines(nearby / "logs" / "log.jsonl")
    for line in (line for line in lines if line["kind"] == "validation"):
        for windows in ("real", "noise", "phase"):
            assert line[windows]["windows"] == 400
            assert line[windows]["contrast"]["guessing"] == pytest.approx(1 / 199)
    (*_, last) = (line for line in lines if line["kind"] == "train")
    assert last["without_companion"] == 0


def test_a_run_with_other_companions_is_another_run(store: str, nearby: Path) -> None:
    """The companions decide what is learned."""
    with pytest.raises(UserError, match=r"objective\.simclr\.nearby_s: then 30\.0, now 40\.0"):
        alone(store, nearby, objective__simclr__nearby_s=40, run__windows=640, **NEARBY)


@dataclass(frozen=True)
class Following(Companions, Chooser):
    """A kind of companions: the two windows that follow at once, or the anchor itself where these are not eligible."""

    count = 2

    def facts(self, store: Store) -> dict[str, Any]:
        return {"version": 7}

    def bind(self, members: Members, store: Store, data: DataSettings, facts: Mapping[str, Any]) -> Bound:
        assert facts == {"version": 7}
        return Bound(members, self)

    def choose(self, anchor: AnchorDay, start_N: Int) -> Int:
        weight_S, chosen = anchor.weights_of(anchor.slot), []
        for number in (1, 2):
            next_N = start_N + number * anchor.seconds
            there = weight_S[np.minimum(next_N, weight_S.size - 1)] > 0
            following = anchor.itself(np.where(there & (next_N < weight_S.size), next_N, start_N))
            chosen.append(following)
        return np.stack(chosen, 1)


class Order(Objective):
    """Predict whether three windows in a row are shown backwards."""

    companions = Following()

    def heads(self, features: int) -> dict[str, nn.Module]:
        return {"order": nn.Linear(features, 1)}

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        assert x.shape[1:] == (3, 3, 300)
        backwards = random.slot % 2 == 0
        x = torch.where(backwards[:, None, None, None], x.flip(1), x)
        return x.flatten(0, 1), backwards.float()

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        logits = outputs["order"].unflatten(0, (-1, 3))[..., 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits[:, 2] - logits[:, 0], targets)
        count = torch.tensor(len(targets), dtype=torch.float64)
        return loss, {"loss_sum": loss.detach().double() * count, "count": count}


def test_another_kind_of_companions_trains_resumes_and_is_exported(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OBJECTIVES, "order", lambda settings: Order())
    for windows in (160, 320):
        assert alone(store, tmp_path / "run", objective__name="order", run__windows=windows) == 0
        last = ck.open_checkpoint(str(tmp_path / "run"))
        assert last.state.facts.stream is not None
        assert last.state.facts.stream.companions == {"version": 7}
    assert last.model["order.weight"].shape == (1, 64)
    write_export(last.model, last.state, tmp_path / "model", "checkpoint")
    assert load_model(tmp_path / "model").features == 64
