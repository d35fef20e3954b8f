"""From what a worker found to rows of the tables: names become keyed ids, figures become columns and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ingest.run.ingest_task import Ingested
from ingest.run.plan import DONE, REJECTED, Row
from ingest.run.sources import Source
from pipeline.identity import Key
from pipeline.store.schemas import PERSON_DAYS

WITH_DATES = ("start", "end", "clock_change")
"""Figures that hold a date."""


@dataclass(frozen=True)
class Outcome:
    """What became of one recording: its row of `recordings`, and its rows of `person_days` if it is done."""

    recording: Row
    days: list[Row] = field(default_factory=list)
    first_slot: int | None = None
    """Where the slots that it keeps begin; None where it keeps none."""

    @property
    def id(self) -> str:
        """The recording."""
        return str(self.recording["recording"])

    @property
    def is_done(self) -> bool:
        """Whether it was brought in."""
        return bool(self.recording["status"] == DONE)


def rejected(source: Source, participant: str, reason: str) -> Outcome:
    """The outcome of a recording that is refused."""
    return Outcome({**_common(source, participant), "status": REJECTED, "reason": reason, "person_days": 0})


def done(found: Ingested, participant: str, key: Key, relative_dates: bool) -> Outcome:
    """The outcome of a recording that is in its slots.

    A column of `person_days` is filled from the figures of the day, else from those of the recording. With
    `relative_dates`, times keep their hour and lose their date.
    """
    serial = found.figures["serial"]
    figures = found.figures | {"serial": key.device(serial) if serial else None}
    if relative_dates:
        figures |= {name: figures[name].split("T")[1] for name in WITH_DATES if figures[name]}
    days = [
        {name: _plain(day.get(name, figures.get(name))) for name in PERSON_DAYS.names}
        | {"recording": found.source.id, "participant": participant, "day": None if relative_dates else day["day"]}
        for day in found.days
    ]
    recording = {
        **_common(found.source, participant),
        "status": DONE,
        "reason": None,
        "person_days": len(days),
        **{name: figures.get(name) for name in ("device", "serial", "location")},
        "figures": json.dumps({name: _plain(value) for name, value in figures.items()}, sort_keys=True),
    }
    return Outcome(recording, days, found.first_slot)


def _common(source: Source, participant: str) -> Row:
    return {"recording": source.id, "participant": participant, "source": source.fingerprint, "size": source.size}


def _plain(value: Any) -> Any:
    """A figure as JSON and Arrow know it; no number is null."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
