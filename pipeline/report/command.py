"""`persondays report`."""

from __future__ import annotations

from pathlib import Path

import typer


def report(
    store: str = typer.Option(..., help="The window store; any fsspec URL."),
    out: Path = typer.Option(..., help="The page to write; a name that ends in .html."),
    check_ukb: Path | None = typer.Option(
        None, help="A table (CSV) of eid and UK Biobank's fields 90012, 90051, 90016, 90015, to be set beside ours."
    ),
    key_file: Path | None = typer.Option(
        None, help="The store's key, for --check-ukb; otherwise the environment variable PERSONDAYS_KEY."
    ),
    for_release: bool = typer.Option(
        False, "--for-release", help="A page that may be given away: it names no recording and hides counts under 5."
    ),
) -> None:
    """Make one HTML page about an ingested cohort: what came in, how good it is, what to look at first."""
    from pipeline.identity import load_key
    from pipeline.report.analysis.cohort import Cohort
    from pipeline.report.analysis.comparison import compare, require_key
    from pipeline.report.analysis.coverage import read_coverage
    from pipeline.report.analysis.published import read_published
    from pipeline.report.page import require_page, require_people, write_page
    from pipeline.report.sections.data import Findings
    from pipeline.report.sections.disclosure import Disclosure
    from pipeline.store.store import Store

    require_page(out)
    opened = Store.open(store)
    comparison = None
    if check_ukb is not None:
        key = load_key(key_file)
        require_key(opened, key)
        published = read_published(check_ukb)
    cohort = Cohort.read(opened)
    if check_ukb is not None:
        comparison = compare(cohort, published, key)
    tell = Disclosure(for_release)
    require_people(cohort, tell)
    coverage = read_coverage(opened, cohort.slot_D)
    write_page(Findings(cohort, coverage, tell, comparison, opened.attributes.processing), out)
    typer.echo(
        f"{len(cohort.ids):,} recordings accepted, {cohort.rejected.num_rows:,} rejected, "
        f"{cohort.person_days:,} person-days\npage: {out}"
    )
