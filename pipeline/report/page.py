"""The page: every section in its order, one HTML file, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.pages import html
from pipeline.report.analysis.cohort import Cohort
from pipeline.report.sections.calibration import calibration_section
from pipeline.report.sections.clocks import clocks_section
from pipeline.report.sections.comparison import comparison_section
from pipeline.report.sections.damage import damage_section
from pipeline.report.sections.data import Findings
from pipeline.report.sections.devices import devices_section
from pipeline.report.sections.disclosure import LEAST, Disclosure
from pipeline.report.sections.first import first_section
from pipeline.report.sections.hours import hours_section
from pipeline.report.sections.intake import intake_section
from pipeline.report.sections.movement import movement_section
from pipeline.report.sections.wear import wear_section
from pipeline.storage.folder import Folder

TITLE = "persondays: a cohort"
Section = Callable[[Findings], list[str]]
INTAKE: dict[str, tuple[str, Section]] = {"intake": ("Accepted and rejected", intake_section)}
OF_RECORDINGS: dict[str, tuple[str, Section]] = {
    "first": ("What to look at first", first_section),
    "wear": ("Wear", wear_section),
    "hours": ("The hours of the day", hours_section),
    "movement": ("Motion and ENMO", movement_section),
    "calibration": ("Calibration", calibration_section),
    "clocks": ("Sample rates and clocks", clocks_section),
    "devices": ("Devices and locations", devices_section),
    "damage": ("Gaps, clipping, damage", damage_section),
}
COMPARISON: dict[str, tuple[str, Section]] = {"published": ("Beside published values", comparison_section)}


def page(found: Findings) -> str:
    """The page as text."""
    sections = {
        **INTAKE,
        **(OF_RECORDINGS if len(found.cohort.ids) else {}),
        **(COMPARISON if found.comparison else {}),
    }
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in sections.items())
    body = [
        f"<header><h1>{TITLE}</h1>",
        *_introduction(found),
        html.tiles(_tiles(found)),
        f'</header>\n<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>',
        *(html.section(name, title, parts(found)) for name, (title, parts) in sections.items()),
        "</main>",
        html.paragraph(_made_from(found)),
    ]
    return html.document(TITLE, body)


def require_page(out: Path) -> None:
    """Raise UserError unless a page can be written there: said before any work is done."""
    if out.suffix.lower() != ".html":
        raise UserError(f"--out {out}: the report is one HTML page, expected a name that ends in .html.")
    if out.is_dir():
        raise UserError(f"--out {out}: expected the name of a file, found a folder.")
    nearest = next(folder for folder in out.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"--out {out}: nothing can be written into {nearest}. Name another folder.")


def require_people(cohort: Cohort, tell: Disclosure) -> None:
    """Raise UserError for a page for release about fewer people than the smallest group that is shown."""
    if tell.for_release and cohort.participants < LEAST:
        raise UserError(
            f"--for-release: the store holds under {LEAST} people, so every figure would be about one of a few. Make "
            "the page without it, for those who may see the store."
        )


def write_page(found: Findings, out: Path) -> None:
    """Write the page, whole or not at all."""
    Folder(str(out.absolute().parent)).write(out.name, page(found).encode())


def _introduction(found: Findings) -> list[str]:
    if found.tell.for_release:
        who = (
            f"This page is made for release: it names no recording, counts under {LEAST} are hidden and others "
            f"rounded to {LEAST}, and bars of under {LEAST} are left out. Whether it may leave is for those who look "
            "after the data."
        )
    else:
        who = (
            "This page is for those who may see the store: it names single recordings by the first 12 digits of their "
            "keyed ids, and counts single ones. To give a page away, make it with `--for-release`."
        )
    nobody = (
        []
        if len(found.cohort.ids)
        else [
            "No recording was accepted, so there is nothing to tell but why."
            if found.cohort.rejected.num_rows
            else "No recording is finished yet; days that stand already are counted. Let ingest end, and ask again."
        ]
    )
    return [
        html.paragraph(
            "What an ingest made of a cohort's recordings: who came in, how long they wore the device, how good the "
            "signal is, and what to look at before training or publishing on it."
        ),
        html.box("verdict", [*nobody, who]),
    ]


def _tiles(found: Findings) -> list[tuple[str, str]]:
    cohort, tell = found.cohort, found.tell
    hours = {name: float(np.nansum(cohort.day[f"{name}_seconds"])) / 3600 for name in ("wear", "eligible")}
    return [
        (tell.count(len(cohort.ids)), "recordings accepted"),
        (tell.count(cohort.rejected.num_rows), "rejected"),
        (tell.count(cohort.participants), "people"),
        (tell.count(cohort.person_days), "person-days"),
        (_shortly(hours["wear"]), "hours worn"),
        (_shortly(hours["eligible"]), "hours that may be drawn for training"),
    ]


def _shortly(hours: float) -> str:
    return f"{hours:,.0f}" if hours < 1e6 else f"{hours / 1e6:,.1f} M"


def _made_from(found: Findings) -> str:
    versions = ", ".join(f"{name} version {version:,}" for name, version in found.cohort.versions.items())
    settings = ", ".join(f"{name} {value}" for name, value in found.processing.items())
    return (
        f"Made by `persondays report` from the store's tables ({versions}). Settings of ingest: {settings}. The same "
        "store gives the same page."
    )
