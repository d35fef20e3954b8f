"""What was found, for people and for programs. Recordings and people go by the first 12 digits of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.identity import SHORT_ID

KIND, VERSION = "persondays-verify", 1
SHOWN = 6
"""Slots or ids beside a finding; the JSON file has all."""


@dataclass(frozen=True)
class Finding:
    """Something that was found: slots, or names (ids of recordings or people, files)."""

    kind: str
    text: str
    slots: Sequence[int] = ()
    names: Sequence[str] = ()
    wrong: bool = True
    """False for what is only told: it harms nothing, or the next ingest mends it."""

    def __len__(self) -> int:
        return len(self.slots) or len(self.names)

    def some(self) -> str:
        """The first few."""
        what = "slots " + " ".join(map(str, self.slots[:SHOWN])) if len(self.slots) else " ".join(self.names[:SHOWN])
        return what + (" ..." if len(self) > SHOWN else "")

    def plain(self) -> dict[str, Any]:
        """As JSON knows it."""
        listed = {"slots": [int(slot) for slot in self.slots]} if len(self.slots) else {"names": list(self.names)}
        return {"what": self.kind, "wrong": self.wrong, "text": self.text, "count": len(self), **listed}


def by_id(kind: str, text: str, ids: Sequence[str], wrong: bool = True) -> Finding:
    """A finding about recordings or people, under short ids."""
    return Finding(kind, text, names=[name[:SHORT_ID] for name in ids], wrong=wrong)


@dataclass
class Report:
    """The result of one look at a store."""

    store: str
    person_days: int = 0
    recordings: int = 0
    read: int = 0
    """Person-days that were read whole."""
    being_written: bool = False
    findings: list[Finding] = field(default_factory=list)
    mend: list[str] = field(default_factory=list)
    """Full ids of recordings that can be made whole by bringing them in again."""

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.wrong for finding in self.findings)

    def of(self, kind: str) -> Finding | None:
        """The finding of a kind, if there is one."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def plain(self) -> dict[str, Any]:
        """As JSON knows it; all slots, and short ids."""
        return {
            "format": KIND,
            "version": VERSION,
            "store": self.store,
            "whole": self.whole,
            "being_written": self.being_written,
            "person_days": self.person_days,
            "recordings": self.recordings,
            "person_days_read": self.read,
            "findings": [finding.plain() for finding in self.findings],
        }
