"""`persondays embed`, and `python -m train.embed` for torchrun."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer


class PoolName(StrEnum):
    """What a row is the mean of."""

    none = "none"
    minute = "minute"
    hour = "hour"
    day = "day"


def embed(
    model: str = typer.Option(
        ...,
        help="The folder of `persondays export`, a file of harnet weights (.pt), or the name of a backbone in the box.",
    ),
    out: str = typer.Option(
        ..., help="Folder for the table of features: a path or an s3:// URL. An interrupted run resumes."
    ),
    store: str | None = typer.Option(
        None,
        help="The window store: a path or an s3:// URL. With --recordings, where to make it: by default OUT-store.",
    ),
    recordings: str | None = typer.Option(
        None, help="Recordings to ingest first, as `persondays ingest` does: a folder or an s3:// URL."
    ),
    key_file: Path | None = typer.Option(None, help="With --recordings: the file with the key of the store's ids."),
    pool: PoolName = typer.Option(PoolName.none, help="Instead of windows, their means by minute, hour or day."),
    stride: int | None = typer.Option(None, min=1, help="Seconds from one window to the next. Default: their length."),
    min_eligible: float = typer.Option(
        1.0, min=0.0, max=1.0, help="Least share of a window's seconds that are eligible; all have to be measured."
    ),
    days_per_file: int | None = typer.Option(
        None,
        min=1,
        help="Person-days in a file, by slot: what an interrupted run may lose. Default: 8; with --pool 64.",
    ),
    threads: int | None = typer.Option(None, min=1, help="Threads of a process. Default: an equal share of the cores."),
    ingest_flags: list[str] | None = typer.Argument(None, help="After --: further flags for `persondays ingest`."),
) -> None:
    """Compute the features of a store's windows, in one process or in those that torchrun starts.

    Writes a folder of Parquet files. The same command resumes, adds days ingested since, and drops those of people who
    have withdrawn.
    """
    from pipeline.storage.folder import Folder
    from train.distributed.processes import Processes
    from train.embed.inference import require_table
    from train.embed.run import EmbedSettings
    from train.embed.run import embed as run
    from train.embed.store_input import StoreInput
    from train.embed.table import FORMAT
    from train.networks.weights import load_model

    source = StoreInput.of(store, recordings, key_file, ingest_flags, out)
    settings = EmbedSettings(stride, pool.value, min_eligible, days_per_file)
    processes = Processes(threads)
    try:
        with processes.all_or_none():
            network = load_model(model)
            source.require_one_process(processes.world_size)
            require_table(Folder(out), "features", FORMAT)
        source.ingest()
        done = run(network, source.store, out, settings, processes)
        if processes.first:
            typer.echo(done)
    finally:
        processes.close()
