"""The demo's page: one HTML file about the results in a demo's folder, in plain words.

Every number comes from a file that a command wrote, and every judgement follows from an interval in it
(`pipeline.demo.verdicts`). Results that do not exist yet are named in their place.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.demo.data_sections import day_section, draws_section, store_section
from pipeline.demo.network_sections import evaluation_section, first_picture, next_section, signed, training_section
from pipeline.demo.results import Results
from pipeline.pages import html
from pipeline.pages.page import Sections, render_page
from pipeline.storage.folder import write_file

TITLE = "persondays demo: results"
SECTIONS: Sections[Results] = {
    "store": ("From recordings to a window store", store_section),
    "day": ("One person-day", day_section),
    "draws": ("Which windows training draws", draws_section),
    "training": ("Training, compared with its controls", training_section),
    "evaluation": ("Is the backbone better than random weights?", evaluation_section),
    "next": ("Where to find everything", next_section),
}


def write_page(run: Path) -> Path:
    """Write RUN/report/index.html from the results in RUN, and return its path."""
    results = Results.read(run)
    page = run / "report" / "index.html"
    introduction = [html.paragraph(_introduction(results)), *first_picture(results)]
    write_file(page, render_page(TITLE, introduction, _tiles(results), SECTIONS, results).encode())
    return page


def _introduction(results: Results) -> str:
    simulation = results.simulation
    who = "simulated participants with a wrist-worn device"
    if simulation is not None:
        who = f"{simulation['participants']} {who} for {simulation['days']:g} days"
    return (
        f"The demo generates recordings of {who}, ingests them into a window store, pretrains a network on them "
        "without labels, exports its backbone, and tests whether the backbone helps to recognise activities. No data "
        "come from real people, and the network is small enough for two cores: the demo shows that every step works, "
        "not how good a backbone trained on a population is."
    )


def _tiles(results: Results) -> list[tuple[str, str]]:
    tiles = []
    if results.inspect is not None:
        tiles += [
            (f"{results.inspect['participants']:,}", "participants"),
            (f"{results.inspect['person_days']:,}", "person-days"),
            (f"{results.inspect['wear_hours']:,.0f} h", "worn"),
        ]
    if results.training is not None:
        tiles.append((f"{results.training['windows_seen']:,}", "windows seen in training"))
    if results.evaluation is not None:
        difference = results.evaluation["summary"]["macro_f1"]["difference"]
        low, high = signed(difference["low"]), signed(difference["high"])
        tiles.append((signed(difference["mean"]), f"macro F1 compared with random weights ({low} to {high})"))
    return tiles
