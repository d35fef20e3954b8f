"""`persondays inspect`: a window store, or one recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer


def inspect(
    what: str = typer.Argument(..., help="A window store, or a recording: a path or any fsspec URL."),
    picture: Path | None = typer.Option(
        None, "--plot", "--picture", help="Draw a recording's days, or one person-day of a store, into this PNG file."
    ),
    json_: Path | None = typer.Option(None, "--json", help="Write the figures to this file as JSON; - prints them."),
    slot: int | None = typer.Option(None, min=0, help="The person-day of a store. Default: one with much to see."),
    calibration: Path | None = typer.Option(
        None,
        help="Write the coefficients that a store's devices have found here, for `persondays ingest --calibration`.",
    ),
    local_timezone: str | None = typer.Option(None, help="Of a recording: where it was worn, as ingest has it."),
    device_timezone: str | None = typer.Option(None, help="Of a recording: what its clock was set to."),
    columns: str | None = typer.Option(None, help="Of a table: time=NAME,x=NAME,y=NAME,z=NAME, as ingest has it."),
    unit: str | None = typer.Option(None, help="Of a table: g or m/s2."),
    rate: float | None = typer.Option(None, help="Of a table: rows a second."),
) -> None:
    """Say what is in a window store or in one recording, and draw it.

    Of a store nobody is named in full; of a recording, which is the user's own file, the serial number is told.
    """
    from ingest.inspect.recording import is_file
    from pipeline.errors import UserError

    of_table: dict[str, Any] = {"columns": columns, "unit": unit, "rate_hz": rate}
    of_clock: dict[str, Any] = {"local_timezone": local_timezone, "device_timezone": device_timezone}
    if is_file(what):
        if slot is not None or calibration is not None:
            raise UserError(f"{what} is a file: --slot and --calibration are asked of a window store.")
        _recording(what, of_table, of_clock, picture, json_)
        return
    if any(value is not None for value in (*of_table.values(), *of_clock.values())):
        raise UserError(f"{what} is no file: --columns, --unit and --rate, and time zones, are told of a recording.")
    from pipeline.inspect.command import inspect as inspect_store

    inspect_store(what, slot, picture, json_, calibration)


def _recording(
    url: str, of_table: dict[str, Any], of_clock: dict[str, Any], picture: Path | None, json_: Path | None
) -> None:
    import json

    from rich.console import Console

    from ingest.inspect.recording import inspect_recording
    from ingest.inspect.show import shown
    from ingest.settings import SignalSettings, TableSettings
    from pipeline.settings import build, merge
    from pipeline.storage.folder import Folder

    settings = build(SignalSettings, merge({"any_location": True}, of_clock), "inspect")
    found = inspect_recording(url, build(TableSettings, merge({}, of_table), "inspect"), settings)
    name = url.rstrip("/").rsplit("/", 1)[-1]
    if picture is not None:
        from ingest.inspect.picture import draw_recording
        from pipeline.pages.figures import save

        save(draw_recording(found, f"{name}: {found.figures.device}, {found.figures.verdict}"), picture)
    text = json.dumps(found.plain(), indent=2, allow_nan=False)
    if json_ == Path("-"):
        typer.echo(text)
        return
    if json_ is not None:
        Folder(str(json_.absolute().parent)).write(json_.name, (text + "\n").encode())
    Console().print(shown(found, name))
    if picture is not None:
        typer.echo(f"picture: {picture}")
