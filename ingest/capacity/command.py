"""`persondays plan`."""

from __future__ import annotations

from pathlib import Path

import typer

from ingest.capacity import figures
from pipeline.command_output import JSON_FLAG, output_json


def plan(
    recordings: int = typer.Option(100_000, min=1, help="Number of recordings."),
    days: float = typer.Option(7.0, min=0.01, max=60, help="Length of each recording, in days of 24 hours."),
    recording_mb: float = typer.Option(260.0, min=0.001, help="Size of each recording in MB."),
    compressed: bool = typer.Option(False, "--compressed", help="They are .gz files: tasks need more memory."),
    machines: list[int] = typer.Option([1, 8, 64], min=1, help="Numbers of machines to compare."),
    cpus: int = typer.Option(int(figures.CPUS.value), min=1, help=figures.CPUS.unit + "."),
    memory_gb: float = typer.Option(figures.MEMORY_GB.value, min=0.1, help=figures.MEMORY_GB.unit + "."),
    network_mb_s: float = typer.Option(figures.NETWORK_MB_S.value, min=0.1, help=figures.NETWORK_MB_S.unit + "."),
    request_ms: float = typer.Option(figures.REQUEST_MS.value, min=0, help=figures.REQUEST_MS.unit + "."),
    cpu_s_per_day: float | None = typer.Option(None, min=1e-6, help=figures.CPU_S_PER_DAY.unit + "."),
    stored_mb_per_day: float | None = typer.Option(None, min=0, help=figures.STORED_MB_PER_DAY.unit + "."),
    driver_recordings_s: float | None = typer.Option(
        None, min=1e-6, help=f"{figures.DRIVER_RECORDINGS_S.unit} (make bench-scale).".capitalize()
    ),
    measure: str | None = typer.Option(
        None, help="Ingest this recording (a path or URL) into a temporary store, and use its cost on this machine."
    ),
    join_folders: bool = typer.Option(
        False, "--join-folders", help="With --measure: the files of this folder are parts of one recording."
    ),
    json_: Path | None = JSON_FLAG,
) -> None:
    """Estimate what ingesting a cohort takes: hours, node hours, bytes and requests, on several numbers of machines."""
    from rich.console import Console

    from ingest.capacity.estimate import Machines, Rates, Workload, estimate
    from ingest.capacity.show import plain, table
    from ingest.run.ingest_task import Assignment
    from ingest.run.sources import Source

    if measure is not None:
        per_day, stored = _measured(measure, join_folders)
        cpu_s_per_day, stored_mb_per_day = cpu_s_per_day or per_day, stored_mb_per_day or stored
    task = Assignment(Source(".cwa.gz" if compressed else ".cwa", "", int(recording_mb * 1e6), ""), 0, 0)
    work = Workload.alike(recordings, days, recording_mb * 1e6, task.memory)
    rates = Rates(
        cpu_s_per_day=cpu_s_per_day or figures.CPU_S_PER_DAY.value,
        stored_bytes_per_day=(stored_mb_per_day or figures.STORED_MB_PER_DAY.value) * 1e6,
        request_s=request_ms / 1e3,
        start_s=figures.START_S.value,
        driver_recordings_s=driver_recordings_s or figures.DRIVER_RECORDINGS_S.value,
    )
    takes = [estimate(work, Machines(n, cpus, memory_gb * 1e9, network_mb_s * 1e6), rates) for n in machines]
    if output_json(plain(work, rates, takes), json_):
        return
    Console().print(table(work, takes))
    typer.echo(
        f"assumed: {rates.cpu_s_per_day:.2f} CPU s and {rates.stored_bytes_per_day / 1e6:.1f} MB per day of signal, "
        f"{task.memory / 1e9:.2f} GB per task, {request_ms:g} ms per request, machines of {cpus} CPUs, {memory_gb:g} "
        "GB "
        f"and {network_mb_s:g} MB/s, a driver of {rates.driver_recordings_s:g} recordings/s. "
        "ingest/capacity/figures.py has the source of each default."
    )


def _measured(url: str, join_folders: bool) -> tuple[float, float]:
    """CPU seconds and MB stored per day of signal, from the trial of one recording, which is printed."""
    from ingest.capacity.trial import try_recording

    size, trial = try_recording(url, join_folders)
    typer.echo(
        f"measured: {size / 1e6:,.1f} MB, {trial.signal_days:.2f} days of signal in {trial.person_days} calendar days: "
        f"{trial.cpu_s:.2f} CPU s, {trial.seconds:.2f} s (the first time {trial.cold_s:.2f} s), "
        f"{trial.stored_bytes / 1e6:,.1f} MB stored, at most {trial.peak_bytes / 1e9:.2f} GB of memory.",
        err=True,
    )
    return trial.cpu_s / trial.signal_days, trial.stored_bytes / trial.signal_days / 1e6
