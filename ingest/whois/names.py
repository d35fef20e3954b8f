"""From keyed ids back to names, for whoever has the key and the private name map.

An id cannot be reversed: the names that the user has are hashed again and compared. So every answer is right, and a map
made with another key is refused.
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

MIN_DIGITS = 6
MAX_SERIAL = 1_000_000
"""Serial numbers below this are tried: those of the supported devices are integers, and low."""

RECORDING, PARTICIPANT, DEVICE = "recording", "participant", "device"


@dataclass(frozen=True)
class Identity:
    """The meaning of an id; the name is empty where none of the user's files has it."""

    kind: str
    id: str
    name: str = ""
    others: tuple[Identity, ...] = ()
    """The participant of a recording, the recordings of a participant or device."""


@dataclass
class Names:
    """All known ids by kind, each with its name or with ""."""

    key: Key
    known: dict[str, dict[str, str]] = field(default_factory=lambda: {RECORDING: {}, PARTICIPANT: {}, DEVICE: {}})
    links: list[tuple[str, str, str]] = field(default_factory=list)
    """Recording, participant and device of every recording of a store; "" where not known."""

    def find(self, digits: str) -> list[Identity]:
        """Everything whose id begins with `digits`."""
        found = [(kind, id_) for kind, names in self.known.items() for id_ in names if id_.startswith(digits)]
        return [self._identity(kind, id_) for kind, id_ in sorted(found)]

    def _identity(self, kind: str, id_: str) -> Identity:
        place = (RECORDING, PARTICIPANT, DEVICE).index(kind)
        others = {
            (other, link[at])
            for link in self.links
            if link[place] == id_
            for at, other in enumerate((RECORDING, PARTICIPANT, DEVICE))
            if other in ((PARTICIPANT, DEVICE) if kind == RECORDING else (RECORDING,)) and link[at]
        }
        named = tuple(Identity(other, found, self._name(other, found)) for other, found in sorted(others))
        return Identity(kind, id_, self._name(kind, id_), named)

    def _name(self, kind: str, id_: str) -> str:
        name = self.known[kind].get(id_, "")
        return name or (self._serial(id_) if kind == DEVICE else "")

    def _serial(self, id_: str) -> str:
        return next((f"{number}" for number in range(MAX_SERIAL) if self.key.device(f"{number}") == id_), "")


def know(
    key: Key, name_map: Path | None, participants: Path | None, id_regex: str | None, store: Store | None
) -> Names:
    """Hash every name in the files, and add the ids of a store.

    Raises UserError for a missing file, and for a map or store made with another key.
    """
    names = Names(key)
    recordings = _recordings(key, name_map) if name_map else {}
    names.known[RECORDING] |= recordings
    rule = rule_of(participants, id_regex)
    people = {rule(name) for name in recordings.values()}
    people |= {participant for _, (_, participant) in read_map(participants)} if participants else set()
    names.known[PARTICIPANT] |= {key.participant(name): name for name in people if name}
    if store is not None:
        _add_store(names, store)
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
                else "The map was changed: write it again."
            )
        )
    return names


def _add_store(names: Names, store: Store) -> None:
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


def whois(hashes: Iterable[str], names: Names) -> tuple[list[Identity], list[str]]:
    """The meaning of ids, and messages about those that are unknown or ambiguous.

    Raises UserError for text that is not an id.
    """
    found: list[Identity] = []
    problems: list[str] = []
    for asked in hashes:
        digits = asked.strip().lower()
        if not re.fullmatch(rf"[0-9a-f]{{{MIN_DIGITS},64}}", digits):
            raise UserError(f"{asked!r} is not an id: expected {MIN_DIGITS} to 64 hex digits, as in logs and reports.")
        some = names.find(digits)
        found += some
        if not some:
            problems.append(f"{digits} is not among the known ids")
        elif len(some) > 1:
            problems.append(f"{digits} is the beginning of {len(some)} ids, all listed: give more digits")
    return found, problems


def text(identity: Identity, digits: int = SHORT_ID) -> str:
    """An identity as lines of text."""
    lines = [f"{identity.kind} {identity.id[:digits]}  {identity.name or '(no name known)'}"]
    lines += [f"  {other.kind} {other.id[:digits]}  {other.name or '(no name known)'}" for other in identity.others]
    return "\n".join(lines)
