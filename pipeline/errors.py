"""The one error that a user is meant to read."""

from __future__ import annotations


class UserError(Exception):
    """A mistake of the user's, or a fault of the input.

    The message says what was expected, what was found and what to do. The command line prints it
    alone, without a traceback, and exits with 1.
    """
