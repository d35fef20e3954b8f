"""Helpers for tests of pages: reading a page, and opening it in a browser."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Parses a page, checks that its tags match, and keeps its text by section and its links."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.section, self.text, self.sources = "top", dict[str, str](), list[str]()
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "section":
            self.section = values["id"] or ""
        self.sources += [value for name in ("src", "href") if (value := values.get(name))]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self.section] = " ".join([self.text.get(self.section, ""), *data.split()])


def browse(chromium: str, profile: Path, *arguments: str) -> str:
    """Return what a headless Chromium prints."""
    flags = ("--headless", "--no-sandbox", "--disable-background-networking", "--hide-scrollbars")
    run = subprocess.run(
        [chromium, *flags, f"--user-data-dir={profile}", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    return run.stdout


def width_needed(chromium: str, profile: Path, page: Path, width: int) -> int:
    """Return the width of a page on a screen; it is larger than the screen if the page scrolls sideways."""
    frame = page.with_name("frame.html")
    frame.write_text(
        f'<iframe id="page" src="{page.name}" style="width:{width}px; height:900px; border:0"></iframe>'
        "<script>onload = () => { const page = document.getElementById('page').contentDocument;"
        " document.title = page.documentElement.scrollWidth; }</script>"
    )
    allowed = "--allow-file-access-from-files"
    dom = browse(chromium, profile, "--window-size=1400,1000", allowed, "--dump-dom", frame.as_uri())
    found = re.search("<title>([0-9]+)</title>", dom)
    assert found, "the page did not load"
    return int(found[1])
