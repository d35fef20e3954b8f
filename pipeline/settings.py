"""Settings: typed dataclasses filled from TOML, and from flags, which override it. Unknown keys are errors."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import types
import typing
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import UserError

Settings = TypeVar("Settings")


def read_toml(path: Path) -> dict[str, Any]:
    """The contents of a TOML file; raises UserError when it cannot be read or parsed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the settings file {path}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from None


def build(kind: type[Settings], table: dict[str, Any], where: str) -> Settings:
    """Build a `kind` (a dataclass, possibly nested) from a table; `where` names the table in errors.

    Raises UserError for unknown and missing keys, for values of the wrong type, and for a ValueError of the
    dataclass's own checks.
    """
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    values = {}
    for name, value in table.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(fields))}."
            raise UserError(f"{where}: unknown setting {name!r}; {hint}")
        values[name] = _value(hints[name], value, f"{where}: {name}")
    for name, field in fields.items():
        missing = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if missing and name not in values:
            raise UserError(f"{where}: the setting {name!r} is missing.")
    try:
        return kind(**values)
    except ValueError as error:
        raise UserError(f"{where}: {str(error).rstrip('.')}.") from None


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UserError(f"{where}: expected a table, found {value!r}.")
        return build(typing.cast(type, hint), value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _value(next(kind for kind in arguments if kind is not type(None)), value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise UserError(f"{where}: expected one of {', '.join(map(str, arguments))}, found {value!r}.")
        return value
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: expected a list, found {value!r}.")
        return origin(_value(arguments[0], item, where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint in (int, float, str, bool, Path) and type(value) is not hint and not isinstance(value, Path):
        raise UserError(f"{where}: expected {hint.__name__}, found {value!r}.")
    return value


def merge(table: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """`table` with all overrides that are not None; nested tables are merged key by key.

    A value where `overrides` has a table stays, so that `build` rejects it.
    """
    merged = dict(table)
    for name, value in overrides.items():
        if isinstance(value, dict):
            below = merged.get(name, {})
            merged[name] = merge(below, value) if isinstance(below, dict) else below
        elif value is not None:
            merged[name] = value
    return merged


def plain(settings: Any) -> dict[str, Any]:
    """A dataclass as values for JSON."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(settings), default=str)))


def fingerprint(values: Any) -> str:
    """16 hex digits that change when any of the values changes."""
    return sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]
