"""`persondays whois`."""

from __future__ import annotations

from pathlib import Path

import typer


def whois(
    hashes: list[str] = typer.Argument(..., metavar="HASH...", help="Ids, or their first digits: at least 6."),
    name_map: Path | None = typer.Option(None, help="The map that `persondays ingest --name-map` wrote."),
    key_file: Path | None = typer.Option(None, help="The store's key (else PERSONDAYS_KEY)."),
    participants: Path | None = typer.Option(None, help="Who wore what, as ingest was given it: a CSV file."),
    id_regex: str | None = typer.Option(None, help="Who wore what, as ingest was given it: an expression, or `ukb`."),
    store: str | None = typer.Option(
        None, help="The window store, to tell whose a recording is and what a person has."
    ),
) -> None:
    """Tell which recording, person or device an id stands for. Prints names: keep what it prints to yourself."""
    from ingest.whois.names import know, text
    from ingest.whois.names import whois as find
    from pipeline.errors import UserError
    from pipeline.identity import load_key
    from pipeline.store.store import Store

    if name_map is None and participants is None:
        raise UserError(
            "an id cannot be turned round, only compared with names: give --name-map (as `persondays ingest "
            "--name-map FILE` writes it), or --participants for people."
        )
    if participants is not None and id_regex is not None:
        raise UserError("--participants and --id-regex both name the participants: give one.")
    key = load_key(key_file)
    names = know(key, name_map, participants, id_regex, Store.open(store) if store else None)
    found, untold = find(hashes, names)
    for someone in found:
        typer.echo(text(someone).encode(errors="surrogateescape"))
    if untold:
        hints = [flag for flag, given in (("--name-map", name_map), ("--store", store),
                 ("--participants or --id-regex", participants or id_regex)) if not given]  # fmt: skip
        more = f" Not given were {', '.join(hints)}." if hints else ""
        raise UserError("; ".join(untold) + f".{more}")
