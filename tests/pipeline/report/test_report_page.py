"""The page shows what numpy computes from the tables, and identifies nobody."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.report.analysis.coverage import SAMPLE_SIZE, by_hour, read_coverage, sample
from pipeline.report.page import INTAKE, OF_ACCEPTED
from pipeline.report.sections.disclosure import coarse
from pipeline.store.states import MEASURED, NONWEAR
from tests.pipeline.cohorts import DAYS, HOUR, MadeCohort, state
from tests.pipeline.pages import Page, browse, width_needed
from tests.pipeline.report.made_pages import MIDDLE, SHORT_ID, assert_nobody_identified


def test_the_page_is_complete_and_loads_nothing_else(page: tuple[str, Page, Path]) -> None:
    source, read, out = page
    assert [name for name in read.text if name != "top"] == [*INTAKE, *OF_ACCEPTED]
    assert sum(link.startswith("data:image/png;base64,") for link in read.sources) == 5
    assert all(link.startswith(("data:", "#")) for link in read.sources)
    for outward in ("http:", "https:", "<script", "@import", "url("):
        assert outward not in source
    assert out.stat().st_size < 3_000_000
    assert [path.name for path in out.parent.iterdir() if path.suffix != ".html"] == []


def test_nobody_is_identified(page: tuple[str, Page, Path], made: MadeCohort) -> None:
    source, _, _ = page
    assert_nobody_identified(source, made)
    assert SHORT_ID.search(source), "outliers are listed by short id"


def test_counts_and_reasons_are_those_of_the_tables(page: tuple[str, Page, Path]) -> None:
    _, read, _ = page
    people = MIDDLE - MIDDLE // 50
    assert (
        f"5,000 recordings accepted 150 recordings rejected {people:,} participants 35,000 person-days"
        in read.text["top"]
    )
    intake = read.text["intake"]
    assert f"participants with several recordings {MIDDLE // 50}" in intake
    assert re.search(r"it spans … days by its own clock, more than --max-days 60: .* 149 [0-9a-f]{12} ", intake)
    assert "and 144 more" in intake
    assert "found 6e 6f 74 20. This is no recording. 1 " in intake


def test_wear_is_computed_from_the_table(page: tuple[str, Page, Path], made: MadeCohort) -> None:
    _, read, _ = page
    hours = made.day["wear_seconds"] / HOUR
    for least in (1, 10, 16, 20):
        count = int((hours >= least).sum())
        assert f"person-days worn for at least {least} h {count:,} {count / hours.size:.1%}" in read.text["wear"]
    days = hours.sum(1) / 24
    count = int((days >= 5).sum())
    assert f"recordings worn for at least 5 days {count:,} {count / MIDDLE:.1%}" in read.text["wear"]
    low, middle, high = np.quantile(hours[:, 1:-1], [0.05, 0.5, 0.95])
    assert f"first and last days left out {middle:.1f} {low:.1f} to {high:.1f}" in read.text["wear"]


def test_enmo_and_motion_are_computed_from_the_tables(page: tuple[str, Page, Path], made: MadeCohort) -> None:
    _, read, _ = page
    wear, enmo = made.day["wear_seconds"], made.day["enmo_mg"]
    long = wear >= 16 * HOUR
    of_recordings = np.array([np.average(e[w > 0], weights=w[w > 0]) for e, w in zip(enmo, wear, strict=True)])
    motion = 1000 * made.day["motion_sum_g"][long] / made.day["eligible_seconds"][long]
    for what, values in (
        ("mean ENMO of days worn for at least 16 h (mg)", enmo[long]),
        ("mean ENMO of recordings (mg)", of_recordings),
        ("mean motion of days worn for at least 16 h (mg)", motion),
    ):
        message = " ".join(f"{value:,.1f}" for value in np.quantile(values, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]))
        assert f"{what} {values.size:,} {message}" in read.text["movement"]


def test_calibration_is_computed_from_the_figures(page: tuple[str, Page, Path], made: MadeCohort) -> None:
    _, read, _ = page
    for outcome, why in (
        ("own", "from the recording's own still moments"),
        ("given", "from a file of coefficients by device"),
        ("none", "values kept as recorded"),
    ):
        of_it = made.recording["calibration"] == outcome
        message = [f"{outcome} {why} {of_it.sum():,} {of_it.mean():.1%}"]
        for name in ("error_before_mg", "error_after_mg"):
            low, middle, high = np.quantile(made.recording[name][of_it], [0.05, 0.5, 0.95])
            message.append(f"{middle:.1f} {low:.1f} to {high:.1f}")
        assert " ".join(message) in read.text["calibration"]


def test_rates_devices_and_damage_are_computed_from_the_figures(page: tuple[str, Page, Path], made: MadeCohort) -> None:
    _, read, _ = page
    recording, day = made.recording, made.day
    half = recording["nominal_rate_hz"] == 50
    low, middle, high = np.quantile(recording["rate_hz"][half], [0.05, 0.5, 0.95])
    assert f"50 Hz {half.sum():,} {half.mean():.1%} {middle:.2f} {low:.2f} to {high:.2f}" in read.text["clocks"]
    ax6 = recording["device"] == "AX6"
    own = (recording["calibration"][ax6] == "own").mean()
    assert f"AX6 {ax6.sum():,} {ax6.mean():.1%} {own:.1%}" in read.text["devices"]
    for device in ("AX3", "AX6"):
        places = ("right wrist", "left wrist", "")
        message = [
            coarse(int(((recording["device"] == device) & (recording["location"] == at)).sum())) for at in places
        ]
        assert f"{device} {' '.join(message)}" in read.text["devices"]
    measured = day["measured_seconds"].sum() / HOUR
    nonwear = day["nonwear_seconds"].sum() / HOUR
    assert f"measured {measured:,.1f} " in read.text["damage"]
    share = nonwear / (measured + day["gap_seconds"].sum() / HOUR)
    assert f"part of more than 90 still minutes {nonwear:,.1f} {share:.2%}" in read.text["damage"]
    gaps = recording["gaps"][recording["gaps"] > 0]
    assert f"gaps {gaps.size:,} {gaps.size / MIDDLE:.1%} {np.median(gaps):,.0f} " in read.text["damage"]


def test_hours_are_computed_from_the_states(small_page: tuple[str, Page, Path], small: MadeCohort) -> None:
    _, read, _ = small_page
    states = np.stack([state(slot) for slot in range(60 * DAYS)])
    nonwear = (states & NONWEAR) != 0
    worn = ((states & MEASURED) != 0) & ~nonwear
    text = read.text["hours"]
    assert "Based on 420 of 420 person-days." in text
    assert f"least from 0:00 to 1:00 ({worn[:, :HOUR].mean():.1%})" in text
    assert f"worn {worn.mean():.1%}, non-wear {nonwear.mean():.1%}, gap" in text
    assert "missing from the store" not in text


def test_a_sample_of_states_is_read_and_missing_ones_are_counted(
    small: MadeCohort, page: tuple[str, Page, Path]
) -> None:
    slot_D = small.day["slot"].ravel()
    chosen = sample(slot_D, 50)
    coverage = read_coverage(small.store, np.append(slot_D, 10**6), max_days=51)
    assert (coverage.read, coverage.missing, coverage.total) in ((51, 0, 421), (50, 1, 421))
    coverage = read_coverage(small.store, slot_D, max_days=50)
    assert coverage.seconds_KH.tolist() == sum(by_hour(state(slot)) for slot in chosen.tolist()).tolist()
    assert f"The states of {SAMPLE_SIZE:,} sampled person-days are missing from the store" in page[1].text["hours"]


def test_outliers_are_listed_worst_first(page: tuple[str, Page, Path], made: MadeCohort) -> None:
    _, read, _ = page
    text = read.text["outliers"].replace("\N{NO-BREAK SPACE}", " ")
    shortly = [made.id(index)[:12] for index in range(6)]
    after = made.recording["error_after_mg"]
    enmo = (made.day["enmo_mg"] * made.day["wear_seconds"]).sum(1) / made.day["wear_seconds"].sum(1)
    assert re.search(f"ENMO over 100 mg .* {int((enmo > 100).sum())} .* {shortly[3]} {enmo[3]:,.0f} mg", text)
    worst = np.argsort(-after)[:5]
    listed = ", ".join(f"{made.id(index)[:12]} {after[index]:,.0f} mg" for index in worst)
    assert listed in text
    assert f"{shortly[5]} 4,000" in text
    assert f"{shortly[5]} 2.5 h" in text
    assert re.search(f"{shortly[5]} (over .*; )?gaps of over 1 h in all; over 100 damaged blocks", text)
    assert ", ".join(sorted(shortly[1:3])) in text, "two recordings with the same signal"
    assert re.search("No recording fails: .*ENMO under 5 mg; worn under 24 h;", text)


@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_the_page_without_sideways_scrolling(
    small_page: tuple[str, Page, Path], tmp_path: Path, chromium: str, width: int
) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    from pipeline.pages.figures import OURS, STATE_COLOURS

    out, shot = small_page[2], tmp_path / "shot.png"
    browse(chromium, tmp_path / "profile", f"--window-size={width},14000", f"--screenshot={shot}", out.as_uri())
    pixels = imread(str(shot))[..., :3]
    assert pixels.shape[1] == width
    for colour in (STATE_COLOURS[MEASURED], STATE_COLOURS[NONWEAR]):
        assert np.abs(pixels - to_rgb(colour)).max(2).min() < 0.03, f"no bars of colour {colour} on the screen"
    bars = np.abs(pixels - (0.85 * np.array(to_rgb(OURS)) + 0.15)).max(2) < 0.03
    assert bars.sum() > 20_000, "no histograms on the screen"
    assert width_needed(chromium, tmp_path / "profile", out, width) == width, "wider than the screen"
