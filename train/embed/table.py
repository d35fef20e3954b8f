"""A table of features: a folder of Parquet files, whose metadata say what they were made from and how (docs/embed.md).

Any program may write a table for `read_vectors`, which needs no more than Parquet files with the columns slot,
start_second and vector: a teacher that persondays does not know, for example.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import SECONDS_PER_DAY
from pipeline.storage.folder import Folder

FORMAT = "persondays-embedding"
VERSION = 1
KEY = b"persondays"
"""The key in a file's metadata under which its facts are, as JSON."""
COMPRESSION = "zstd"
ROWS_IN_GROUP = SECONDS_PER_DAY // 10
"""Rows that are read together: the windows of a day at a stride of 10 s."""

Pool = Literal["none", "minute", "hour", "day"]
POOL_SECONDS: dict[Pool, int] = {"minute": 60, "hour": 3_600, "day": SECONDS_PER_DAY}


@dataclass(frozen=True)
class Facts:
    """What a table was made from, and how: another table with the same facts has the same rows."""

    preset: str
    width: float
    features: int
    model_sha256: str
    """Of the weights (`train.networks.weights.digest`): the same for every file that holds them."""
    store_fingerprint: str
    store_key_check: str
    seconds: int
    """Length of a window."""
    stride_s: int
    pool: Pool
    min_eligible: float
    days_per_file: int

    def to_json(self) -> dict[str, Any]:
        """The values of the metadata."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


def schema(facts: Facts) -> pa.Schema:
    """Return the columns of the table, with the facts in the metadata.

    A row is a window, or with `pool` the mean of the windows that begin in a minute, an hour or a day. slot and
    start_second are its place in the store; time is the device's own clock, null in a store with relative dates;
    eligible_share is the share of its seconds that are eligible; windows is the number of windows in it; participant is
    the keyed id; vector is float32 of a fixed length.
    """
    columns = [
        pa.field("slot", pa.int64(), nullable=False),
        pa.field("start_second", pa.int32(), nullable=False),
        pa.field("time", pa.timestamp("ms")),
        pa.field("eligible_share", pa.float32(), nullable=False),
        pa.field("windows", pa.int32(), nullable=False),
        pa.field("participant", pa.string()),
        pa.field("vector", pa.list_(pa.float32(), facts.features), nullable=False),
    ]
    return pa.schema(columns, {KEY: json.dumps(facts.to_json(), sort_keys=True).encode()})


def to_parquet(rows: pa.Table, dictionary: list[str], statistics: list[str]) -> bytes:
    """Return a file: the same rows give the same bytes, for the same version of pyarrow.

    Columns in `dictionary` have few values; readers find rows by the columns in `statistics`.
    """
    file = BytesIO()
    pq.write_table(
        rows,
        file,
        compression=COMPRESSION,
        compression_level=1,
        row_group_size=ROWS_IN_GROUP,
        use_dictionary=dictionary,
        write_statistics=statistics,
    )
    return file.getvalue()


def read_facts(folder: Folder, name: str, kind: str = FORMAT) -> dict[str, Any] | None:
    """Return the facts in a file's metadata; None if it has none, or those of another kind of table."""
    with folder.translate_errors(), folder.fs.open(folder.at(name), "rb") as opened:
        return facts_in(open_parquet(opened, f"{folder.url}/{name}").metadata, kind)


def facts_in(footer: pq.FileMetaData, kind: str = FORMAT) -> dict[str, Any] | None:
    """Return the facts in a file's footer; None if it has none, or those of another kind of table."""
    try:
        found: dict[str, Any] = json.loads(footer.metadata[KEY])
        return found if found["format"] == kind else None
    except (ValueError, KeyError, TypeError):
        return None


class Vectors(NamedTuple):
    """Rows of a table: slot_N int64, start_N (start second) int32, vector_NF float32."""

    slot_N: NDArray[np.int64]
    start_N: NDArray[np.int32]
    vector_NF: NDArray[np.float32]


def read_vectors(url: str, slots: Collection[int] | None = None) -> Iterator[Vectors]:
    """Yield the rows of a table, a group of rows at a time; with `slots`, only those of these slots.

    `url` is a folder of Parquet files or one such file, on disk or S3. Groups of rows that have none of the slots are
    not read. Raises UserError where there is no Parquet file, or one without the columns.
    """
    for folder, name in list_files(url):
        with folder.translate_errors(), folder.fs.open(folder.at(name), "rb") as opened:
            yield from _read(opened, slots, f"{folder.url}/{name}")


