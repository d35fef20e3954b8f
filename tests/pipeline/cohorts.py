"""Made cohorts: any number of recordings of seven days, written directly into the tables of a store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from numpy.typing import NDArray

from pipeline.grid import SECONDS_PER_DAY
from pipeline.identity import Key
from pipeline.report.analysis.coverage import sample
from pipeline.store.layout import slot_object
from pipeline.store.schemas import PERSON_DAYS, RECORDINGS
from pipeline.store.shard import blosc, encode_plain
from pipeline.store.states import GAP, MEASURED, NONWEAR
from pipeline.store.store import Store

KEY = Key(bytes(range(32)))
DAYS = 7
HOUR = 3600
BAD_START = "a .cwa recording begins with the bytes 'MD' and the length 1020; found {}. This is no recording."
TOO_LONG = "it spans {} days by its own clock, more than --max-days 60: the clock was set meanwhile"


@dataclass(frozen=True)
class MadeCohort:
    """A store, and the columns written into it: of accepted recordings (N,) and their person-days (N, 7)."""

    store: Store
    names: list[str]
    recording: dict[str, NDArray[Any]]
    day: dict[str, NDArray[Any]]
    rejected: int

    def id(self, index: int) -> str:
        """Return the keyed id of a recording."""
        return KEY.recording(self.names[index])


def eid(index: int) -> str:
    """Return the participant of a recording; every fiftieth belongs to the participant before."""
    return str(1_000_000 + index - (index % 50 == 49))


def write_cohort(url: str, recordings: int, seed: int = 0, *, states: bool = False, dates: bool = True) -> MadeCohort:
    """Write a cohort of accepted recordings and 3% as many rejected ones; `states` adds those that the page reads."""
    random = np.random.default_rng(seed)
    count = recordings
    names = [f"{eid(index)}_90001_{index % 50 // 49}_0.cwa" for index in range(count)]
    recording = _recordings(random, count)
    day = _days(random, count, recording)
    store = Store.create(url, KEY, {"made": "for tests"})
    store.grow(count * DAYS + 3)
    ids = np.array([KEY.recording(name) for name in names])
    people = np.array([KEY.participant(eid(index)) for index in range(count)])
    _write_days(store, ids, people, recording, day, random, dates)
    _write_recordings(store, ids, people, recording, day, max(3, count * 3 // 100))
    if states:
        for slot in sample(day["slot"].ravel()).tolist():
            store.folder.write(slot_object("state", slot), encode_plain(state(slot), blosc("lz4")))
    return MadeCohort(store, names, recording, day, max(3, count * 3 // 100))


def state(slot: int) -> NDArray[np.uint8]:
    """Return the states of a day: measured, with non-wear at night and a gap at noon; first days start at ten."""
    state_S = np.full(SECONDS_PER_DAY, MEASURED, np.uint8)
    state_S[: slot % 5 * HOUR] |= NONWEAR
    state_S[12 * HOUR : 12 * HOUR + 600 * (slot % 3)] = GAP
    if slot % DAYS == 0:
        state_S[: 10 * HOUR] = 0
    return state_S


def _recordings(random: np.random.Generator, count: int) -> dict[str, NDArray[Any]]:
    outcome = random.choice(["own", "given", "none"], count, p=[0.93, 0.03, 0.04])
    before = np.exp(random.normal(3, 0.5, count))
    after = np.where(outcome == "none", before, np.exp(random.normal(1, 0.4, count)))
    nominal = random.choice([100.0, 50.0], count, p=[0.95, 0.05])
    found = {
        "device": random.choice(["AX3", "AX6"], count, p=[0.9, 0.1]),
        "location": random.choice(["right wrist", "left wrist", ""], count, p=[0.7, 0.2, 0.1]),
        "calibration": outcome,
        "error_before_mg": before,
        "error_after_mg": after,
        "still_windows": random.integers(0, 9000, count),
        "nominal_rate_hz": nominal,
        "rate_hz": nominal * random.normal(1, 0.006, count),
        "rate_drift_ppm": np.exp(random.normal(5.5, 0.6, count)),
        "clock_residual_ms": np.exp(random.normal(-1, 0.7, count)),
        "gaps": random.poisson(0.3, count),
        "clipped_ticks": random.poisson(4, count) * 30,
        "impossible_samples": np.zeros(count, np.int64),
        "damaged_blocks": random.poisson(0.2, count),
        "duplicate_blocks": np.zeros(count, np.int64),
        "backward_blocks": np.zeros(count, np.int64),
        "mended_stamps": np.zeros(count, np.int64),
        **{f"gain_{axis}": random.normal(1, 0.01, count) for axis in "xyz"},
        **{f"offset_{axis}_g": random.normal(0, 0.03, count) for axis in "xyz"},
        "enmo_mg": np.exp(random.normal(3.35, 0.33, count)),
        "serial": random.integers(0, max(2, count // 6), count),
    }
    found["gap_total_s"] = found["gaps"] * np.exp(random.normal(1.5, 1.2, count))
    found["enmo_mg"][3 % count] = 250.0
    found["damaged_blocks"][5 % count] = 4_000
    found["gap_total_s"][5 % count] = 9_000.0
    return found


def _days(random: np.random.Generator, count: int, recording: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    span = np.full((count, DAYS), SECONDS_PER_DAY)
    span[:, 0], span[:, -1] = 14 * HOUR, 10 * HOUR
    taken_off = random.random((count, DAYS)) < 0.25
    nonwear = np.where(taken_off, (span * random.beta(1, 3, (count, DAYS))).astype(np.int64), 0)
    gap = np.zeros((count, DAYS), np.int64)
    gap[:, 3] = np.minimum(recording["gap_total_s"], HOUR)
    measured = span - gap
    wear = np.maximum(measured - nonwear, 0)
    clipped = np.zeros((count, DAYS), np.int64)
    clipped[:, 2] = recording["clipped_ticks"] // 30
    enmo = recording["enmo_mg"][:, None] * np.exp(random.normal(0, 0.2, (count, DAYS)))
    return {
        "slot": np.arange(count * DAYS).reshape(count, DAYS),
        "day_index": np.broadcast_to(np.arange(DAYS), (count, DAYS)),
        "measured_seconds": measured,
        "idle_seconds": np.zeros((count, DAYS), np.int64),
        "gap_seconds": gap,
        "clipped_seconds": clipped,
        "nonwear_seconds": nonwear,
        "bad_seconds": gap // 60,
        "wear_seconds": wear,
        "eligible_seconds": np.maximum(wear - gap // 60, 0),
        "motion_sum_g": wear * enmo * 1e-3 * random.normal(1.6, 0.1, (count, DAYS)),
        "enmo_mg": np.where(wear > 0, enmo, np.nan),
    }


def _write_days(
    store: Store,
    ids: NDArray[np.str_],
    people: NDArray[np.str_],
    recording: dict[str, NDArray[Any]],
    day: dict[str, NDArray[Any]],
    random: np.random.Generator,
    dates: bool,
) -> None:
    count = ids.size
    order = random.permutation(count * DAYS)
    checksum = random.integers(0, 2**62, count * DAYS)
    checksum[[1 * DAYS + 2, 2 * DAYS + 4]] = 7  # a day of recording 1 is also one of recording 2
    columns: dict[str, Any] = {name: values.ravel()[order] for name, values in day.items()}
    columns["recording"], columns["participant"] = (np.repeat(values, DAYS)[order] for values in (ids, people))
    columns["device"], columns["location"], columns["calibration"] = (
        np.repeat(recording[name], DAYS)[order] for name in ("device", "location", "calibration")
    )
    columns["checksum"] = np.char.mod("%064x", checksum[order])
    columns["day"] = np.datetime64("2014-03-01") + columns["day_index"] if dates else None
    table = pa.table(
        {
            field.name: pa.array(columns[field.name], from_pandas=True).cast(field.type)
            if columns.get(field.name) is not None
            else pa.nulls(order.size, field.type)
            for field in PERSON_DAYS
        },
        schema=PERSON_DAYS,
    )
    write_deltalake(store.person_days.delta, table, mode="append")
    store.person_days.refresh()


def _write_recordings(
    store: Store,
    ids: NDArray[np.str_],
    people: NDArray[np.str_],
    recording: dict[str, NDArray[Any]],
    day: dict[str, NDArray[Any]],
    rejected: int,
) -> None:
    wear_hours = day["wear_seconds"].sum(1) / HOUR
    figures = {name: values.tolist() for name, values in recording.items()} | {"wear_hours": wear_hours.tolist()}
    dates = {"start": "2014-03-01T10:00:00", "end": "2014-03-07T10:00:00", "serial": "5e" * 32}
    rows = [
        {
            "recording": ids[index],
            "participant": people[index],
            "source": f"{index:016x}",
            "size": 260_000_000,
            "status": "done",
            "person_days": DAYS,
            "device": recording["device"][index],
            "serial": KEY.device(str(recording["serial"][index])),
            "location": recording["location"][index] or None,
            "figures": json.dumps({name: values[index] for name, values in figures.items()} | dates, sort_keys=True),
        }
        for index in range(ids.size)
    ]
    for index in range(rejected):
        reason = BAD_START.format("6e 6f 74 20") if index == 0 else TOO_LONG.format(60 + index)
        common = {"status": "rejected", "person_days": 0, "size": 10, "source": "0" * 16}
        person = KEY.participant(f"rejected {index}")
        rows.append({"recording": KEY.recording(f"bad{index}"), "participant": person, "reason": reason, **common})
    write_deltalake(store.recordings.delta, pa.Table.from_pylist(rows, RECORDINGS), mode="append")
    store.recordings.refresh()
