"""`persondays report`."""

from __future__ import annotations

from pathlib import Path

import typer


def report(
    store: str = typer.Option(..., help="The window store: a path or an s3:// URL."),
    out: Path = typer.Option(..., help="The page to write; its name ends in .html."),
    check_ukb: Path | None = typer.Option(
        None,
        help="A table (CSV) of UK Biobank's published values to compare with: eid and any of the fields 90012, 90051, "
        "90016 and 90015.",
    ),
    key_file: Path | None = typer.Option(
        None, help="The store's key, for --check-ukb. Default: the environment variable PERSONDAYS_KEY."
    ),
    for_release: bool = typer.Option(
        False, "--for-release", help="Make a page for others: without ids of recordings and without counts under 5."
    ),
) -> None:
    """Make an HTML page about an ingested cohort: what was ingested, how good it is, and what to check first."""
    from pipeline.identity import load_key
    from pipeline.report.analysis.cohort import CohortColumns
    from pipeline.report.analysis.comparison import compare, require_key
    from pipeline.report.analysis.coverage import read_coverage
    from pipeline.report.analysis.published import read_published
    from pipeline.report.page import report_page, require_page, require_participants
    from pipeline.report.sections.data import ReportData
    from pipeline.report.sections.disclosure import Disclosure
    from pipeline.storage.folder import write_file
    from pipeline.store.store import Store

    require_page(out)
    opened = Store.open(store)
    comparison = None
    if check_ukb is not None:
        key = load_key(key_file)
        require_key(opened, key)
        published = read_published(check_ukb)
    cohort = CohortColumns.read(opened)
    if check_ukb is not None:
        comparison = compare(cohort, published, key)
    disclosure = Disclosure(for_release)
    require_participants(cohort, disclosure)
    coverage = read_coverage(opened, cohort.slot_D)
    data = ReportData(cohort, coverage, disclosure, comparison, opened.attributes.processing)
    write_file(out, report_page(data).encode())
    typer.echo(
        f"{len(cohort.ids):,} recordings accepted, {cohort.rejected.num_rows:,} rejected, "
        f"{cohort.person_days:,} person-days\npage: {out}"
    )
