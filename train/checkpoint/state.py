"""What `state.json` of a checkpoint says: how far the run is, its settings, scores, data and machines.

The file is flat: the keys of `RunFacts` are beside those of `State`. Checkpoints of older releases lack some keys, so
every field but `step` has a default; a key that this release does not know is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class StoreFacts:
    """Which store a run draws from."""

    fingerprint: str = ""
    key_check: str = ""


@dataclass(frozen=True)
class StreamFacts:
    """Which person-days a run draws, in how many lanes."""

    table_version: int
    lanes: int
    members: int
    """Number of person-days."""
    slots_end: int | None = None
    """First slot beyond all person-days that the run knows; not in old checkpoints."""
    members_digest: str | None = None
    """`train.windows.members.Members.digest`; not in old checkpoints."""
    companions: dict[str, Any] | None = None
    """What decides the companions of the run besides its person-days (`train.windows.companions.kind`)."""

    def to_json(self) -> dict[str, Any]:
        """The keys and values of the file."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class RunFacts:
    """What a checkpoint and the log's first line say about a run's data, code and machines."""

    store: StoreFacts = field(default_factory=StoreFacts)
    stream: StreamFacts | None = None
    participants: int | None = None
    """Number of participants that the run trains on."""
    code: str = ""
    """Commit or version of the code."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of packages, Python and CUDA; `device` is the kind of device."""
    devices: dict[str, int] = field(default_factory=dict)
    """Number of processes by name of their device."""
    machines: int = 1
    world_size: int = 1
    threads: int = 1
    validation_participants: list[str] = field(default_factory=list)
    """Keyed ids of the participants held out for validation, without those who have withdrawn."""
    validation_slots_withdrawn: list[int] = field(default_factory=list)
    """Slots of held-out participants who have withdrawn: the run must not train on them."""
    init: str = ""
    """sha256 of the weights that the run started from (`train.networks.initial`); "" for random ones."""

    def to_json(self) -> dict[str, Any]:
        """The keys and values of the file."""
        stream = {"stream": self.stream.to_json()} if self.stream else {}
        return asdict(self) | stream


@dataclass(frozen=True)
class State:
    """Everything in a checkpoint that is not a tensor."""

    step: int
    windows_seen: int = 0
    windows_digest: str = f"{0:016x}"
    """Digest of all windows seen and the steps that they came in (`train.loop.meter.digest`), as 16 hex digits."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The whole recipe."""
    validation_loss: float | None = None
    """Validation loss of these very weights; None if they were not validated."""
    validation: dict[str, Any] = field(default_factory=dict)
    """The last validation, as in the log."""
    best: tuple[float, int] = (float("inf"), 0)
    """Lowest validation loss, and the windows seen then."""
    facts: RunFacts = field(default_factory=RunFacts)

    def to_json(self) -> dict[str, Any]:
        """The keys and values of the file."""
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "facts"}
        return own | {"best": list(self.best)} | self.facts.to_json()


def state_from_json(table: Mapping[str, Any]) -> State:
    """Read the state from the file's keys and values; raises KeyError without `step`, TypeError for a wrong shape."""
    facts = _known(RunFacts, table)
    facts |= {"store": StoreFacts(**_known(StoreFacts, table.get("store", {})))}
    if table.get("stream"):
        facts |= {"stream": StreamFacts(**_known(StreamFacts, table["stream"]))}
    own = _known(State, table) | {"step": int(table["step"]), "facts": RunFacts(**facts)}
    if "best" in table:
        loss, seen = table["best"]
        own |= {"best": (loss, seen)}
    return State(**own)


def _known(kind: type[Any], table: Mapping[str, Any]) -> dict[str, Any]:
    return {item.name: table[item.name] for item in fields(kind) if item.name in table}
