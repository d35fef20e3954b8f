"""The demo's page: one HTML file of what the steps left in a run's folder, in plain words.

Every number comes from a file that a command wrote, and every judgement from an interval among them
(`pipeline.demo.verdicts`). What a step did not leave is said in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.demo.data_sections import day_section, draws_section, store_section
from pipeline.demo.network_sections import evaluation_section, next_section, signed, training_section
from pipeline.demo.results import Results
from pipeline.pages import html
from pipeline.storage.folder import Folder

TITLE = "persondays: what the demo made"
SECTIONS: dict[str, tuple[str, Callable[[Results], list[str]]]] = {
    "store": ("From recordings to a window store", store_section),
    "day": ("One person's day", day_section),
    "draws": ("Which windows training draws", draws_section),
    "training": ("Training, beside its controls", training_section),
    "evaluation": ("Is the backbone better than random weights?", evaluation_section),
    "next": ("Where everything is", next_section),
}


def write_page(run: Path) -> Path:
    """Write RUN/report/index.html from what lies in RUN, whole or not at all; gives its path."""
    results = Results.read(run)
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in SECTIONS.items())
    body = [
        f"<header><h1>{TITLE}</h1>",
        html.paragraph(_introduction(results)),
        html.tiles(_tiles(results)),
        f'</header>\n<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>',
        *(html.section(name, title, parts(results)) for name, (title, parts) in SECTIONS.items()),
        "</main>",
    ]
    page = run / "report" / "index.html"
    Folder(str(page.absolute().parent)).write(page.name, html.document(TITLE, body).encode())
    return page


def _introduction(results: Results) -> str:
    simulation = results.simulation
    who = "simulated people who wear a wrist device"
    if simulation is not None:
        who = f"{simulation['participants']} simulated people who wear a wrist device for {simulation['days']:g} days"
    return (
        f"The demo makes recordings of {who}, brings them into a window store, trains a network on them without any "
        "labels, exports its backbone and asks whether that backbone helps to recognise activities. No real person is "
        "in it, and the network is small so that two cores are enough: it shows that the road works from end to end, "
        "not how good a backbone trained on a population is."
    )


def _tiles(results: Results) -> list[tuple[str, str]]:
    tiles = []
    if results.inspect is not None:
        tiles += [
            (f"{results.inspect['participants']:,}", "people"),
            (f"{results.inspect['person_days']:,}", "person-days"),
            (f"{results.inspect['wear_hours']:,.0f} h", "worn"),
        ]
    if results.training is not None:
        tiles.append((f"{results.training['windows_seen']:,}", "windows seen in training"))
    if results.evaluation is not None:
        difference = results.evaluation["summary"]["macro_f1"]["difference"]
        low, high = signed(difference["low"]), signed(difference["high"])
        tiles.append((signed(difference["mean"]), f"macro F1 beyond random weights ({low} to {high})"))
    return tiles
