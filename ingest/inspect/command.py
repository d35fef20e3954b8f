"""`persondays inspect`: a window store, or one recording."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import typer

from ingest.run.settings import DEFAULT_MAX_DAYS, IngestSettings
from ingest.settings import TableSettings
from pipeline.command_output import JSON_FLAG, output_json
from pipeline.flags import flag_names, takes_flags

OF_A_RECORDING = (
    "local_timezone",
    "device_timezone",
    "clock",
    *(field.name for field in fields(TableSettings)),
    "max_days",
    "join_folders",
)


@takes_flags(IngestSettings, only=OF_A_RECORDING)
def inspect(
    what: str = typer.Argument(
        ..., help="A window store, or a recording (with --join-folders, the folder of its parts): a path or s3:// URL."
    ),
    picture: Path | None = typer.Option(
        None, "--plot", "--picture", help="Draw a recording's days, or one person-day of a store, into this PNG file."
    ),
    json_: Path | None = JSON_FLAG,
    slot: int | None = typer.Option(
        None, min=0, help="The person-day of a store to show. Default: a day with much movement."
    ),
    calibration: Path | None = typer.Option(
        None,
        help="Write the coefficients that a store's devices determined to this file, for `persondays ingest "
        "--calibration`.",
    ),
    *,
    flags: dict[str, Any],
) -> None:
    """Show what is in a window store or in one recording, and draw it.

    Ids in a store are shown by their first digits. For a recording, the device's serial number is printed.
    """
    from ingest.inspect.recording import exists, is_file
    from pipeline.errors import UserError

    if not exists(what):
        raise UserError(f"{what}: there is no such file or folder. Give a recording or a window store.")
    if is_file(what) or flags["join_folders"]:
        if slot is not None or calibration is not None:
            raise UserError(f"{what} is a recording: --slot and --calibration are for a window store.")
        _inspect_recording(what, flags, picture, json_)
        return
    given = [
        value for section in flags.values() for value in (section.values() if isinstance(section, dict) else [section])
    ]
    if any(value is not None for value in given):
        names = ", ".join(flag_names(IngestSettings, only=OF_A_RECORDING))
        raise UserError(f"{what} is not a file, and these flags are for a recording: {names}.")
    from pipeline.inspect.show import inspect_store

    inspect_store(what, slot, picture, json_, calibration)


def _inspect_recording(url: str, flags: dict[str, Any], picture: Path | None, json_: Path | None) -> None:
    from rich.console import Console

    from ingest.inspect.recording import inspect_processed, process_folder, process_recording
    from ingest.inspect.show import shown
    from ingest.settings import SignalSettings
    from pipeline.settings import build, merge

    signal = build(SignalSettings, merge({"any_location": True}, flags["signal"]), "inspect")
    max_days = DEFAULT_MAX_DAYS if flags["max_days"] is None else flags["max_days"]
    table = build(TableSettings, merge({}, flags["table"]), "inspect")
    read = process_folder if flags["join_folders"] else process_recording
    found = inspect_processed(url, read(url, table, signal, max_days))
    name = url.rstrip("/").rsplit("/", 1)[-1]
    if picture is not None:
        from ingest.inspect.picture import draw_recording
        from pipeline.pages.figures import save

        save(draw_recording(found, f"{name}: {found.figures.device}, {found.figures.verdict}"), picture)
    if output_json(found.plain(), json_):
        return
    Console().print(shown(found, name))
    if picture is not None:
        typer.echo(f"picture: {picture}")
