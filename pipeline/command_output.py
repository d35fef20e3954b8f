"""What commands write for programs: their results as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

JSON_FLAG = typer.Option(None, "--json", help="Write the result as JSON to this file; - prints it instead of text.")


def output_json(value: Any, file: Path | None) -> bool:
    """Print a value as JSON where `file` is `-`, or write it to a file; None does neither.

    Returns whether it was printed: a command then prints nothing else to standard output.
    """
    if file is None:
        return False
    text = json.dumps(value, indent=2, allow_nan=False)
    if file == Path("-"):
        typer.echo(text)
        return True
    from pipeline.storage.folder import write_file

    write_file(file, (text + "\n").encode())
    return False
