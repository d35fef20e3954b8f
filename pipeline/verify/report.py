"""What a check found, for people and for programs. Recordings and participants appear by their short ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.identity import SHORT_ID

KIND, VERSION = "persondays-verify", 1
MAX_SHOWN = 6
"""Slots or ids shown beside a finding; the JSON file has all."""


@dataclass(frozen=True)
class Finding:
    """Something that was found: slots, or names (ids of recordings or participants, files)."""

    kind: str
    text: str
    slots: Sequence[int] = ()
    names: Sequence[str] = ()
    wrong: bool = True
    """False where it does no harm, or the next ingest removes it."""

    def __len__(self) -> int:
        return len(self.slots) or len(self.names)

    def examples(self) -> str:
        """The first slots or names."""
        first = ["slots", *self.slots[:MAX_SHOWN]] if len(self.slots) else self.names[:MAX_SHOWN]
        return " ".join(map(str, first)) + (" ..." if len(self) > MAX_SHOWN else "")

    def plain(self) -> dict[str, Any]:
        """Values for JSON."""
        listed = {"slots": [int(slot) for slot in self.slots]} if len(self.slots) else {"names": list(self.names)}
        return {"what": self.kind, "wrong": self.wrong, "text": self.text, "count": len(self), **listed}


def by_id(kind: str, text: str, ids: Sequence[str], wrong: bool = True) -> Finding:
    """A finding about recordings or participants, by their short ids."""
    return Finding(kind, text, names=[name[:SHORT_ID] for name in ids], wrong=wrong)


@dataclass
class Report:
    """The result of checking a store."""

    store: str
    person_days: int = 0
    recordings: int = 0
    read: int = 0
    """Person-days whose objects were read."""
    being_written: bool = False
    findings: list[Finding] = field(default_factory=list)
    repairable: list[str] = field(default_factory=list)
    """Full ids of recordings whose faults another ingest removes."""

    @property
    def has_faults(self) -> bool:
        """Whether anything is wrong."""
        return any(finding.wrong for finding in self.findings)

    def of(self, kind: str) -> Finding | None:
        """The finding of a kind, if there is one."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def plain(self) -> dict[str, Any]:
        """Values for JSON: all slots, and short ids."""
        return {
            "format": KIND,
            "version": VERSION,
            "store": self.store,
            "whole": not self.has_faults,
            "being_written": self.being_written,
            "person_days": self.person_days,
            "recordings": self.recordings,
            "person_days_read": self.read,
            "findings": [finding.plain() for finding in self.findings],
        }
