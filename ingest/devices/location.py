"""Where a device was worn, in a few fixed words. Free text is never passed on: it may name the person."""

from __future__ import annotations

import re

from pipeline.errors import UserError

_WORD = re.compile(
    r"(?:(?P<dominance>non ?dominant|dominant)|(?P<side>left|right)|(?P<limb>wrist|waist|hip|ankle|thigh|calf|foot|"
    r"upper arm|arm|chest|sacrum|lower back|back|neck|head))(?: |$)"
)

WRIST = "wrist"
"""The last word of every location that is accepted by default, as in "non-dominant left wrist"."""


def require_wrist(where: str | None) -> None:
    """Raise UserError for a recording that states another location than a wrist."""
    if where is not None and not where.endswith(WRIST):
        raise UserError(
            f"expected a recording from a wrist, or one that does not state its location; this one was worn on the "
            f"{where}. A store made with --any-location accepts all."
        )


def place(*texts: str) -> str | None:
    """Return the location in some texts of a file's header, such as "non-dominant left wrist", or None.

    A text with any word that is not part of a location is ignored.
    """
    words: dict[str | None, str] = {}
    for text in texts:
        words |= _words(re.sub(r"[\s_-]+", " ", text.strip().lower()))
    if "dominance" in words:
        words["dominance"] = "non-dominant" if words["dominance"].startswith("non") else "dominant"
    return " ".join(words[kind] for kind in ("dominance", "side", "limb") if kind in words) if "limb" in words else None


def _words(text: str) -> dict[str | None, str]:
    """The words of a text by kind; empty where any other word occurs."""
    found: dict[str | None, str] = {}
    while text:
        match = _WORD.match(text)
        if match is None:
            return {}
        found[match.lastgroup] = match.group(match.lastgroup or 0)
        text = text[match.end() :]
    return found
