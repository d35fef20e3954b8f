"""`persondays new-key`."""

from __future__ import annotations

from pathlib import Path

import typer


def new_key(file: Path = typer.Argument(..., help="File to write; an existing file is never overwritten.")) -> None:
    """Write a new secret key for the ids of a store, readable only by you. Keep it safe, outside the store."""
    from pipeline.identity import write_new_key

    write_new_key(file)
    typer.echo(
        f"Wrote a new key to {file}. Keep it safe: without its key, you cannot add to a store or find a participant "
        "in it."
    )
