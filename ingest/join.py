"""Which files are parts of one recording: those of a folder, or those that a map or an expression gives one name.

A file that a map or an expression does not cover is a recording of its own.
"""

from __future__ import annotations

from pathlib import Path

from ingest.participants import Rule, by_map, by_regex
from pipeline.errors import UserError

FLAGS = ("--join-folders", "--join-map", "--join-regex")
TOP = "."
"""The name of the recording whose parts are in the folder of recordings itself."""


def join_rule(folders: bool = False, map_: Path | None = None, regex: str | None = None) -> Rule | None:
    """The rule of --join-folders, --join-map or --join-regex, from a file's name to its recording's; None without.

    Raises UserError where the map or the expression cannot be used.
    """
    if folders:
        return by_folder
    if map_ is not None:
        return by_map(map_, "recording")
    return by_regex(regex, FLAGS[2], "recording", {}) if regex is not None else None


def by_folder(name: str) -> str:
    """All files of a folder, without those of folders below it."""
    return name.rpartition("/")[0] or TOP


def none_matches(files: int, map_: Path | None, regex: str | None) -> UserError:
    """The error where the map or the expression covers none of the files."""
    given = f"{FLAGS[1]} {map_}" if map_ is not None else f"{FLAGS[2]} {regex!r}"
    return UserError(f"{given} matches none of {files:,} files: the path below --recordings is what has to match.")
