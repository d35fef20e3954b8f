"""Proof that nothing of withdrawn people is left in a store: every name is compared and every byte is read.

What is looked for need not be remembered: a store may hold the ids of its people and their recordings, and
no other. So an id of someone who withdrew is found because nobody in the store has it, long after the
tables forgot which recordings were theirs. Names are compared first: that takes minutes, reading takes hours.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, repeat

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.progress import Progress
from pipeline.store.layout import TOP_NAMES, WITHDRAWN_FOLDER, slot_of, table_folder
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.withdraw.files import File, Files, files_of
from pipeline.withdraw.scan import ID, decoded, ids_in, runs
from pipeline.withdraw.slots import named_slots

IN_A_NAME = re.compile("[0-9a-f]{64}")
BLOCK = 1 << 25
"""Bytes that are read at once; blocks overlap by more than an id."""
OVERLAP = 128
AT_ONCE = 8
SHOWN, MOST = 10, 1000
PARQUET = ".parquet"
OWN_IDS = ("recording", "participant")
"""Columns in which every id has to be one of the store's; others are searched for withdrawn people only, as a
checksum looks like an id."""


@dataclass(frozen=True)
class Known:
    """Who and what may be in the store."""

    withdrawn: frozenset[str]
    ids: frozenset[str]
    """Of people and recordings in its tables, and its key's check value."""
    named: NDArray[np.bool_]
    """By slot: whether a row names it."""

    @staticmethod
    def of(store: Store) -> Known:
        """As the tables say now. A device's id counts for everybody who wore it, and is none of a person's own."""
        tables = (store.plan, store.person_days, store.recordings)
        for table in tables:
            table.refresh()
        store.reopen()
        columns = [table.read([name])[name].unique() for table in tables for name in OWN_IDS]
        serials = [table.read(["serial"])["serial"].unique() for table in tables[1:]]
        ids = (value for column in [*columns, *serials] for value in column.to_pylist() if value)
        return Known(
            store.withdrawals.participants(), frozenset([*ids, store.attributes.key_check]), named_slots(store)
        )


@dataclass(frozen=True)
class Finding:
    """Something that should not be there."""

    where: str
    what: str
    id: str | None = None

    def told(self) -> str:
        """In one line; an id by its first digits."""
        where = IN_A_NAME.sub(lambda id_: id_[0][:SHORT_ID], self.where)
        return f"{where}: {self.what}" + (f" ({self.id[:SHORT_ID]})" if self.id else "")


@dataclass
class Proof:
    """What was looked at."""

    people: int
    files: int = 0
    """Versions of files, where the storage keeps several."""
    bytes: int = 0
    foreign: int = 0
    """Files that are none of a store's: read as they are."""


def prove(store: Store, vouched: bool = False) -> Proof:
    """Compare every name and read every byte of a store, in every version that its storage keeps.

    `vouched`: the user answers for older versions where the storage does not tell. Raises UserError with
    whatever is left of withdrawn people.
    """
    if Lease(store.folder).is_held():
        raise UserError(
            f"{store.folder.url}: another run is writing this store, and what it adds would be taken for "
            "remains. Prove when it has ended."
        )
    known, files = Known.of(store), files_of(store)
    proof = Proof(len(known.withdrawn))
    if not known.withdrawn:
        raise UserError(f"{store.folder.url}: nobody has withdrawn from this store. Give --participants FILE.")
    if unfinished := store.withdrawals.unfinished():
        raise UserError(
            f"{store.folder.url}: {len(unfinished):,} withdrawals are not finished. Run "
            "`persondays withdraw` again without --prove first, and follow what it says."
        )
    _require_none(_in_tables(store, known), store)
    _require_none(_in_names(files, known, proof), store)
    if files.doubt and not vouched:
        raise UserError(
            f"{store.folder.url}: nothing can be proven of older versions of deleted files: {files.doubt}. Give that "
            "permission, or vouch for it yourself with --versions-purged."
        )
    _require_none(_in_bytes(files, known, proof), store)
    return proof


