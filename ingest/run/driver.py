"""One ingest run from end to end: what is there, what is left, then probe, plan, run and commit (docs/ingest.md).

The driver alone holds the key, takes the lease, gives slots, grows arrays and writes tables. Workers get
a recording and its slots. So a run may be killed at any moment, and the next one finds a whole store.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ingest.run.inputs import Inputs, read_inputs
from ingest.run.plan import DONE, Row, Standing
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source, file_state
from ingest.run.summary import Summary, count
from pipeline.errors import UserError
from pipeline.identity import SHORT_ID
from pipeline.settings import plain
from pipeline.storage.folder import Folder, StorageUnavailable
from pipeline.store.attributes import People
from pipeline.store.duplicates import find_duplicates
from pipeline.store.layout import METADATA
from pipeline.store.lease import Lease
from pipeline.store.store import Store, require_creatable

if TYPE_CHECKING:
    from ingest.run.dry_run import DryRun

log = logging.getLogger(__name__)


def run_ingest(settings: IngestSettings) -> Summary:
    """Bring every recording that is not yet in the store into it; raises UserError when the run cannot go on.

    A second run over the same recordings finds nothing to do, without a lease and without Ray.
    """
    inputs = read_inputs(settings)
    folder = Folder(settings.store)
    if folder.exists(METADATA):
        store = open_store(settings, inputs)
        inputs = inputs.without(store.withdrawals.participants())
        found = look(store, inputs)
        if not left_to_do(settings, inputs, found) and store.length >= found.end_of_plan:
            return summarise(store.folder.url, inputs, found, [])
    else:
        require_creatable(folder)
    with Lease(folder) as lease:
        if not folder.exists(METADATA):
            codec = settings.codec or "lz4"
            people = how_people_are_known(settings)
            Store.create(folder.url, inputs.key, processing(settings), settings.signal.counts_per_g, codec, people)
        return ingest_under(lease, settings, inputs, open_store(settings, inputs))


def plan_ingest(settings: IngestSettings) -> Summary | DryRun:
    """What `run_ingest` would do, without writing anything: its summary where nothing is left to do."""
    from ingest.run.dry_run import dry_run

    inputs = read_inputs(replace(settings, name_map=None))
    folder = Folder(settings.store)
    found = Standing({}, frozenset())
    if folder.exists(METADATA):
        store = open_store(settings, inputs)
        inputs = inputs.without(store.withdrawals.participants())
        found = look(store, inputs)
    else:
        require_creatable(folder)
    todo = left_to_do(settings, inputs, found)
    before = summarise(folder.url, inputs, found, todo)
    return dry_run(settings, inputs, found, todo, before) if todo else before


def ingest_under(lease: Lease, settings: IngestSettings, inputs: Inputs, store: Store) -> Summary:
    """The part of a run that writes; what is finished when it is stopped is committed."""
    from ingest.run.cluster import ray_session
    from ingest.run.commit import Committer
    from ingest.run.phases import Phases

    started = time.monotonic()
    for table in (store.plan, store.person_days, store.recordings):
        table.fence(lease.epoch)
    inputs = inputs.without(store.withdrawals.participants())
    found = look(store, inputs)
    todo = left_to_do(settings, inputs, found)
    summary = summarise(store.folder.url, inputs, found, todo)
    if how_people_are_known(settings) == "alone":
        log.warning(
            "note: without --participants or --id-regex every recording counts as a person of its own; repeats of one "
            "person are not joined."
        )
    committer = Committer(store, lease, found)
    phases = Phases(settings, inputs, todo, committer, summary)
    with ray_session(settings.workers, settings.ray_address), stopped_by_signals():
        try:
            phases.plan_slots()
            phases.ingest_planned()
        except StorageUnavailable:  # long enough waited for
            raise
        except BaseException:
            with suppress(Exception):
                committer.commit()
            raise
        committer.commit()
    for table in (store.plan, store.person_days, store.recordings):
        lease.check()
        table.compact()
    summary.copies = find_duplicates(store)
    summary.seconds = time.monotonic() - started
    return summary


def processing(settings: IngestSettings) -> Row:
    """What a store keeps of its settings, and holds every later run to."""
    told = {name: value for name, value in plain(settings.signal).items() if value is not None}
    return {**told, "relative_dates": settings.relative_dates}


def how_people_are_known(settings: IngestSettings) -> People:
    """By names that the user gives, or each recording as a person of its own."""
    return "alone" if settings.participants is None and settings.id_regex is None else "named"


def open_store(settings: IngestSettings, inputs: Inputs) -> Store:
    """The existing store, if it was made as the settings say."""
    store = Store.open(settings.store)
    store.require(inputs.key, processing(settings))
    theirs = store.attributes.people
    if theirs and theirs != how_people_are_known(settings):
        was = "with --participants or --id-regex" if theirs == "named" else "without --participants and --id-regex"
        raise UserError(
            f"{store.folder.url}: the store was made {was}. To go on otherwise would give people a second identity, "
            "and bring back who has withdrawn. Give what it was made with, or name another store."
        )
    if settings.codec is not None and settings.codec != store.codec:
        raise UserError(
            f"{store.folder.url}: its arrays are compressed with {store.codec}, and --codec says {settings.codec}. "
            "Leave --codec away, or name another store."
        )
    return store


def look(store: Store, inputs: Inputs) -> Standing:
    """What the tables know; raises UserError when the run would give recordings to other people than before."""
    known = store.recordings.read(["recording", "participant", "source", "status", "reason", "serial"]).to_pylist()
    with_days = store.person_days.read(["recording"])["recording"].unique().to_pylist()
    found = Standing({row["recording"]: row for row in known}, frozenset(with_days))
    found.add_plan(store.plan.read().to_pylist())
    if inputs.again:
        found.again |= {source.id for source in inputs.sources}
    moved = [
        source.id
        for source in inputs.sources
        if not {row["participant"] for row in found.rows_of(source.id)} <= {inputs.participants[source.id]}
    ]
    told_otherwise = [
        source.id
        for source in inputs.sources
        if found.has_days(source.id) and source.id not in found.again and _is_told_otherwise(source, found)
    ]
    if told_otherwise:
        raise UserError(
            f"{store.folder.url}: {count(len(told_otherwise), 'table')} in it ({told_otherwise[0][:SHORT_ID]}, ...) "
            "would now be read with other --columns, --unit or --rate than before. Give those that they were read "
            "with, or name the tables in --again to read them anew."
        )
    if moved:
        raise UserError(
            f"{store.folder.url}: {count(len(moved), 'recording')} in it ({moved[0][:SHORT_ID]}, ...) would now belong "
            "to another participant. Give --participants or --id-regex as the store was made, or name another store."
        )
    return found


def _is_told_otherwise(source: Source, found: Standing) -> bool:
    before = found.recordings[source.id]["source"]
    return file_state(before) == source.file_state and before != source.fingerprint


def left_to_do(settings: IngestSettings, inputs: Inputs, found: Standing) -> list[Source]:
    """The recordings that are new or changed, and on demand the rejected ones."""
    return [source for source in inputs.sources if not found.is_done(source, settings.retry_rejected)]


def summarise(store: str, inputs: Inputs, found: Standing, todo: list[Source]) -> Summary:
    """The summary of a run that has done nothing yet."""
    left = {source.id for source in todo}
    rows = [found.recordings[source.id] for source in inputs.sources if source.id not in left]
    return Summary(
        store=store,
        done_before=sum(row["status"] == DONE for row in rows),
        rejected_before=[(row["recording"], row["reason"]) for row in rows if row["status"] != DONE],
        left_out=len(inputs.left_out),
        withdrawn=inputs.withdrawn,
    )


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let a polite request to end (Slurm, Kubernetes, a closed terminal) stop a run as Ctrl-C does; nohup stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked_to_end = [signal.SIGTERM, *([] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP])]
    before = {number: signal.signal(number, signal.default_int_handler) for number in asked_to_end}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
