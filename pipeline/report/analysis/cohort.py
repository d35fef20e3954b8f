"""A cohort as columns: the store's tables, read once into numpy arrays, so that 700,000 person-days take seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.store.figures import read_figures
from pipeline.store.store import Store
from pipeline.store.withdrawals import Withdrawals

Float = NDArray[np.float64]
Int = NDArray[np.int64]

AXES = "xyz"
FIGURES = (
    "nominal_rate_hz",
    "rate_hz",
    "rate_drift_ppm",
    "clock_residual_ms",
    "damaged_blocks",
    "duplicate_blocks",
    "backward_blocks",
    "mended_stamps",
    "gaps",
    "gap_total_s",
    "clipped_ticks",
    "impossible_samples",
    "still_windows",
    "error_before_mg",
    "error_after_mg",
    "noise_mg",
    "measured_hours",
    "wear_hours",
    "eligible_hours",
    "rates",
    "lost_share",
    "jitter_ms",
    *(f"gain_{axis}" for axis in AXES),
    *(f"offset_{axis}_g" for axis in AXES),
)
"""The quality figures that the report uses; NaN where a recording does not have one."""
DAY_COLUMNS = (
    "slot",
    "day_index",
    "measured_seconds",
    "idle_seconds",
    "gap_seconds",
    "clipped_seconds",
    "nonwear_seconds",
    "bad_seconds",
    "wear_seconds",
    "eligible_seconds",
    "motion_sum_g",
    "enmo_mg",
)
RECORDING_COLUMNS = ["recording", "participant", "status", "reason", "device", "serial", "location", "figures"]
NOT_GIVEN = "not given"
NO_RECORDING = -1


@dataclass(frozen=True)
class Categorical:
    """A column of few distinct values: the value of member n is `names[code_N[n]]`."""

    names: list[str]
    code_N: Int

    @staticmethod
    def of(column: pa.ChunkedArray) -> Categorical:
        """Encode a column of strings; null and empty strings become `not given`."""
        filled = pc.fill_null(column, NOT_GIVEN)
        coded = pc.if_else(pc.equal(filled, ""), NOT_GIVEN, filled).combine_chunks().dictionary_encode()
        return Categorical(coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).astype(np.int64))

    def where(self, name: str) -> NDArray[np.bool_]:
        """Return which members have a value, (N,)."""
        return self.code_N == self.names.index(name) if name in self.names else np.zeros(self.code_N.size, bool)

    @property
    def counts(self) -> dict[str, int]:
        """The number of members with each value, the most frequent value first."""
        counts = np.bincount(self.code_N, minlength=len(self.names)).tolist()
        return dict(sorted(zip(self.names, counts, strict=True), key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True)
class CohortColumns:
    """Accepted recordings (N), their person-days (D), and rejected recordings, without withdrawn participants.

    ids: full keyed ids of the accepted recordings, sorted; pages only show their first digits.
    participant_ids: keyed ids of the participants with an accepted recording.
    participant_N: index of each recording's participant in `participant_ids`.
    serial_N: a number for each device.
    figure: the FIGURES by name, each (N,).
    day: the DAY_COLUMNS by name, each (D,).
    recording_D: index of each person-day's recording, -1 while the recording is in progress.
    copied_N: whether a person-day of the recording has the same signal as one of another recording.
    rejected: the columns recording and reason.
    participants: the number of participants with a person-day or an accepted recording.
    versions: the versions of the tables that were read.
    """

    ids: pa.Array
    participant_ids: pa.Array
    participant_N: Int
    serial_N: Int
    device: Categorical
    location: Categorical
    calibration: Categorical
    figure: dict[str, Float]
    day: dict[str, Float]
    recording_D: Int
    copied_N: NDArray[np.bool_]
    rejected: pa.Table
    participants: int
    versions: dict[str, int]

    @staticmethod
    def read(store: Store) -> CohortColumns:
        """Read the cohort of a store. Raises UserError when the store is empty."""
        withdrawn = Withdrawals(store.folder).participants()
        accepted, figures, rejected = _recordings(_without(withdrawn, store.recordings.read(RECORDING_COLUMNS)))
        days = _without(withdrawn, store.person_days.read(["recording", "participant", "checksum", *DAY_COLUMNS]))
        if not accepted.num_rows + rejected.num_rows + days.num_rows:
            raise UserError(
                f"{store.folder.url}: the store holds no recordings yet, so there is nothing to report. Run "
                "`persondays ingest` first."
            )
        ids = accepted["recording"].combine_chunks()
        recording_D = _indices(days["recording"], ids)
        participant = accepted["participant"].combine_chunks().dictionary_encode()
        return CohortColumns(
            ids=ids,
            participant_ids=participant.dictionary,
            participant_N=participant.indices.to_numpy(zero_copy_only=False).astype(np.int64),
            serial_N=Categorical.of(accepted["serial"]).code_N,
            device=Categorical.of(accepted["device"]),
            location=Categorical.of(accepted["location"]),
            calibration=Categorical.of(figures["calibration"]),
            figure={name: _floats(figures[name]) for name in FIGURES},
            day={name: _floats(days[name]) for name in DAY_COLUMNS},
            recording_D=recording_D,
            copied_N=_copied(days["checksum"], recording_D, len(ids)),
            rejected=rejected,
            participants=pc.count_distinct(
                pa.chunked_array([*days["participant"].chunks, *accepted["participant"].chunks], pa.string())
            ).as_py(),
            versions={table.name: table.version for table in (store.recordings, store.person_days)},
        )

    @property
    def person_days(self) -> int:
        """The number of person-days."""
        return self.recording_D.size

    @property
    def slot_D(self) -> Int:
        """The slot of each person-day."""
        return self.day["slot"].astype(np.int64)

    def sum_by_recording(self, value_D: Float) -> Float:
        """Return the sum over the days of each recording, (N,); days without a value count as 0."""
        known = (self.recording_D != NO_RECORDING) & np.isfinite(value_D)
        sums_N: Float = np.bincount(self.recording_D[known], value_D[known], minlength=len(self.ids)).astype(np.float64)
        return sums_N

    @property
    def wear_days_N(self) -> Float:
        """Days worn of each recording: its worn seconds divided by 86,400."""
        return self.sum_by_recording(self.day["wear_seconds"]) / 86_400

    @property
    def enmo_mg_N(self) -> Float:
        """Mean ENMO of each recording: the mean of its days weighted by worn seconds; NaN if it was not worn."""
        wear_D, enmo_D = self.day["wear_seconds"], self.day["enmo_mg"]
        weight_N = self.sum_by_recording(np.where(np.isfinite(enmo_D), wear_D, 0))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weight_N > 0, self.sum_by_recording(enmo_D * wear_D) / weight_N, np.nan)

    @property
    def inner_D(self) -> NDArray[np.bool_]:
        """Person-days between the first and the last of their recording; only these can be complete."""
        index_D, known_D = self.day["day_index"], self.recording_D != NO_RECORDING
        last_N = np.full(len(self.ids), -1.0)
        np.maximum.at(last_N, self.recording_D[known_D], index_D[known_D])
        inner_D = np.zeros(self.person_days, bool)
        inner_D[known_D] = (index_D[known_D] > 0) & (index_D[known_D] < last_N[self.recording_D[known_D]])
        return inner_D

    def ids_of(self, index_K: Int) -> list[str]:
        """Return the keyed ids of some recordings, in the order given."""
        return list(self.ids.take(pa.array(index_K)).to_pylist())


def _recordings(recordings: pa.Table) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return the accepted recordings in the order of their ids, their figures, and the rejected recordings."""
    rejected = recordings.filter(pc.equal(recordings["status"], "rejected")).select(["recording", "reason"])
    accepted = recordings.filter(pc.equal(recordings["status"], "done"))
    order = pc.sort_indices(accepted["recording"])
    figures = read_figures(accepted["figures"], [*FIGURES, "calibration"])
    return accepted.drop_columns("figures").take(order), figures.take(order), rejected


