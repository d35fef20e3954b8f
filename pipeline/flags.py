"""Flags of a command from settings: a field `Annotated[int, Flag("help")]` of a settings dataclass is an option.

A flag that is not given is None, so that the settings file or the default of the field applies.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

import typer

Result = TypeVar("Result")


@dataclass(frozen=True)
class Flag:
    """Makes a field of a settings dataclass a flag: its help, and its name where that is not the field's."""

    help: str
    name: str = ""


@dataclass(frozen=True)
class _Option:
    path: tuple[str, ...]
    """Names of the sections and of the field that the flag sets."""
    parameter: inspect.Parameter


def takes_flags(*kinds: type, only: Collection[str] = ()) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Give a command the flags of settings dataclasses, or `only` those of some fields.

    They take the place of the command's parameter `flags`, which receives them as a table for `pipeline.settings.merge`
    (nested dataclasses are nested tables).
    """
    options = [option for kind in kinds for option in _options(kind) if not only or option.path[-1] in only]

    def decorate(command: Callable[..., Result]) -> Callable[..., Result]:
        @functools.wraps(command)
        def run(**values: Any) -> Result:
            table: dict[str, Any] = {}
            for option in options:
                section = table
                for name in option.path[:-1]:
                    section = section.setdefault(name, {})
                section[option.path[-1]] = values.pop(option.parameter.name, None)
            return command(flags=table, **values)

        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            own = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            parameters += [option.parameter for option in options] if parameter.name == "flags" else [own]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def flag_names(kind: type, only: Collection[str] = ()) -> list[str]:
    """Return the flags of a settings dataclass as a user writes them, or `only` those of some fields."""
    options = [option for option in _options(kind) if not only or option.path[-1] in only]
    return [option.parameter.default.param_decls[0].partition("/")[0] for option in options]


def _options(kind: type, sections: tuple[str, ...] = ()) -> Iterator[_Option]:
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint = hints[field.name]
        if is_dataclass(hint):
            yield from _options(typing.cast(type, hint), (*sections, field.name))
        for flag in getattr(hint, "__metadata__", ()):
            if isinstance(flag, Flag):
                yield _Option((*sections, field.name), _parameter(flag, field.name, hint.__origin__))


def _parameter(flag: Flag, field: str, hint: Any) -> inspect.Parameter:
    name = flag.name or field
    return inspect.Parameter(
        name.partition("/")[0],
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, f"--{name.replace('_', '-')}", help=flag.help),
        annotation=_plain_type(hint) | None,
    )


def _plain_type(hint: Any) -> Any:
    """The type that typer parses: a choice of texts is a text, which `pipeline.settings.build` checks."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return str if typing.get_origin(hint) is typing.Literal else hint
