"""From the result of a worker to rows of the tables: names become keyed ids, figures become columns and JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ingest.run.ingest_task import Ingested
from ingest.run.plan import DONE, REJECTED, Row
from ingest.run.sources import Source
from pipeline.identity import Key
from pipeline.store.figures import RecordingFigures, json_value
from pipeline.store.schemas import PERSON_DAYS


@dataclass(frozen=True)
class Outcome:
    """The result for one recording: its row of `recordings`, and its rows of `person_days` if it is done."""

    recording: Row
    days: list[Row] = field(default_factory=list)
    first_slot: int | None = None
    """The first of the slots that it keeps; None where it keeps none."""

    @property
    def id(self) -> str:
        """The id of the recording."""
        return str(self.recording["recording"])

    @property
    def is_done(self) -> bool:
        """Whether it was ingested."""
        return bool(self.recording["status"] == DONE)


def rejected(source: Source, participant: str, reason: str) -> Outcome:
    """The outcome of a rejected recording."""
    return Outcome({**_common(source, participant), "status": REJECTED, "reason": reason, "person_days": 0})


def done(found: Ingested, participant: str, key: Key, relative_dates: bool) -> Outcome:
    """The outcome of an ingested recording.

    A column of `person_days` comes from the figures of the day, else from those of the recording. With
    `relative_dates`, times keep their time of day and lose their date.
    """
    assert found.figures is not None
    serial = found.figures.serial
    figures = replace(found.figures, serial=key.device(serial) if serial else None)
    if relative_dates:
        figures = without_dates(figures)
    plain = figures.plain()
    days = [
        {name: json_value(day.get(name, plain.get(name))) for name in PERSON_DAYS.names}
        | {"recording": found.source.id, "participant": participant, "day": None if relative_dates else day["day"]}
        for day in found.days
    ]
    recording = {
        **_common(found.source, participant),
        "status": DONE,
        "reason": None,
        "person_days": len(days),
        "device": figures.device,
        "serial": figures.serial,
        "location": figures.location,
        "figures": figures.to_json(),
    }
    return Outcome(recording, days, found.first_slot)


def without_dates(figures: RecordingFigures) -> RecordingFigures:
    """The figures with times of day instead of calendar times."""
    changed = figures.clock_change and _time_of_day(figures.clock_change)
    return replace(figures, start=_time_of_day(figures.start), end=_time_of_day(figures.end), clock_change=changed)


def _time_of_day(instant: str) -> str:
    return instant.split("T")[1]


def _common(source: Source, participant: str) -> Row:
    return {"recording": source.id, "participant": participant, "source": source.fingerprint, "size": source.size}
