"""Where a device was worn, in a few fixed words: free text is never passed on, it may name the person."""

from __future__ import annotations

import re

from pipeline.errors import UserError

_WORD = re.compile(
    r"(?:(?P<dominance>non ?dominant|dominant)|(?P<side>left|right)|(?P<limb>wrist|waist|hip|ankle|thigh|calf|foot|"
    r"upper arm|arm|chest|sacrum|lower back|back|neck|head))(?: |$)"
)

WRIST = "wrist"
"""The end of a place that is taken unless told otherwise: "non-dominant left wrist"."""


def require_wrist(where: str | None) -> None:
    """Raise UserError for a recording that says that it was worn elsewhere."""
    if where is not None and not where.endswith(WRIST):
        raise UserError(
            f"worn on the {where}: only wrists are taken, and recordings that do not tell. A store made with "
            "--any-location takes all."
        )


def place(*said: str) -> str | None:
    """The place that some texts of a file's header tell, such as "non-dominant left wrist"; None for none.

    A text that holds another word than those of places is left out.
    """
    words: dict[str | None, str] = {}
    for text in said:
        words |= _words(re.sub(r"[\s_-]+", " ", text.strip().lower()))
    if "dominance" in words:
        words["dominance"] = "non-dominant" if words["dominance"].startswith("non") else "dominant"
    return " ".join(words[kind] for kind in ("dominance", "side", "limb") if kind in words) if "limb" in words else None


def _words(text: str) -> dict[str | None, str]:
    """The words of a text by their kind; empty where it holds any other."""
    found: dict[str | None, str] = {}
    while text:
        match = _WORD.match(text)
        if match is None:
            return {}
        found[match.lastgroup] = match.group(match.lastgroup or 0)
        text = text[match.end() :]
    return found
