"""Prove that a store holds nothing of withdrawn participants: compare every name, then read every byte.

A store may hold the ids of its own participants and recordings, and no others. So the id of a withdrawn participant
or of their recording is found because nobody in the store has it, long after the tables have dropped their rows.
Names are compared first: that takes minutes, reading takes hours.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, islice, repeat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.progress import Progress
from pipeline.storage.s3 import FileVersion
from pipeline.store.layout import TOP_NAMES, WITHDRAWN_FOLDER, slot_of, table_folder
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from pipeline.withdraw.files import StoreFiles, open_files
from pipeline.withdraw.scan import ID_DIGITS, decode_text, hex_runs, ids_in
from pipeline.withdraw.slots import named_slots

ID_IN_NAME = re.compile("[0-9a-f]{64}")
BLOCK_BYTES = 1 << 25
"""Bytes read at once; blocks overlap by more than an id."""
OVERLAP_BYTES = 128
FILES_AT_ONCE = 8
MAX_SHOWN, MAX_TRACES = 10, 1000
PARQUET = ".parquet"
OWN_IDS = ("recording", "participant")
"""Columns in which every id has to belong to the store. Others may hold checksums, which look like ids: they are
searched for withdrawn participants only."""
SLOT_COLUMNS = ("slot", "other_slot")
"""Columns of the table of alignments, which holds no id: in each of its files, also old ones, a row must name them."""
ALIGNMENTS_FOLDER = f"{table_folder('alignments')}/"


@dataclass(frozen=True)
class AllowedIds:
    """The ids and slots that a store may hold, by its tables, and the participants who withdrew."""

    withdrawn: frozenset[str]
    ids: frozenset[str]
    """Of participants, recordings and devices in its tables, and its key's check value."""
    named: NDArray[np.bool_]
    """By slot: whether a row names it."""

    @staticmethod
    def of(store: Store) -> AllowedIds:
        """By the newest version of the tables. A device's id is allowed while anybody who wore it is in the store."""
        tables = (store.plan, store.person_days, store.recordings)
        for table in tables:
            table.refresh()
        store.reopen()
        columns = [table.read([name])[name].unique() for table in tables for name in OWN_IDS]
        serials = [table.read(["serial"])["serial"].unique() for table in tables[1:]]
        ids = {value for column in [*columns, *serials] for value in column.to_pylist() if value}
        withdrawn = store.withdrawals.participants()
        return AllowedIds(withdrawn, frozenset(ids | {store.attributes.key_check}), named_slots(store))


@dataclass(frozen=True)
class Trace:
    """Something that should not be in the store."""

    where: str
    what: str
    id: str | None = None

    def __str__(self) -> str:
        """One line, with ids shortened."""
        where = ID_IN_NAME.sub(lambda match: match[0][:SHORT_ID], self.where)
        return f"{where}: {self.what}" + (f" ({self.id[:SHORT_ID]})" if self.id else "")


@dataclass
class Proof:
    """What was read."""

    participants: int
    """Those who withdrew."""
    files: int = 0
    """Versions of files, where the storage keeps several."""
    bytes: int = 0
    foreign: int = 0
    """Files that do not belong to a store; they are read like the others."""


def prove(store: Store, versions_purged: bool = False) -> Proof:
    """Compare every name and read every byte of a store, in every version that its storage keeps.

    `versions_purged`: the user confirms that the storage keeps no older versions, if it cannot report that itself.
    Raises UserError that lists what is left of withdrawn participants.
    """
    if Lease(store.folder).is_held():
        raise UserError(
            f"{store.folder.url}: another run is writing this store, and its new files would look like traces. Run "
            "the proof when it has ended."
        )
    allowed, files = AllowedIds.of(store), open_files(store)
    proof = Proof(len(allowed.withdrawn))
    if not allowed.withdrawn:
        raise UserError(f"{store.folder.url}: nobody has withdrawn from this store. Give --participants FILE.")
    if unfinished := store.withdrawals.unfinished():
        raise UserError(
            f"{store.folder.url}: {len(unfinished):,} withdrawals are not finished. Run "
            "`persondays withdraw` again without --prove first, and follow its message."
        )
    _require_none(_traces_in_tables(store, allowed), store)
    _require_none(_traces_in_names(files, allowed, proof), store)
    if files.doubt and not versions_purged:
        raise UserError(
            f"{store.folder.url}: nothing can be proven about older versions of deleted files: {files.doubt}. Grant "
            "that permission, or confirm with --versions-purged that there are none."
        )
    _require_none(_traces_in_bytes(files, allowed, proof), store)
    return proof


def _traces_in_tables(store: Store, allowed: AllowedIds) -> Iterator[Trace]:
    for table in (store.plan, store.person_days, store.recordings):
        found = allowed.withdrawn.intersection(table.read(["participant"])["participant"].unique().to_pylist())
        yield from (Trace(table_folder(table.name), "rows of a participant", id_) for id_ in sorted(found))


