"""Commands of the pipeline itself."""

from __future__ import annotations

from pathlib import Path

import typer


def new_key(file: Path = typer.Argument(..., help="Where to write it; an existing file is never overwritten.")) -> None:
    """Write a new secret key for a store's ids, readable by you alone. Keep it outside the store, and keep it."""
    from pipeline.identity import write_new_key

    write_new_key(file)
    typer.echo(f"A new key is in {file}. Keep it: without it the store cannot grow, and nobody can be found in it.")
