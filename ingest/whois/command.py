"""`persondays whois`."""

from __future__ import annotations

from pathlib import Path

import typer


def whois(
    hashes: list[str] = typer.Argument(..., metavar="HASH...", help="Ids, or at least their first 6 digits."),
    name_map: Path | None = typer.Option(None, help="The map that `persondays ingest --name-map` wrote."),
    key_file: Path | None = typer.Option(None, help="The store's key. Default: PERSONDAYS_KEY."),
    participants: Path | None = typer.Option(None, help="The CSV file of participants that ingest was given."),
    id_regex: str | None = typer.Option(None, help="The regular expression that ingest was given, or `ukb`."),
    store: str | None = typer.Option(
        None, help="The window store, to show the participant of a recording and the recordings of a participant."
    ),
) -> None:
    """Show which recording, participant or device an id stands for. Prints names: keep the output private."""
    from ingest.whois.names import know, text
    from ingest.whois.names import whois as find
    from pipeline.errors import UserError
    from pipeline.identity import load_key
    from pipeline.store.store import Store

    if name_map is None and participants is None:
        raise UserError(
            "an id cannot be reversed, only compared with names: give --name-map (as `persondays ingest --name-map "
            "FILE` writes it), or --participants for participants."
        )
    if participants is not None and id_regex is not None:
        raise UserError("--participants and --id-regex both name the participants: give one.")
    key = load_key(key_file)
    names = know(key, name_map, participants, id_regex, Store.open(store) if store else None)
    found, problems = find(hashes, names)
    for someone in found:
        typer.echo(text(someone).encode(errors="surrogateescape"))
    if problems:
        rules = participants or id_regex
        sources = {"--name-map": name_map, "--store": store, "--participants or --id-regex": rules}
        missing = [flag for flag, given in sources.items() if not given]
        more = f" Not given were {', '.join(missing)}." if missing else ""
        raise UserError("; ".join(problems) + f".{more}")
