"""The skeleton of a page: title, introduction, tiles, links to the sections, the sections, and a footer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from pipeline.pages import html

Data = TypeVar("Data")
Sections = Mapping[str, tuple[str, Callable[[Data], list[str]]]]
"""By anchor: the title of a section, and the function that returns its pieces of HTML."""


def render_page(
    title: str,
    introduction: Iterable[str],
    tiles: Iterable[tuple[str, str]],
    sections: Sections[Data],
    data: Data,
    footer: Iterable[str] = (),
) -> str:
    """Return a page with one section after the other, each made from the same data."""
    links = "".join(f'<li><a href="#{anchor}">{heading}</a></li>' for anchor, (heading, _) in sections.items())
    return html.document(
        title,
        [
            f"<header><h1>{title}</h1>",
            *introduction,
            html.tiles(tiles),
            f'</header>\n<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>',
            *(html.section(anchor, heading, pieces(data)) for anchor, (heading, pieces) in sections.items()),
            "</main>",
            *footer,
        ],
    )
