"""Six participants with two days each: their ids and slots, their withdrawal, and batches drawn from their store."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pipeline.store.day_reader import DayReader
from pipeline.store.store import Store
from pipeline.withdraw.forget import forget
from train.checkpoint import format as ck
from train.windows.lanes import Lane, owned
from train.windows.members import Members
from train.windows.pool import Windows
from train.windows.stream import Stream
from train.windows.withdrawn import Substitutes

SECONDS = 10
DAYS = 2
"""Days of each participant in a made store."""


def person(number: int) -> str:
    return f"{number:064x}"


def slots_of(number: int) -> list[int]:
    return list(range(number * DAYS, (number + 1) * DAYS))


def withdraw(url: str, numbers: list[int]) -> None:
    """Withdraw as `persondays withdraw` does: note, rows, objects, older versions of the tables."""
    forget(Store.open(url), [person(number) for number in numbers], date(2026, 3, 4))


def batches(store: Store, members: Members, dealt: list[Lane], rank: int, world: int, steps: int) -> list[Windows]:
    substitutes = Substitutes(members, dealt, store.withdrawals.participants)
    days = DayReader(store.folder)
    with Stream(days, owned(dealt, rank, world), 4, SECONDS, ahead=3, substitutes=substitutes) as stream:
        return [next(stream) for _ in range(steps)]


def trained(checkpoints: Path) -> list[int]:
    """Numbers of the participants that a run trains on."""
    held_out = set(ck.open_checkpoint(str(checkpoints)).state.facts.validation_participants)
    return [number for number in range(6) if person(number) not in held_out]
