"""`persondays withdraw`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipeline.store.store import Store
    from pipeline.withdraw.forget import WithdrawalResult

MAX_SHOWN = 10

OUT_OF_REACH = """\
This command cannot reach the following; delete it yourself where it exists:
  the recordings themselves (the next ingest finds them there, and leaves them out)
  backups, snapshots and replicas of the disk or bucket, and caches of the store on other machines
  data sets and tables that were cut or copied from the store
  checkpoints and logs of training, which list the keyed ids of held-out participants (weights contain no windows)
  logs of ingest, of Ray and of jobs, pages and reports, which may show the first 12 digits of keyed ids
  your own maps of names and participants"""


def withdraw(
    store: str = typer.Option(..., help="The window store: a path or an s3:// URL."),
    participants: Path | None = typer.Option(
        None,
        help="File of participants who withdrew: one per line, or the column participant of a CSV file; as ingest "
        "knows them, or keyed ids. Without it, unfinished earlier withdrawals are completed.",
    ),
    also_unknown: bool = typer.Option(
        False,
        "--also-unknown",
        help="Also register participants the store does not know, so that no later ingest accepts them.",
    ),
    key_file: Path | None = typer.Option(None, help="The store's key (else PERSONDAYS_KEY); not needed for keyed ids."),
    prove: bool = typer.Option(
        False,
        "--prove",
        help="Then read every byte of the store to show that nothing is left. Without --participants, do only this.",
    ),
    versions_purged: bool = typer.Option(
        False,
        "--versions-purged",
        help="Confirm that the storage keeps no older versions of deleted files, if it cannot report that itself.",
    ),
) -> None:
    """Delete participants: their rows, their person-days, and every older version of the tables. Irreversible.

    Their keyed ids and the dates stay, so that later ingests leave them out. If interrupted, run it again.
    """
    from datetime import UTC, datetime

    from pipeline.errors import UserError
    from pipeline.identity import Key, load_key
    from pipeline.store.store import Store
    from pipeline.withdraw.forget import forget
    from pipeline.withdraw.participants import look_up, read_participants, require_known

    opened = Store.open(store)

    def key() -> Key:
        found = load_key(key_file)
        opened.require(found, opened.attributes.processing)
        return found

    listed = []
    if participants:
        listed = read_participants(participants, key)
        found = look_up(listed, opened)
        if not also_unknown:
            require_known(found, participants, opened)
        typer.echo(f"{found}.")
    if listed or not prove:
        if not listed and not opened.withdrawals.participants():
            raise UserError("--participants is missing: give a file of participants who withdrew, one per line.")
        ids = [participant.id for participant in listed]
        result = forget(opened, ids, datetime.now(UTC).date(), versions_purged)
        typer.echo(_summary(result))
        if result.duplicates:
            raise UserError(_duplicates(result))
    if prove:
        typer.echo(_proof(opened, versions_purged))


def _summary(result: WithdrawalResult) -> str:
    return (
        f"withdrawn: {_count(result.participants, 'participant')}; the store still held "
        f"{_count(result.recordings, 'recording')} and {_count(result.person_days, 'person-day')} of theirs. Only "
        "their keyed ids and the dates are left in it, so that later ingests leave them out.\n" + OUT_OF_REACH
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _duplicates(result: WithdrawalResult) -> str:
    from pipeline.identity import SHORT_ID

    recordings = sorted({recording for _, recording in result.duplicates})
    more = f" and {len(recordings) - MAX_SHOWN:,} more" if len(recordings) > MAX_SHOWN else ""
    return (
        f"{len(result.duplicates):,} person-days of other participants hold exactly the values of deleted days: was a "
        "recording ingested under two names? They belong to the recordings "
        f"{', '.join(recording[:SHORT_ID] for recording in recordings[:MAX_SHOWN])}{more}. Find out whose they are, "
        "and withdraw those participants too if they are the same people."
    )


def _proof(store: Store, versions_purged: bool) -> str:
    from pipeline.withdraw.prove import prove

    proof = prove(store, versions_purged)
    foreign = f" ({proof.foreign:,} of them do not belong to a store)" if proof.foreign else ""
    return (
        f"proven: every byte of the store was read, {proof.bytes / 1e6:,.1f} MB in {proof.files:,} files{foreign}. It "
        f"holds no id and no object of the {_count(proof.participants, 'participant')} who withdrew, and no id that "
        "is not in its tables."
        + (" That no older versions are kept is your statement (--versions-purged)." if versions_purged else "")
    )
