"""Accepted and rejected, and why."""

from __future__ import annotations

import numpy as np

from pipeline.pages import html
from pipeline.report.analysis import reasons
from pipeline.report.sections.data import Findings
from pipeline.report.sections.disclosure import LEAST

REASONS_SHOWN = 30


def intake_section(found: Findings) -> list[str]:
    cohort, tell = found.cohort, found.tell
    accepted, rejected = len(cohort.ids), cohort.rejected.num_rows
    all_of_them = accepted + rejected
    rows = [
        ("accepted", tell.of(accepted, all_of_them)),
        ("rejected", tell.of(rejected, all_of_them)),
        ("people in the store", tell.count(cohort.participants)),
        *_recordings_a_person(found),
        ("person-days", tell.count(cohort.person_days)),
    ]
    unfinished = int((cohort.recording_D < 0).sum())
    if unfinished:
        rows.append(("of these from recordings not finished yet", tell.count(unfinished)))
    return [
        html.seen("how many recordings came in, whose they are, and why the others did not."),
        html.table(rows),
        *_reasons(found),
        html.explained(
            "An accepted recording has its days in the store. A rejected one has none of them there, and is not tried "
            "again until its file changes or ingest is told to (`--retry-rejected`). Single damaged blocks reject "
            "nobody: they are left out, and counted below.",
            "Rejection is rarely by chance: batteries, clocks and copies fail by site and by device, and with them "
            "certain people go missing. Compare who is left with who was asked. A person with several recordings is "
            "one person only where ingest was told so (`--participants`, `--id-regex`).",
        ),
    ]


def _recordings_a_person(found: Findings) -> list[tuple[str, str]]:
    """How many people gave one recording, and how many gave more."""
    each_P = np.bincount(found.cohort.person_N, minlength=len(found.cohort.people))
    several = int((each_P > 1).sum())
    return [("people with several recordings", found.tell.count(several))] if several else []


def _reasons(found: Findings) -> list[str]:
    tell, rejected = found.tell, found.cohort.rejected
    if not rejected.num_rows:
        return [html.paragraph("Nothing was rejected.")]
    pairs = zip(rejected["recording"].to_pylist(), rejected["reason"].to_pylist(), strict=True)
    grouped = reasons.group(pairs, keep_numbers_from=LEAST if tell.for_release else 1)
    rows = [
        [
            reason.text,
            tell.count(len(reason.recordings)),
            *([] if tell.for_release else [tell.names(reason.recordings)]),
        ]
        for reason in grouped[:REASONS_SHOWN]
    ]
    head = ["rejected because", "recordings", *([] if tell.for_release else ["for example"])]
    more = len(grouped) - REASONS_SHOWN
    return [
        html.table(rows, head),
        *(
            [html.paragraph(f"{more:,} rarer reasons are not shown; the table recordings has them.")]
            if more > 0
            else []
        ),
    ]