def _in_tables(store: Store, known: Known) -> Iterator[Finding]:
    for table in (store.plan, store.person_days, store.recordings):
        there = known.withdrawn.intersection(table.read(["participant"])["participant"].unique().to_pylist())
        yield from (Finding(table_folder(table.name), "rows of a person", id=person) for person in sorted(there))


def _in_names(files: Files, known: Known, proof: Proof) -> Iterator[Finding]:
    """Objects in slots that nobody has, and ids in names; counts what there is to read."""
    for file in files.everything():
        proof.files += 1
        proof.bytes += file.size
        proof.foreign += file.name.split("/")[0] not in TOP_NAMES
        yield from _in_name(file.name, "deleted only by a mark" if file.is_mark else "an object", known)
    for name in files.unfinished():
        yield Finding(name, "an upload that nobody finished, whose parts cannot be read")


def _in_name(name: str, what: str, known: Known) -> Iterator[Finding]:
    slot = slot_of(name)
    if slot is not None and (slot >= known.named.size or not known.named[slot]):
        yield Finding(name, f"{what} in a slot that no row names")
    if not name.startswith(f"{WITHDRAWN_FOLDER}/"):
        yield from _in_text(name.encode(), "an id in a name", name, known, strict=True)


def _in_bytes(files: Files, known: Known, proof: Proof) -> Iterator[Finding]:
    """Ids in what files hold, many files at a time and few in memory."""
    waiting: deque[tuple[File, Future[list[Finding]]]] = deque()
    done = 0
    with (
        Progress("prove", proof.bytes / 1e6, "MB read") as progress,
        ThreadPoolExecutor(AT_ONCE) as pool,
        ThreadPoolExecutor(1) as decoder,
    ):
        every = (file for file in files.everything() if not file.is_mark)
        for file in chain(every, repeat(None)):
            while waiting and (file is None or len(waiting) >= 2 * AT_ONCE):
                finished, result = waiting.popleft()
                yield from result.result()
                done += finished.size
                progress.update(done / 1e6)
            if file is None:
                return
            if PARQUET in file.name:
                waiting.append((file, decoder.submit(_in_parquet, files, file, known)))
            else:
                waiting.append((file, pool.submit(_in_file, files, file, known)))


def _in_file(files: Files, file: File, known: Known) -> list[Finding]:
    """What a file holds, block by block."""
    try:
        return [
            finding
            for start in range(0, file.size, BLOCK)
            for finding in _in_text(
                files.read(file, start, min(start + BLOCK + OVERLAP, file.size)), "an id", file.name, known, strict=True
            )
        ]
    except FileNotFoundError:
        return []


def _in_parquet(files: Files, file: File, known: Known) -> list[Finding]:
    """What a Parquet file holds, as it is stored and decoded."""
    try:
        data = files.read(file, 0, file.size)
    except FileNotFoundError:
        return []
    found = list(_in_text(data, "an id", file.name, known, strict=False))
    try:
        for column, text in decoded(data):
            found += _in_text(text, f"an id in the column {column}", file.name, known, strict=column in OWN_IDS)
    except (pa.ArrowInvalid, OSError):
        found.append(Finding(file.name, "what cannot be decoded: a writer was killed, or is writing"))
    return found


def _in_text(data: bytes, what: str, where: str, known: Known, strict: bool) -> Iterator[Finding]:
    """Ids of withdrawn people in some bytes; `strict`: ids of nobody in the store too."""
    for run in runs(data):
        there = {id_ for id_ in ids_in(run) if id_ in known.withdrawn}
        if strict and len(run) == ID and run not in known.ids:
            there.add(run)
        yield from (Finding(where, what, id=id_) for id_ in sorted(there))


def _require_none(found: Iterator[Finding], store: Store) -> None:
    """Raise UserError when there is a finding; it is enough to have seen a thousand."""
    told = [finding.told() for finding in dict.fromkeys(islice(found, MOST))]
    if told:
        more = f"\nand {len(told) - SHOWN:,} more" if len(told) > SHOWN else ""
        raise UserError(
            f"{store.folder.url}: traces of withdrawn people, or of nobody in the store, are left:\n"
            + "\n".join(told[:SHOWN])
            + f"{more}\nRun `persondays withdraw` again while no ingest runs: it deletes what killed and late writers "
            "left. Then prove again."
        )