def _without(withdrawn: frozenset[str], table: pa.Table) -> pa.Table:
    """Leave out the rows of withdrawn participants, which may not be deleted yet."""
    if not withdrawn:
        return table
    return table.filter(pc.invert(pc.is_in(table["participant"], pa.array(sorted(withdrawn), pa.string()))))


def _floats(column: pa.ChunkedArray) -> Float:
    """Return a column of numbers as float64, NaN where it is null."""
    floats: Any = pc.fill_null(pc.cast(column, pa.float64()), float("nan"))
    return floats.to_numpy()


def _indices(column: pa.ChunkedArray, among: pa.Array) -> Int:
    """Return the index of each value of a column in an array, -1 where it is absent."""
    found: Any = pc.fill_null(pc.index_in(column, value_set=among), NO_RECORDING)
    return found.to_numpy().astype(np.int64)


def _copied(checksum: pa.ChunkedArray, recording_D: Int, recordings: int) -> NDArray[np.bool_]:
    """Return which recordings share the signal of a person-day with another recording."""
    coded = pc.fill_null(checksum, "").combine_chunks().dictionary_encode()
    code_D = coded.indices.to_numpy(zero_copy_only=False)
    known_D = (recording_D != NO_RECORDING) & (np.asarray(pc.fill_null(pc.utf8_length(checksum), 0)) > 0)
    first_C = np.full(len(coded.dictionary), recordings, dtype=np.int64)
    last_C = np.full(len(coded.dictionary), -1, dtype=np.int64)
    np.minimum.at(first_C, code_D[known_D], recording_D[known_D])
    np.maximum.at(last_C, code_D[known_D], recording_D[known_D])
    twice_D = known_D & (first_C[code_D] != last_C[code_D])
    copied_N = np.zeros(recordings, bool)
    copied_N[recording_D[twice_D]] = True
    return copied_N
