"""`persondays align`."""

from __future__ import annotations

import typer


def align(
    store: str = typer.Argument(..., help="The window store: a path or an s3:// URL."),
    workers: int | None = typer.Option(None, min=1, help="Pairs to align at a time. Default: one per CPU of Ray."),
    ray_address: str | None = typer.Option(
        None, help="A running Ray cluster. Default: RAY_ADDRESS, else this machine."
    ),
) -> None:
    """Find which person-days of a participant were recorded by several devices at the same time, on Ray.

    Writes the table of alignments, which training with companions of the same time needs. A run that was stopped
    resumes, and a run on a store with new recordings compares only these.
    """
    from ingest.align.run import require_alignments, run_align, summary

    result = run_align(store, workers, ray_address)
    typer.echo(summary(result))
    require_alignments(result)