def _traces_in_names(files: StoreFiles, allowed: AllowedIds, proof: Proof) -> Iterator[Trace]:
    """Objects in slots that no row names, and ids in names. Counts in `proof` what there is to read."""
    for file in files.versions():
        proof.files += 1
        proof.bytes += file.size
        proof.foreign += file.name.split("/")[0] not in TOP_NAMES
        yield from _traces_in_name(file.name, "a delete marker" if file.is_delete_marker else "an object", allowed)
    for name in files.unfinished_uploads():
        yield Trace(name, "an unfinished upload, whose parts cannot be read")


def _traces_in_name(name: str, what: str, allowed: AllowedIds) -> Iterator[Trace]:
    slot = slot_of(name)
    if slot is not None and (slot >= allowed.named.size or not allowed.named[slot]):
        yield Trace(name, f"{what} in a slot that no row names")
    if not name.startswith(f"{WITHDRAWN_FOLDER}/"):
        yield from _traces_in_text(name.encode(), "an id in a name", name, allowed, strict=True)


def _traces_in_bytes(files: StoreFiles, allowed: AllowedIds, proof: Proof) -> Iterator[Trace]:
    """Ids in the contents of files, read by several threads with few files in memory."""
    waiting: deque[tuple[FileVersion, Future[list[Trace]]]] = deque()
    done = 0
    with (
        Progress("prove", proof.bytes / 1e6, "MB read") as progress,
        ThreadPoolExecutor(FILES_AT_ONCE) as pool,
        ThreadPoolExecutor(1) as decoder,
    ):
        readable = (file for file in files.versions() if not file.is_delete_marker)
        for file in chain(readable, repeat(None)):
            while waiting and (file is None or len(waiting) >= 2 * FILES_AT_ONCE):
                finished, result = waiting.popleft()
                yield from result.result()
                done += finished.size
                progress.update(done / 1e6)
            if file is None:
                return
            if PARQUET in file.name:
                waiting.append((file, decoder.submit(_traces_in_parquet, files, file, allowed)))
            else:
                waiting.append((file, pool.submit(_traces_in_file, files, file, allowed)))


def _traces_in_file(files: StoreFiles, file: FileVersion, allowed: AllowedIds) -> list[Trace]:
    """Ids in a file, block by block; none in a file that has been deleted since it was listed."""
    traces: list[Trace] = []
    try:
        for start in range(0, file.size, BLOCK_BYTES):
            data = files.read(file, start, min(start + BLOCK_BYTES + OVERLAP_BYTES, file.size))
            traces += _traces_in_text(data, "an id", file.name, allowed, strict=True)
    except FileNotFoundError:
        return []
    return traces


def _traces_in_parquet(files: StoreFiles, file: FileVersion, allowed: AllowedIds) -> list[Trace]:
    """Ids in a Parquet file, as it is stored and decoded; none where it has been deleted since it was listed."""
    try:
        data = files.read(file, 0, file.size)
    except FileNotFoundError:
        return []
    traces = list(_traces_in_text(data, "an id", file.name, allowed, strict=False))
    try:
        for column, text in decode_text(data):
            where = f"an id in the column {column}"
            traces += _traces_in_text(text, where, file.name, allowed, strict=column in OWN_IDS)
    except (pa.ArrowInvalid, OSError):
        traces.append(Trace(file.name, "cannot be decoded: a writer was killed, or is writing"))
    if file.name.startswith(ALIGNMENTS_FOLDER):
        traces += _traces_in_alignments(data, file.name, allowed)
    return traces


def _traces_in_alignments(data: bytes, name: str, allowed: AllowedIds) -> Iterator[Trace]:
    """Alignments of slots that no row names. The log's checkpoints, which are Parquet too, have no slots."""
    try:
        file = pq.ParquetFile(BytesIO(data))
        rows = file.read([column for column in SLOT_COLUMNS if column in file.schema_arrow.names])
    except (pa.ArrowInvalid, OSError):
        return  # reported by `_traces_in_parquet`
    for column in rows.column_names:
        slots = rows[column].to_numpy()
        known = slots < allowed.named.size
        if not (known.all() and allowed.named[slots].all()):
            yield Trace(name, "alignments of a slot that no row names")
            return


def _traces_in_text(data: bytes, what: str, where: str, allowed: AllowedIds, strict: bool) -> Iterator[Trace]:
    """Ids of withdrawn participants in some bytes; if `strict`, also ids that nobody in the store has."""
    for run in hex_runs(data):
        found = {id_ for id_ in ids_in(run) if id_ in allowed.withdrawn}
        if strict and len(run) == ID_DIGITS and run not in allowed.ids:
            found.add(run)
        yield from (Trace(where, what, id_) for id_ in sorted(found))


def _require_none(traces: Iterator[Trace], store: Store) -> None:
    """Raise UserError that lists the traces; stops after MAX_TRACES."""
    lines = [str(trace) for trace in dict.fromkeys(islice(traces, MAX_TRACES))]
    if lines:
        more = f"\nand {len(lines) - MAX_SHOWN:,} more" if len(lines) > MAX_SHOWN else ""
        raise UserError(
            f"{store.folder.url}: traces of withdrawn participants, or ids that nobody in the store has, are left:\n"
            + "\n".join(lines[:MAX_SHOWN])
            + f"{more}\nRun `persondays withdraw` again while no ingest runs: it deletes what killed and late writers "
            "left. Then run the proof again."
        )
