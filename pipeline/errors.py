"""The errors that users read."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix: a wrong argument, or bad input.

    The message says what was expected, what was found and what to do. The command line prints it without a traceback
    and exits with status 1.
    """


class UnreadableDay(UserError):
    """A slot that a row names, but whose objects cannot be read."""

    def __init__(self, slot: int, message: str) -> None:
        super().__init__(message)
        self.slot = slot
