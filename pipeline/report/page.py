"""The page of the report: its introduction, its sections in order, and where it may be written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.pages import html
from pipeline.pages.page import Sections, render_page
from pipeline.report.analysis.cohort import CohortColumns
from pipeline.report.sections.calibration import calibration_section
from pipeline.report.sections.clocks import clocks_section
from pipeline.report.sections.damage import damage_section
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.devices import devices_section
from pipeline.report.sections.disclosure import MIN_GROUP, Disclosure
from pipeline.report.sections.hours import hours_section
from pipeline.report.sections.intake import intake_section
from pipeline.report.sections.movement import movement_section
from pipeline.report.sections.outliers import outliers_section
from pipeline.report.sections.published import published_section
from pipeline.report.sections.wear import wear_section

TITLE = "Cohort report"
INTAKE: Sections[ReportData] = {"intake": ("Accepted and rejected recordings", intake_section)}
OF_ACCEPTED: Sections[ReportData] = {
    "outliers": ("Recordings to check first", outliers_section),
    "wear": ("Wear time", wear_section),
    "hours": ("Hours of the day", hours_section),
    "movement": ("ENMO and motion", movement_section),
    "calibration": ("Calibration", calibration_section),
    "clocks": ("Sample rates and clocks", clocks_section),
    "devices": ("Devices and where they were worn", devices_section),
    "damage": ("Gaps, clipping and damage", damage_section),
}
PUBLISHED: Sections[ReportData] = {"published": ("Comparison with published values", published_section)}


def report_page(data: ReportData) -> str:
    """Return the page, with the sections that there are data for."""
    sections = {
        **INTAKE,
        **(OF_ACCEPTED if len(data.cohort.ids) else {}),
        **(PUBLISHED if data.comparison else {}),
    }
    return render_page(TITLE, _introduction(data), _tiles(data), sections, data, [html.paragraph(_made_from(data))])


def require_page(out: Path) -> None:
    """Raise UserError unless a page can be written to `out`; checked before any work."""
    if out.suffix.lower() != ".html":
        raise UserError(f"--out {out}: expected a name that ends in .html, because the report is an HTML page.")
    if out.is_dir():
        raise UserError(f"--out {out}: expected the name of a file, found a folder.")
    nearest = next(folder for folder in out.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"--out {out}: {nearest} is not a folder that you can write to. Choose another folder.")


def require_participants(cohort: CohortColumns, disclosure: Disclosure) -> None:
    """Raise UserError for a page for release about fewer participants than the smallest group it may describe."""
    if disclosure.for_release and cohort.participants < MIN_GROUP:
        raise UserError(
            f"--for-release: the store holds under {MIN_GROUP} participants, so every figure would describe a few "
            "people. Make the page without --for-release, for readers who have access to the store."
        )


def _introduction(data: ReportData) -> list[str]:
    if data.disclosure.for_release:
        audience = (
            f"This page is made for release: it shows no ids of recordings, hides counts under {MIN_GROUP}, rounds the "
            f"others to {MIN_GROUP}, and leaves out bars of under {MIN_GROUP}. Whether it may be published is for the "
            "people responsible for the data to decide."
        )
    else:
        audience = (
            "This page is for readers who have access to the store: it shows exact counts and the short ids of single "
            "recordings. For a page that can be given to others, add `--for-release`."
        )
    return [
        html.paragraph(
            "An overview of the recordings in a window store: how many were accepted, how long the devices were worn, "
            "how good the signals are, and which recordings to check before you train on them or publish about them."
        ),
        html.box("verdict", [*_nothing_accepted(data.cohort), audience]),
    ]


def _nothing_accepted(cohort: CohortColumns) -> list[str]:
    """Why the page has no sections about accepted recordings, if it has none."""
    if len(cohort.ids):
        return []
    if cohort.rejected.num_rows:
        return ["No recording was accepted, so this page only shows the reasons for rejection."]
    return [
        "No recording is finished yet. The person-days written so far are counted below. Make the report again when "
        "ingest has finished."
    ]


def _tiles(data: ReportData) -> list[tuple[str, str]]:
    cohort, disclosure = data.cohort, data.disclosure
    worn, eligible = (float(np.nansum(cohort.day[f"{name}_seconds"])) / 3600 for name in ("wear", "eligible"))
    return [
        (disclosure.count(len(cohort.ids)), "recordings accepted"),
        (disclosure.count(cohort.rejected.num_rows), "recordings rejected"),
        (disclosure.count(cohort.participants), "participants"),
        (disclosure.count(cohort.person_days), "person-days"),
        (_short(worn), "hours worn"),
        (_short(eligible), "hours eligible for training"),
    ]


def _short(hours: float) -> str:
    return f"{hours:,.0f}" if hours < 1e6 else f"{hours / 1e6:,.1f} M"


def _made_from(data: ReportData) -> str:
    versions = ", ".join(f"{name} version {version:,}" for name, version in data.cohort.versions.items())
    settings = ", ".join(f"{name} {value}" for name, value in data.processing.items())
    return (
        f"Made by `persondays report` from the store's tables ({versions}). Settings of ingest: {settings}. The same "
        "store gives the same page."
    )
