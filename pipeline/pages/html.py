"""Pieces of a page that is one HTML file: no script, no network, embedded pictures, a light and a dark theme.

Every function returns a piece of HTML. Functions escape the texts they take, but not the pieces. Text in `backticks`
is shown as code, and no line breaks inside its words.
"""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Literal

READABLE = 0.5
"""Pictures shrink to this share of their own width; narrower screens scroll them sideways."""

CSS = """
:root { color-scheme: light dark; --ink: #1d2529; --soft: #55626a; --line: #d5dbde; --back: #ffffff; --card: #f3f6f7;
        --strong: #16586f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9eb; --soft: #a3b0b7; --line: #3a464c; --back: #14191c; --card: #1e262a; --strong: #7cc4dc; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--back); color: var(--ink);
       font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0.5rem 0; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 3rem 0 0.5rem; padding-top: 1rem;
     border-top: 1px solid var(--line); }
p { max-width: 46rem; }
a { color: var(--strong); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 0.3rem 1.2rem; margin: 0.6rem 0; padding: 0; }
dl.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem 2rem; }
dt { font-weight: 600; }
dd { margin: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0.6rem; margin: 1.2rem 0; }
.tile { background: var(--card); border-radius: 8px; padding: 0.7rem 0.9rem; }
.tile b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; line-height: 1.25; }
.tile span { color: var(--soft); font-size: 0.88rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
.picture { background: #ffffff; border: 1px solid var(--line); border-radius: 8px; padding: 0.5rem; }
.picture img { display: block; width: 100%; height: auto; margin: 0 auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.95rem; }
th, td { text-align: left; padding: 0.35rem 1.1rem 0.35rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top; }
tbody th { min-width: min(8rem, 40vw); }
thead th { color: var(--soft); font-weight: 600; font-size: 0.88rem; }
td small, th small { display: block; color: var(--soft); font-weight: normal; }
td small { white-space: nowrap; }
.verdict p, .missing p { margin: 0.3rem 0; }
.verdict { border-left: 4px solid var(--strong); background: var(--card); padding: 0.7rem 1rem;
           border-radius: 0 8px 8px 0; margin: 1rem 0; }
.missing { border: 1px dashed var(--soft); border-radius: 8px; padding: 0.7rem 1rem; margin: 1rem 0;
           color: var(--soft); }
code { font: 0.88rem/1.5 ui-monospace, monospace; }
code span { white-space: nowrap; }
.commands { background: var(--card); border-radius: 8px; padding: 0.7rem 1rem; margin: 0.6rem 0; }
.commands code { display: block; padding-left: 2ch; text-indent: -2ch; }
.commands span { display: inline-block; text-indent: 0; max-width: 100%; white-space: normal; overflow-wrap: anywhere; }
.made { color: var(--soft); margin-bottom: 0; }
@media (max-width: 30rem) { table { font-size: 0.85rem; } th, td { padding-right: 0.6rem; } }
"""


def document(title: str, body: Iterable[str]) -> str:
    """Return a complete page."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{CSS}</style>\n</head>\n<body>\n{chr(10).join(body)}\n</body>\n</html>\n"
    )


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{_text(text)}</p>"


def _text(text: str) -> str:
    """Escape a text and show its `backticks` as code."""
    return re.sub("`([^`]+)`", lambda code: f"<code>{_unbroken(code[1])}</code>", escape(text))


def _unbroken(escaped: str) -> str:
    """Keep each word on one line."""
    return " ".join(f"<span>{word}</span>" for word in escaped.split())


def box(kind: Literal["verdict", "missing"], paragraphs: Iterable[str]) -> str:
    """Return a highlighted box of paragraphs."""
    return f'<div class="{kind}">{"".join(map(paragraph, paragraphs))}</div>'


def tiles(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a row of large figures; the pairs are (figure, label)."""
    cells = (f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for value, label in pairs)
    return f'<div class="tiles">{"".join(cells)}</div>'


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Return a table. The first cell of a row is its heading; a cell "text [note]" shows the note in small print."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{_cell(name)}</th>{"".join(f"<td>{_cell(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in rows
    )
    head_row = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<div class="scroll"><table>{head_row}<tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    main, bracket, small = text.partition(" [")
    return f"{escape(main)} <small>{escape(small.removesuffix(']'))}</small>" if bracket else escape(text)


def picture(png: bytes, description: str) -> str:
    """Return an embedded PNG; screen readers read the description."""
    width, height = struct.unpack(">II", png[16:24])
    return (
        f'<div class="scroll picture" tabindex="0"><img alt="{escape(description)}" width="{width}" height="{height}" '
        f'style="min-width: {READABLE * width:.0f}px; max-width: {width}px" '
        f'src="data:image/png;base64,{b64encode(png).decode()}"></div>'
    )


def shows(text: str) -> str:
    """Return the first paragraph of a section: what its pictures and tables show."""
    return f"<p><strong>What it shows.</strong> {_text(text)}</p>"


def explained(meaning: str, limitations: str) -> str:
    """Return the end of a section: what its pictures and tables mean, and what they cannot say."""
    parts = (("What it means", meaning), ("Limitations", limitations))
    pairs = (f"<div><dt>{name}</dt><dd>{_text(text)}</dd></div>" for name, text in parts)
    return f'<dl class="pair">{"".join(pairs)}</dl>'


def commands(lines: Iterable[str], lead: str = "Made by") -> str:
    """Return commands as the reader would type them, under a lead."""
    typed = "".join(f"<code>{_unbroken(escape(line))}</code>" for line in lines)
    return f'<p class="made">{escape(lead)}</p><div class="commands">{typed}</div>'


def section(anchor: str, title: str, pieces: Iterable[str]) -> str:
    """Return a section that links can point to."""
    return f'<section id="{escape(anchor)}">\n<h2>{escape(title)}</h2>\n{chr(10).join(pieces)}\n</section>'
