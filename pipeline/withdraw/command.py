"""`persondays withdraw`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pipeline.store.store import Store
    from pipeline.withdraw.forget import Forgotten

SHOWN = 10

OUT_OF_REACH = """\
Not in this command's reach; delete it where it exists:
  the recordings themselves (the next ingest finds them there, and leaves them out)
  backups, snapshots and replicas of the disk or bucket, and caches of the store on other machines
  sets and tables that were cut from the store or copied out of it
  checkpoints and logs of training, which list the keyed ids of people held out (weights hold no windows)
  logs of ingest, of Ray and of jobs, pages and reports, which may show the first 12 digits of keyed ids
  maps of names and participants, which you keep"""


def withdraw(
    store: str = typer.Option(..., help="The window store; any fsspec URL."),
    participants: Path | None = typer.Option(
        None,
        help="Who withdrew: one a line, or the column participant of a CSV file; as ingest knows them, or keyed ids. "
        "Without it, earlier withdrawals that were not finished are.",
    ),
    also_unknown: bool = typer.Option(
        False,
        "--also-unknown",
        help="Note people of whom the store knows nothing too, so that no later ingest takes them in.",
    ),
    key_file: Path | None = typer.Option(None, help="The store's key (else PERSONDAYS_KEY); not needed for keyed ids."),
    prove: bool = typer.Option(
        False, "--prove", help="Then read every byte of the store to show that nothing is left; alone, only that."
    ),
    versions_purged: bool = typer.Option(
        False,
        "--versions-purged",
        help="You vouch that the storage keeps no older versions of deleted files, where it does not tell.",
    ),
) -> None:
    """Forget people: their rows, their person-days, and every older version of the tables. It cannot be undone.

    What stays is the keyed id and the date, so that later ingests leave the person out. Interrupted, it is run again.
    """
    from datetime import UTC, datetime

    from pipeline.errors import UserError
    from pipeline.identity import Key, load_key
    from pipeline.store.store import Store
    from pipeline.withdraw.forget import forget
    from pipeline.withdraw.people import read_people, require_known, stand

    opened = Store.open(store)

    def key() -> Key:
        found = load_key(key_file)
        opened.require(found, opened.attributes.processing)
        return found

    people = []
    if participants:
        people = read_people(participants, key)
        standing = stand(people, opened)
        if not also_unknown:
            require_known(standing, participants, opened)
        typer.echo(f"{standing.told()}.")
    if people or not prove:
        if not people and not opened.withdrawals.participants():
            raise UserError("--participants is missing: a file of those who withdrew, one a line.")
        found = forget(opened, [person.id for person in people], datetime.now(UTC).date(), versions_purged)
        typer.echo(_told(found))
        if found.twins:
            raise UserError(_twins(found))
    if prove:
        typer.echo(_proven(opened, versions_purged))


def _told(found: Forgotten) -> str:
    """What was forgotten, in words."""
    return (
        f"forgotten: {_count(found.people, 'participant')}, of whom the store still had "
        f"{_count(found.recordings, 'recording')} and {_count(found.person_days, 'person-day')}. Nothing of them is "
        "left in it but the keyed ids and the date, by which later ingests leave them out.\n" + OUT_OF_REACH
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _twins(found: Forgotten) -> str:
    """That somebody else's days are the same to the bit."""
    from pipeline.identity import SHORT_ID

    recordings = sorted({recording for _, recording in found.twins})
    more = f" and {len(recordings) - SHOWN:,} more" if len(recordings) > SHOWN else ""
    return (
        f"{len(found.twins):,} person-days of other participants hold the very values of days that are deleted: a "
        f"recording that stands under two names? They are of the recordings "
        f"{', '.join(recording[:SHORT_ID] for recording in recordings[:SHOWN])}{more}. Find out whose they are, and "
        "withdraw those participants too if they are the same people."
    )


def _proven(store: Store, vouched: bool) -> str:
    """What was read to prove that nothing is left, in words."""
    from pipeline.withdraw.prove import prove

    proof = prove(store, vouched)
    foreign = f" ({proof.foreign:,} of them none of a store's, read as they are)" if proof.foreign else ""
    return (
        f"proven: every byte of the store was read, {proof.bytes / 1e6:,.1f} MB in {proof.files:,} files{foreign}: no "
        f"id and no object of {_count(proof.people, 'participant')} who withdrew, and none of anybody whom the tables "
        "do not know."
        + (" That no older versions are kept elsewhere is your word (--versions-purged)." if vouched else "")
    )