def read_index(url: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return slot and start second of every row, without reading the vectors; raises UserError as `read_vectors`."""
    slots, starts = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]
    for folder, name in list_files(url):
        with folder.translate_errors(), folder.fs.open(folder.at(name), "rb") as opened:
            file = open_file(opened, f"{folder.url}/{name}")
            rows = file.read(["slot", "start_second"], use_threads=False)
            slots.append(integers(rows["slot"], np.int64))
            starts.append(integers(rows["start_second"], np.int32))
    return np.concatenate(slots), np.concatenate(starts)


def list_files(url: str) -> list[tuple[Folder, str]]:
    """Return folder and name of the files of a table; raises UserError where there is none."""
    folder = Folder(url)
    if url.endswith(".parquet"):
        parent, _, name = folder.url.rpartition("/")
        folder, names = Folder(parent), [name]
    else:
        names = [name for name in folder.names() if name.endswith(".parquet")]
    if not names:
        raise UserError(
            f"{url}: expected a folder with Parquet files of features, found none. Give the --out of an `embed`."
        )
    return [(folder, name) for name in names]


def open_parquet(opened: Any, where: str) -> pq.ParquetFile:
    """Open a Parquet file; raises UserError if it is none."""
    try:
        return pq.ParquetFile(opened)
    except pa.ArrowInvalid:
        raise UserError(f"{where}: expected a Parquet file, found something else.") from None


def open_file(opened: Any, where: str) -> pq.ParquetFile:
    """Open a file of a table of features; raises UserError if it is none."""
    file = open_parquet(opened, where)
    missing = {"slot", "start_second", "vector"} - set(file.schema_arrow.names)
    if missing:
        raise UserError(
            f"{where}: expected the columns slot, start_second and vector; {sorted(missing)[0]} is missing."
        )
    return file


def _read(opened: Any, slots: Collection[int] | None, where: str) -> Iterator[Vectors]:
    file = open_file(opened, where)
    wanted = None if slots is None else np.unique(np.fromiter(slots, np.int64))
    for group in range(file.num_row_groups):
        if wanted is not None and not _may_have(file.metadata.row_group(group), wanted):
            continue
        found = read_group(file, group, where)
        if wanted is not None:
            kept = np.isin(found.slot_N, wanted)
            found = Vectors(found.slot_N[kept], found.start_N[kept], found.vector_NF[kept])
        if len(found.slot_N):
            yield found


def read_group(file: pq.ParquetFile, group: int, where: str) -> Vectors:
    """Read a group of rows; raises UserError if their vectors differ in length."""
    rows = file.read_row_group(group, ["slot", "start_second", "vector"], use_threads=False)
    starts = integers(rows["start_second"], np.int32)
    return Vectors(integers(rows["slot"], np.int64), starts, _matrix(rows["vector"], where))


def _may_have(group: Any, wanted: NDArray[np.int64]) -> bool:
    columns = (group.column(number) for number in range(group.num_columns))
    statistics = next(column.statistics for column in columns if column.path_in_schema == "slot")
    if statistics is None or not statistics.has_min_max:
        return True
    first = np.searchsorted(wanted, statistics.min)
    return bool(first < len(wanted) and wanted[first] <= statistics.max)


def integers(column: pa.ChunkedArray, kind: type[Any]) -> NDArray[Any]:
    """Return a column as an array; unlike pyarrow's own conversion, this does not import pandas (0.4 s)."""
    return np.from_dlpack(column.combine_chunks().cast(pa.int64())).astype(kind)


def _matrix(column: pa.ChunkedArray, where: str) -> NDArray[np.float32]:
    """Vectors (rows, features) of a column of lists, fixed or not, that all have one length."""
    lists = column.combine_chunks()
    rows = len(lists)
    values = np.from_dlpack(lists.flatten().cast(pa.float32())).astype(np.float32, copy=False)
    if lists.null_count or (rows and (len(values) % rows or not _even(lists, len(values) // rows))):
        raise UserError(f"{where}: expected vectors of one length in every row, found others.")
    return values.reshape(rows, len(values) // rows if rows else 0)


def _even(lists: pa.Array, length: int) -> bool:
    if pa.types.is_fixed_size_list(lists.type):
        return True
    return bool((np.diff(np.from_dlpack(lists.offsets)) == length).all())
