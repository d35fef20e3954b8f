"""One ingest run from end to end: what the store has, what is left, then probe, plan, run and commit (docs/ingest.md).

Only the driver holds the key, takes the lease, assigns slots, grows arrays and writes tables. Workers get a recording
and its slots. So a run may be killed at any moment, and the next one finds a consistent store.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ingest.run.inputs import Inputs, read_inputs
from ingest.run.plan import DONE, Catalogue, Row
from ingest.run.settings import IngestSettings
from ingest.run.sources import Source, file_state, is_joined
from ingest.run.summary import Summary, count
from ingest.settings import TableSettings
from pipeline.errors import UserError
from pipeline.flags import flag_names
from pipeline.identity import SHORT_ID
from pipeline.settings import plain
from pipeline.storage.folder import Folder, StorageUnavailable
from pipeline.store.attributes import People
from pipeline.store.duplicates import find_duplicates
from pipeline.store.layout import METADATA
from pipeline.store.lease import Lease
from pipeline.store.same_dates import find_same_dates
from pipeline.store.store import Store, require_creatable

log = logging.getLogger(__name__)


def run_ingest(settings: IngestSettings) -> Summary:
    """Ingest every recording that the store does not have; raises UserError when the run cannot continue.

    A second run over the same recordings finds nothing to do, without a lease and without Ray.
    """
    inputs, catalogue, store = survey(settings)
    if store is not None and not left_to_do(settings, inputs, catalogue) and store.length >= catalogue.end_of_plan:
        return initial_summary(store.folder.url, inputs, catalogue, [])
    folder = Folder(settings.store)
    with Lease(folder) as lease:
        if not folder.exists(METADATA):
            codec = settings.codec or "lz4"
            people = how_participants_are_known(settings)
            Store.create(folder.url, inputs.key, processing(settings), settings.signal.counts_per_g, codec, people)
        return ingest_under(lease, settings, inputs, open_store(settings, inputs))


def survey(settings: IngestSettings) -> tuple[Inputs, Catalogue, Store | None]:
    """What a run would start from: its inputs, the catalogue of the store, and the store if it exists."""
    inputs = read_inputs(settings)
    folder = Folder(settings.store)
    if not folder.exists(METADATA):
        require_creatable(folder)
        return inputs, Catalogue({}, frozenset()), None
    store = open_store(settings, inputs)
    inputs = inputs.without(store.withdrawals.participants())
    return inputs, read_catalogue(store, inputs), store


def ingest_under(lease: Lease, settings: IngestSettings, inputs: Inputs, store: Store) -> Summary:
    """The part of a run that writes; work finished before it is stopped is committed."""
    from ingest.run.cluster import ray_session
    from ingest.run.commit import Committer
    from ingest.run.phases import Phases

    started = time.monotonic()
    for table in (store.plan, store.person_days, store.recordings):
        table.fence(lease.epoch)
    inputs = inputs.without(store.withdrawals.participants())
    catalogue = read_catalogue(store, inputs)
    todo = left_to_do(settings, inputs, catalogue)
    summary = initial_summary(store.folder.url, inputs, catalogue, todo)
    if how_participants_are_known(settings) == "alone":
        log.warning(
            "note: without --participants or --id-regex every recording counts as a participant of its own, even where "
            "several are of one person."
        )
    committer = Committer(store, lease, catalogue)
    phases = Phases(settings, inputs, todo, committer, summary)
    with ray_session(settings.workers, settings.ray_address), stopped_by_signals():
        try:
            phases.plan_slots()
            phases.ingest_planned()
        except StorageUnavailable:  # retried for long enough: a commit would fail too
            raise
        except BaseException:
            with suppress(Exception):
                committer.commit()
            raise
        committer.commit()
    for table in (store.plan, store.person_days, store.recordings):
        lease.check()
        table.compact()
    summary.duplicates = find_duplicates(store)
    summary.same_dates = find_same_dates(store)
    summary.seconds = time.monotonic() - started
    return summary


def processing(settings: IngestSettings) -> Row:
    """The settings that a store keeps and that every later run has to have."""
    of_a_run = {"clock"}
    given = {
        name: value for name, value in plain(settings.signal).items() if value is not None and name not in of_a_run
    }
    return {**given, "relative_dates": settings.relative_dates}


def how_participants_are_known(settings: IngestSettings) -> People:
    """`named` by --participants or --id-regex, or `alone`: each recording is a participant of its own."""
    return "alone" if settings.participants is None and settings.id_regex is None else "named"


def open_store(settings: IngestSettings, inputs: Inputs) -> Store:
    """Open the existing store; raises UserError if it was made with other settings."""
    store = Store.open(settings.store)
    store.require(inputs.key, processing(settings))
    theirs = store.attributes.people
    if theirs and theirs != how_participants_are_known(settings):
        was = "with --participants or --id-regex" if theirs == "named" else "without --participants and --id-regex"
        raise UserError(
            f"{store.folder.url}: the store was made {was}. A run made otherwise would give participants a second "
            "identity and ingest those who withdrew. Give the flags that it was made with, or name another store."
        )
    if settings.codec is not None and settings.codec != store.codec:
        raise UserError(
            f"{store.folder.url}: its arrays are compressed with {store.codec}, and --codec is {settings.codec}. "
            "Leave out --codec, or name another store."
        )
    return store


def read_catalogue(store: Store, inputs: Inputs) -> Catalogue:
    """Read the tables; raises UserError when the run would reassign recordings or read tables with other settings."""
    known = store.recordings.read(["recording", "participant", "source", "status", "reason", "serial"]).to_pylist()
    with_days = store.person_days.read(["recording"])["recording"].unique().to_pylist()
    catalogue = Catalogue({row["recording"]: row for row in known}, frozenset(with_days))
    catalogue.add_plan(store.plan.read().to_pylist())
    _require_same_files(store, inputs, catalogue)
    if inputs.again:
        catalogue.again |= {source.id for source in inputs.sources}
    reread = [
        source.id
        for source in inputs.sources
        if catalogue.has_days(source.id)
        and source.id not in catalogue.again
        and _has_other_table_settings(source, catalogue)
    ]
    if reread:
        flags = flag_names(TableSettings)
        raise UserError(
            f"{store.folder.url}: {count(len(reread), 'table')} in it ({reread[0][:SHORT_ID]}, ...) would now be read "
            f"with other {', '.join(flags[:-1])} or {flags[-1]} than before. Give those that they were read with, or "
            "name the tables in --again to ingest them again."
        )
    moved = [
        source.id
        for source in inputs.sources
        if not {row["participant"] for row in catalogue.rows_of(source.id)} <= {inputs.participants[source.id]}
    ]
    if moved:
        raise UserError(
            f"{store.folder.url}: {count(len(moved), 'recording')} in it ({moved[0][:SHORT_ID]}, ...) would now belong "
            "to another participant. Give --participants or --id-regex as the store was made, or name another store."
        )
    return catalogue


def _require_same_files(store: Store, inputs: Inputs, catalogue: Catalogue) -> None:
    """Raise UserError where a file would be ingested both by itself and as a part of a recording."""
    joined = [id_ for id_, row in catalogue.recordings.items() if is_joined(row["source"]) and catalogue.has_days(id_)]
    if joined and not inputs.joins:
        raise UserError(
            f"{store.folder.url}: it has {count(len(joined), 'recording')} ({joined[0][:SHORT_ID]}, ...) made of "
            "joined files, which would now be recordings of their own. Give --join-folders, --join-map or --join-regex "
            "as before, or name another store."
        )
    parts = [part.id for source in inputs.sources for part in source.parts if catalogue.has_days(part.id)]
    if parts:
        raise UserError(
            f"{store.folder.url}: {count(len(parts), 'recording')} in it ({parts[0][:SHORT_ID]}, ...) would now be "
            "parts of other recordings, and have their days twice. Ingest joined recordings into a new store."
        )


def _has_other_table_settings(source: Source, catalogue: Catalogue) -> bool:
    before = catalogue.recordings[source.id]["source"]
    return file_state(before) == source.file_state and before != source.fingerprint


def left_to_do(settings: IngestSettings, inputs: Inputs, catalogue: Catalogue) -> list[Source]:
    """The recordings that are new or changed, and with --retry-rejected the rejected ones."""
    return [source for source in inputs.sources if not catalogue.is_done(source, settings.retry_rejected)]


def initial_summary(store: str, inputs: Inputs, catalogue: Catalogue, todo: list[Source]) -> Summary:
    """The summary of a run that has not ingested anything yet."""
    left = {source.id for source in todo}
    rows = [catalogue.recordings[source.id] for source in inputs.sources if source.id not in left]
    joined = [source for source in inputs.sources if source.parts]
    return Summary(
        store=store,
        files=sum(len(source.parts) for source in joined),
        joined=len(joined),
        alone=len(inputs.sources) - len(joined),
        done_before=sum(row["status"] == DONE for row in rows),
        rejected_before=[(row["recording"], row["reason"]) for row in rows if row["status"] != DONE],
        left_out=len(inputs.left_out),
        withdrawn=inputs.withdrawn,
    )


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP (Slurm, Kubernetes, a closed terminal) stop a run as Ctrl-C does; nohup still works."""
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
