"""The `persondays` command. Its sub-commands are entry points, so that ingest and train need not know each other.

Each entry point of the group `persondays.commands` names a function with typer annotations, in a module that is cheap
to import: the function itself imports what is heavy.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any

import typer

from pipeline.environment import prepare
from pipeline.errors import UserError
from pipeline.extras import missing_extra

GROUP = "persondays.commands"
CLICK_EXCEPTION: Any = typer.BadParameter.__mro__[2]
"""ClickException of the click that typer uses: newer releases of typer contain a copy of click."""
INTERRUPTED = 130


def application() -> typer.Typer:
    """The command with all installed sub-commands."""
    app = typer.Typer(
        help="From raw wearable recordings of a population to a pretrained human-activity backbone.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback(invoke_without_command=True)
    def top(show_version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
        if show_version:
            typer.echo(package_version())
            raise typer.Exit

    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        command = point.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=point.name)
        else:
            app.command(point.name)(command)
    return app


def package_version() -> str:
    """The version of the installed package; "not installed" in a bare checkout, such as a Ray job's working folder."""
    try:
        return version("persondays")
    except PackageNotFoundError:
        return "not installed"


def run(app: typer.Typer, name: str | None = None) -> int:
    """Run a command line and return its exit status: 0, 1 (UserError), 2 (usage), 130 (Ctrl-C).

    An error that a user can fix is one message on standard error; only a bug shows a traceback.
    """
    try:
        result = typer.main.get_command(app).main(standalone_mode=False, prog_name=name)
        status = result if isinstance(result, int) else 0
        return _interrupted() if status == INTERRUPTED else status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        print(f"error: {missing}", file=sys.stderr)
    except CLICK_EXCEPTION as error:
        error.show()
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except OSError as error:
        if error.errno == errno.EROFS:
            print(
                f"error: {error.filename}: the file system is read-only. Choose another folder; for a temporary one, "
                "set TMPDIR.",
                file=sys.stderr,
            )
            return 1
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"error: the disk is full ({error.filename or 'no space left on device'}). Unfinished files do "
            "not count: free some space and run the same command again.",
            file=sys.stderr,
        )
    return 1


def _interrupted() -> int:
    print("stopped. Run the same command again to resume.", file=sys.stderr)
    return INTERRUPTED


def run_command(command: Callable[..., Any], name: str) -> int:
    """Run a single command, as `python -m ingest` and `python -m train` do."""
    prepare()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    return run(app, name)


def main() -> None:
    """The entry point of `persondays`."""
    prepare()
    sys.exit(run(application(), "persondays"))
