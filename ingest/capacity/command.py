"""`persondays plan`."""

from __future__ import annotations

from pathlib import Path

import typer

from ingest.capacity import figures


def plan(
    recordings: int = typer.Option(100_000, min=1, help="How many recordings."),
    days: float = typer.Option(7.0, min=0.01, max=60, help="Days of 24 hours of each."),
    recording_mb: float = typer.Option(260.0, min=0.001, help="MB of each."),
    compressed: bool = typer.Option(False, "--compressed", help="They are .gz files: tasks need more memory."),
    machines: list[int] = typer.Option([1, 8, 64], min=1, help="Numbers of machines to compare."),
    cpus: int = typer.Option(int(figures.CPUS.value), min=1, help=figures.CPUS.unit + "."),
    memory_gb: float = typer.Option(figures.MEMORY_GB.value, min=0.1, help=figures.MEMORY_GB.unit + "."),
    network_mb_s: float = typer.Option(figures.NETWORK_MB_S.value, min=0.1, help=figures.NETWORK_MB_S.unit + "."),
    request_ms: float = typer.Option(figures.REQUEST_MS.value, min=0, help=figures.REQUEST_MS.unit + "."),
    cpu_s_per_day: float | None = typer.Option(None, min=1e-6, help=figures.CPU_S_PER_DAY.unit + "."),
    stored_mb_per_day: float | None = typer.Option(None, min=0, help=figures.STORED_MB_PER_DAY.unit + "."),
    driver_recordings_s: float | None = typer.Option(
        None, min=1e-6, help="Recordings a second that one driver can hand out and commit (make bench-scale)."
    ),
    measure: str | None = typer.Option(
        None, help="Bring this recording (a path or URL) into a throw-away store, and reckon with what it takes here."
    ),
    json_: Path | None = typer.Option(None, "--json", help="Write the figures to this file as JSON; - prints them."),
) -> None:
    """Reckon what ingesting a cohort takes: hours, node hours, bytes and requests, at several numbers of machines."""
    import json

    from rich.console import Console

    from ingest.capacity.estimate import Machines, Rates, Workload, estimate
    from ingest.capacity.show import table, values
    from ingest.run.ingest_task import Part
    from ingest.run.sources import Source
    from pipeline.storage.folder import Folder

    if measure is not None:
        per_day, stored = _measured(measure)
        cpu_s_per_day, stored_mb_per_day = cpu_s_per_day or per_day, stored_mb_per_day or stored
    task = Part(Source(".cwa.gz" if compressed else ".cwa", "", int(recording_mb * 1e6), ""), 0, 0)
    work = Workload.alike(recordings, days, recording_mb * 1e6, task.memory)
    rates = Rates(
        cpu_s_per_day=cpu_s_per_day or figures.CPU_S_PER_DAY.value,
        stored_bytes_per_day=(stored_mb_per_day or figures.STORED_MB_PER_DAY.value) * 1e6,
        request_s=request_ms / 1e3,
        start_s=figures.START_S.value,
        driver_recordings_s=driver_recordings_s or figures.DRIVER_RECORDINGS_S.value,
    )
    takes = [estimate(work, Machines(n, cpus, memory_gb * 1e9, network_mb_s * 1e6), rates) for n in machines]
    text = json.dumps(values(work, rates, takes), indent=2, allow_nan=False)
    if json_ == Path("-"):
        typer.echo(text)
        return
    if json_ is not None:
        Folder(str(json_.absolute().parent)).write(json_.name, (text + "\n").encode())
    Console().print(table(work, takes))
    typer.echo(
        f"reckoned with {rates.cpu_s_per_day:.2f} CPU s and {rates.stored_bytes_per_day / 1e6:.1f} MB a day of signal, "
        f"{task.memory / 1e9:.2f} GB a task, {request_ms:g} ms a request, machines of {cpus} CPUs, {memory_gb:g} GB "
        f"and {network_mb_s:g} MB/s, a driver of {rates.driver_recordings_s:g} recordings/s. Where each default comes "
        "from: ingest/capacity/figures.py."
    )


def _measured(url: str) -> tuple[float, float]:
    """CPU seconds and MB stored for a day of signal of one recording; what else was seen is told."""
    from ingest.capacity.measure import measure

    found = measure(url)
    typer.echo(
        f"measured: {found.bytes_read / 1e6:,.1f} MB, {found.signal_days:.2f} days of signal in {found.person_days} "
        f"calendar days: {found.cpu_s:.2f} CPU s, {found.wall_s:.2f} s (the first time {found.cold_s:.2f} s), "
        f"{found.stored_bytes / 1e6:,.1f} MB stored, at most {found.peak_bytes / 1e9:.2f} GB of memory.",
        err=True,
    )
    return found.cpu_s / found.signal_days, found.stored_bytes / found.signal_days / 1e6
