"""How many recordings were accepted, how many were rejected, and why."""

from __future__ import annotations

import numpy as np

from pipeline.pages import html
from pipeline.report.analysis.reasons import group_reasons
from pipeline.report.sections.data import ReportData
from pipeline.report.sections.disclosure import MIN_GROUP

REASONS_SHOWN = 30


def intake_section(data: ReportData) -> list[str]:
    cohort, disclosure = data.cohort, data.disclosure
    accepted, rejected = len(cohort.ids), cohort.rejected.num_rows
    per_participant_P = np.bincount(cohort.participant_N, minlength=len(cohort.participant_ids))
    several = int((per_participant_P > 1).sum())
    unfinished = int((cohort.recording_D < 0).sum())
    rows = [
        ("recordings accepted", disclosure.count_and_share(accepted, accepted + rejected)),
        ("recordings rejected", disclosure.count_and_share(rejected, accepted + rejected)),
        ("participants", disclosure.count(cohort.participants)),
        *([("participants with several recordings", disclosure.count(several))] if several else []),
        ("person-days", disclosure.count(cohort.person_days)),
        *([("person-days of recordings in progress", disclosure.count(unfinished))] if unfinished else []),
    ]
    return [
        html.shows(
            "The number of recordings that ingest accepted and rejected, the participants they belong to, and the "
            "reasons for rejection."
        ),
        html.table(rows),
        *_reasons(data),
        html.explained(
            "The store holds person-days of accepted recordings only. Ingest does not retry a rejected recording until "
            "its file changes or you ask for it (`--retry-rejected`). A few damaged blocks do not reject a recording: "
            "they are dropped, and counted under gaps, clipping and damage.",
            "Recordings are rarely rejected at random: batteries fail, clocks are wrong and copies break at particular "
            "sites and on particular devices. Compare the participants in the store with the participants invited. "
            "Recordings are known to be of one participant only if ingest was given `--participants` or `--id-regex`. "
            "Its summary, and `persondays inspect STORE`, say where recordings of one participant share a date. The "
            "files of one recording are joined by `--join-folders`, `--join-map` or `--join-regex`.",
        ),
    ]


def _reasons(data: ReportData) -> list[str]:
    """The table of reasons; a page for release shows no recordings, and no numbers of reasons that few share."""
    disclosure, rejected = data.disclosure, data.cohort.rejected
    if not rejected.num_rows:
        return [html.paragraph("No recording was rejected.")]
    pairs = zip(rejected["recording"].to_pylist(), rejected["reason"].to_pylist(), strict=True)
    groups = group_reasons(pairs, keep_numbers_from=MIN_GROUP if disclosure.for_release else 1)
    rows = [
        [
            group.text,
            disclosure.count(len(group.recordings)),
            *([] if disclosure.for_release else [disclosure.short_ids(group.recordings)]),
        ]
        for group in groups[:REASONS_SHOWN]
    ]
    table = html.table(rows, ["reason", "recordings", *([] if disclosure.for_release else ["for example"])])
    hidden = len(groups) - REASONS_SHOWN
    if hidden <= 0:
        return [table]
    return [table, html.paragraph(f"{hidden:,} rarer reasons are not listed; see the store's table `recordings`.")]
