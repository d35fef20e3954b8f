"""Whose is an id? The way back from keyed ids to names, for who holds the key and the private name map.

An id cannot be turned round: names that the user has are keyed again and compared. So what comes out is
right by construction, and a map made with another key is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.participants import read_map, rule_of
from ingest.run.inputs import read_name_map
from pipeline.errors import UserError
from pipeline.identity import SHORT_ID, Key

if TYPE_CHECKING:
    from pipeline.store.store import Store

LEAST_DIGITS = 6
SERIALS = 1_000_000
"""Serial numbers that are tried: those of the devices we read are whole numbers, and low."""

RECORDING, PARTICIPANT, DEVICE = "recording", "participant", "device"


@dataclass(frozen=True)
class Someone:
    """What an id stands for; the name is empty where none of the user's files tells it."""

    kind: str
    id: str
    name: str = ""
    others: tuple[Someone, ...] = ()
    """The participant of a recording, the recordings of a participant or device."""


@dataclass
class Names:
    """All ids that can be told, by kind, each with its name or with ""."""

    key: Key
    known: dict[str, dict[str, str]] = field(default_factory=lambda: {RECORDING: {}, PARTICIPANT: {}, DEVICE: {}})
    links: list[tuple[str, str, str]] = field(default_factory=list)
    """Recording, participant and device of every recording of a store; what it does not know is ""."""

    def find(self, digits: str) -> list[Someone]:
        """Everything whose id begins so."""
        found = [(kind, id_) for kind, names in self.known.items() for id_ in names if id_.startswith(digits)]
        return [self._someone(kind, id_) for kind, id_ in sorted(found)]

    def _someone(self, kind: str, id_: str) -> Someone:
        place = (RECORDING, PARTICIPANT, DEVICE).index(kind)
        others = {
            (other, link[at])
            for link in self.links
            if link[place] == id_
            for at, other in enumerate((RECORDING, PARTICIPANT, DEVICE))
            if other in ((PARTICIPANT, DEVICE) if kind == RECORDING else (RECORDING,)) and link[at]
        }
        named = tuple(Someone(other, found, self._name(other, found)) for other, found in sorted(others))
        return Someone(kind, id_, self._name(kind, id_), named)

    def _name(self, kind: str, id_: str) -> str:
        name = self.known[kind].get(id_, "")
        return name or (self._serial(id_) if kind == DEVICE else "")

    def _serial(self, id_: str) -> str:
        return next((f"{number}" for number in range(SERIALS) if self.key.device(f"{number}") == id_), "")


def know(
    key: Key, name_map: Path | None, participants: Path | None, id_regex: str | None, store: Store | None
) -> Names:
    """Key every name that the files tell, and take in the ids of a store.

    Raises UserError for a missing file, and for a map or store that another key made.
    """
    names = Names(key)
    recordings = _recordings(key, name_map) if name_map else {}
    names.known[RECORDING] |= recordings
    rule = rule_of(participants, id_regex)
    people = {rule(name) for name in recordings.values()}
    people |= {person for _, (_, person) in read_map(participants)} if participants else set()
    names.known[PARTICIPANT] |= {key.participant(person): person for person in people if person}
    if store is not None:
        _take_in(names, store)
    return names


def _recordings(key: Key, path: Path) -> dict[str, str]:
    if not path.is_file():
        raise UserError(f"--name-map {path}: there is no such file. `persondays ingest --name-map FILE` writes one.")
    names = read_name_map(path)
    wrong = sum(key.recording(name) != id_ for id_, name in names.items())
    if wrong:
        raise UserError(
            f"--name-map {path}: {wrong:,} of {len(names):,} ids are not those of their names under this key. "
            + (
                "Give the key that the map was made with."
                if wrong == len(names)
                else "The map was changed: make it anew."
            )
        )
    return names


def _take_in(names: Names, store: Store) -> None:
    if names.key.check != store.attributes.key_check:
        raise UserError(f"{store.folder.url}: the store was made with another key. Give its own.")
    done = store.recordings.read(["recording", "participant", "serial"]).to_pylist()
    planned = store.plan.read(["recording", "participant"]).to_pylist()
    links = {row["recording"]: (row["recording"], row["participant"] or "", "") for row in planned}
    links |= {row["recording"]: (row["recording"], row["participant"] or "", row["serial"] or "") for row in done}
    names.links = list(links.values())
    for at, kind in enumerate((RECORDING, PARTICIPANT, DEVICE)):
        names.known[kind] = {link[at]: "" for link in names.links if link[at]} | names.known[kind]
    names.known[PARTICIPANT] = dict.fromkeys(store.withdrawals.participants(), "") | names.known[PARTICIPANT]


def whois(hashes: Iterable[str], names: Names) -> tuple[list[Someone], list[str]]:
    """What the ids stand for, and in words which could not be told.

    Raises UserError for what is no id.
    """
    found: list[Someone] = []
    untold: list[str] = []
    for asked in hashes:
        digits = asked.strip().lower()
        if not re.fullmatch(rf"[0-9a-f]{{{LEAST_DIGITS},64}}", digits):
            raise UserError(
                f"{asked!r} is no id: expected the first {LEAST_DIGITS} to 64 hex digits of one, as logs and reports "
                "have them."
            )
        some = names.find(digits)
        found += some
        if not some:
            untold.append(f"{digits} is not among the ids at hand")
        elif len(some) > 1:
            untold.append(f"{digits} begins {len(some)} ids, all listed: give more digits")
    return found, untold


def text(someone: Someone, digits: int = SHORT_ID) -> str:
    """A few lines for a person."""
    lines = [f"{someone.kind} {someone.id[:digits]}  {someone.name or '(no name known)'}"]
    lines += [f"  {other.kind} {other.id[:digits]}  {other.name or '(no name known)'}" for other in someone.others]
    return "\n".join(lines)
