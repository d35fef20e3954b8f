"""The one error that a user is meant to read, and the kind of it that a person-day can raise."""

from __future__ import annotations


class UserError(Exception):
    """A mistake of the user's, or a fault of the input.

    The message says what was expected, what was found and what to do. The command line prints it
    alone, without a traceback, and exits with 1.
    """


class UnreadableDay(UserError):
    """A slot whose objects cannot be read, though its row is there."""

    def __init__(self, slot: int, message: str) -> None:
        super().__init__(message)
        self.slot = slot
