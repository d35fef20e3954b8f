"""`persondays report`: the page shows what numpy computes from the tables, and identifies nobody."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.cli import run_command
from pipeline.errors import UserError
from pipeline.pages import html
from pipeline.report.analysis.checks import check_all
from pipeline.report.analysis.cohort import CohortColumns
from pipeline.report.analysis.coverage import SAMPLE_SIZE, by_hour, read_coverage, sample
from pipeline.report.analysis.reasons import group_reasons
from pipeline.report.command import report
from pipeline.report.page import INTAKE, OF_ACCEPTED, PUBLISHED
from pipeline.report.sections.disclosure import Disclosure, coarse
from pipeline.report.sections.drawing import edges
from pipeline.store.schemas import RECORDINGS
from pipeline.store.states import GAP, IDLE, MEASURED, NONWEAR
from pipeline.store.store import Store
from pipeline.store.withdrawals import Withdrawals
from tests.pipeline.cohorts import DAYS, HOUR, KEY, MadeCohort, state, write_cohort
from tests.pipeline.pages import Page, browse, width_needed
from tests.train.days import write_store

MIDDLE = 5_000
LONG_ID = re.compile("[0-9a-f]{13}")
SHORT_ID = re.compile(r"\b[0-9a-f]{12}\b")
PICTURE = re.compile('src="data:image/png;base64,[^"]*"')


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    return run_command(report, "report")


def make_page(store: str, out: Path, **options: Any) -> tuple[str, Page]:
    """Make the page with the command; returns its source without the pictures, and its text."""
    report(store, out, **{"check_ukb": None, "key_file": None, "for_release": False} | options)
    source = out.read_text(encoding="utf-8")
    return PICTURE.sub('src="data:"', source), Page(source)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeCohort:
    """A cohort of 5,000 recordings; tests do not change it."""
    return write_cohort(str(tmp_path_factory.mktemp("middle") / "store"), MIDDLE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> MadeCohort:
    """A cohort of 60 recordings with the states of all their days; tests do not change it."""
    return write_cohort(str(tmp_path_factory.mktemp("small") / "store"), 60, states=True)


@pytest.fixture(scope="module")
def small_page(small: MadeCohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page, Path]:
    """The page of the small cohort: its source without pictures, its text, and its path."""
    out = tmp_path_factory.mktemp("small_page") / "report.html"
    return (*make_page(small.store.folder.url, out), out)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_text(KEY.secret.hex())
    return path


@pytest.fixture(scope="module")
def page(made: MadeCohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page, Path]:
    """The page of the cohort: its source without pictures, its text, and its path."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    return (*make_page(made.store.folder.url, out), out)


# parts of the page, compared with plain references


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_coarse_counts_do_not_reveal_hidden_counts(one: int, other: int) -> None:
    shown = coarse(one)
    assert (shown == "under 5") == (0 < one < 5)
    if shown != "under 5":
        assert abs(int(shown.replace(",", "")) - one) <= 2
    assert Disclosure(for_release=False).count(one) == f"{one:,}"
    share = Disclosure(for_release=True).share(min(one, other), max(one, other))
    if 0 < min(one, other) < 5 or 0 < abs(one - other) < 5:
        assert share == "-"


def test_a_page_for_release_leaves_out_small_bars_and_quantiles() -> None:
    usual, release = Disclosure(), Disclosure(for_release=True)
    counts_B = np.array([0, 1, 4, 5, 12, 13, 250])
    assert usual.bins(counts_B).tolist() == counts_B.tolist()
    assert release.bins(counts_B).tolist() == [0, 0, 0, 5, 10, 15, 250]
    values = np.arange(50.0)
    assert usual.quantile(values, 0.05) == pytest.approx(np.quantile(values, 0.05))
    assert np.isnan(release.quantile(values, 0.05))
    assert release.quantile(values, 0.1) == pytest.approx(np.quantile(values, 0.1))
    assert release.short_ids(["a" * 64]) == ""
    assert usual.short_ids([letter * 64 for letter in "abcdef"]).split()[0] == "a" * 12


def test_reasons_that_differ_only_in_numbers_are_one_group() -> None:
    rejected = [
        ("b", "it spans 73 days, more than --max-days 60"),
        ("a", "it spans 1,098 days, more than --max-days 60"),
        ("c", "begins with the length 1020; found 6e 6f 74 20."),
        ("d", "its clock says 2031-05-06T10:00:00 and header 0x17"),
        ("e", None),
    ]
    found = group_reasons(rejected)
    assert [(reason.text, reason.recordings) for reason in found] == [
        ("it spans … days, more than --max-days 60", ["a", "b"]),
        ("begins with the length 1020; found 6e 6f 74 20.", ["c"]),
        ("its clock says … and header 0x17", ["d"]),
        ("no reason given", ["e"]),
    ]
    careful = [reason.text for reason in group_reasons(rejected, keep_numbers_from=2)]
    assert careful[0] == "it spans … days, more than --max-days 60"
    assert "found …." in careful[1]


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.text("0123 x:-\0", max_size=12)), max_size=20))
def test_every_rejected_recording_is_in_one_group(rejected: list[tuple[str, str]]) -> None:
    found = group_reasons(rejected)
    assert Counter(name for reason in found for name in reason.recordings) == Counter(name for name, _ in rejected)
    assert len({reason.text for reason in found}) <= len({reason for _, reason in rejected}) + 1


def test_conditions_by_hour_are_counted_from_the_seconds() -> None:
    random = np.random.default_rng(0)
    state_S = random.choice([0, MEASURED, IDLE, GAP, MEASURED | NONWEAR, IDLE | NONWEAR, GAP | NONWEAR], 86_400)
    counted = [[0] * 24 for _ in range(4)]
    for second, bits in enumerate(state_S.tolist()):
        present, still = bits & (MEASURED | IDLE), bits & NONWEAR
        counted[0 if present and not still else 1 if still else 2 if bits & GAP else 3][second // 3600] += 1
    assert by_hour(state_S.astype(np.uint8)).tolist() == counted


@given(st.integers(0, 3 * SAMPLE_SIZE))
def test_the_sample_of_days_is_bounded_and_reproducible(size: int) -> None:
    slots = np.arange(size) * 3
    chosen = sample(slots)
    assert chosen.size == min(size, SAMPLE_SIZE) == np.unique(chosen).size
    assert np.isin(chosen, slots).all()
    assert sample(np.random.default_rng(size).permutation(slots)).tolist() == chosen.tolist()


@pytest.mark.parametrize("log", [False, True])
@given(values=st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), max_size=60))
def test_edges_increase_and_include_the_quartiles(log: bool, values: list[float]) -> None:
    array = np.array(values, dtype=float)
    shown = array[array > 1e-300] if log else array
    array = array[np.isin(array, shown) | (array <= 0)]
    found = edges(array, Disclosure(), log=log)
    if not shown.size:
        assert found is None
        return
    assert found is not None
    assert (np.diff(found) > 0).all()
    first, third = np.quantile(shown, [0.25, 0.75], method="nearest")
    assert found[0] <= first + 1e-9 * abs(first)
    assert found[-1] >= third - 1e-9 * abs(third)


def test_texts_may_contain_code_and_cells_small_print() -> None:
    assert html.paragraph("run `a <b> --c` now") == (
        "<p>run <code><span>a</span> <span>&lt;b&gt;</span> <span>--c</span></code> now</p>"
    )
    assert '<th scope="row">x <small>why</small></th><td>1 <small>2%</small></td>' in html.table(
        [["x [why]", "1 [2%]"]]
    )


# the page


def test_the_page_is_complete_and_loads_nothing_else(page: tuple[str, Page, Path]) -> None:
    source, read, out = page
    assert [name for name in read.text if name != "top"] == [*INTAKE, *OF_ACCEPTED]
    assert sum(link.startswith("data:image/png;base64,") for link in read.sources) == 5
    assert all(link.startswith(("data:", "#")) for link in read.sources)
    for outward in ("http:", "https:", "<script", "@import", "url("):
        assert outward not in source
    assert out.stat().st_size < 3_000_000
    assert [path.name for path in out.parent.iterdir() if path.suffix != ".html"] == []


def assert_nobody_identified(source: str, made: MadeCohort) -> None:
    """There is no full id, name, date or path, and everything that looks like an id is a short id."""
    assert not LONG_ID.search(source)
    ids = {made.id(index)[:12] for index in range(len(made.names))}
    ids |= {KEY.recording(f"bad{index}")[:12] for index in range(made.rejected)}
    assert set(SHORT_ID.findall(source)) <= ids
    assert not re.search(r"\b(19|20)\d\d-\d\d\b|_90001_|\.cwa\b(?! recording)|\b1\d{6}\b", source)
    assert made.store.folder.url not in source


def test_nobody_is_identified(page: tuple[str, Page, Path], made: MadeCohort) -> None:
    source, _, _ = page
    assert_nobody_identified(source, made)
    assert SHORT_ID.search(source), "outliers are listed by short id"


def test_counts_and_reasons(page: tuple[str, Page, Path]) -> None:
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


def test_recordings_with_unknown_figures_pass_every_check(tmp_path: Path) -> None:
    store = write_cohort(str(tmp_path / "store"), 20).store
    row = {"recording": "f" * 64, "participant": "e" * 64, "status": "done", "size": 1, "person_days": 0}
    write_deltalake(store.recordings.delta, pa.Table.from_pylist([row], RECORDINGS), mode="append")
    store.recordings.refresh()
    cohort = CohortColumns.read(store)
    assert len(cohort.ids) == 21
    unknown = cohort.ids.to_pylist().index("f" * 64)
    assert [check.title for check in check_all(cohort) if unknown in check.failed] == []


def test_a_store_without_dates_gives_the_same_page(tmp_path: Path) -> None:
    pages = []
    for dates in (True, False):
        url = str(tmp_path / f"{dates}")
        write_cohort(url, 20, dates=dates)
        pages.append(make_page(url, tmp_path / f"{dates}.html")[0])
    assert pages[0] == pages[1]
    assert "missing from the store" in pages[0], "no states were written"


def test_withdrawn_participants_are_left_out(tmp_path: Path) -> None:
    from datetime import date

    made = write_cohort(str(tmp_path / "store"), 60)
    before = CohortColumns.read(made.store)
    Withdrawals(made.store.folder).begin([KEY.participant("1000003")], date(2024, 1, 1))
    after = CohortColumns.read(made.store)
    assert (len(before.ids), before.participants, before.person_days) == (60, 59, 420)
    assert (len(after.ids), after.participants, after.person_days) == (59, 58, 413)
    assert set(before.ids.to_pylist()) - set(after.ids.to_pylist()) == {made.id(3)}


def test_days_of_recordings_in_progress_are_counted(tmp_path: Path) -> None:
    store = write_store(str(tmp_path / "store"), people=2, days=2)
    _, read = make_page(store.folder.url, tmp_path / "page.html")
    assert "No recording is finished yet" in read.text["top"]
    assert "person-days of recordings in progress 4" in read.text["intake"]


# for release


def test_a_page_for_release_identifies_nobody_and_hides_small_counts(made: MadeCohort, tmp_path: Path) -> None:
    source, read = make_page(made.store.folder.url, tmp_path / "page.html", for_release=True)
    assert not SHORT_ID.search(source)
    assert_nobody_identified(source, made)
    assert (
        f"5,000 recordings accepted 150 recordings rejected {MIDDLE - MIDDLE // 50:,} participants" in read.text["top"]
    )
    assert "found …. This is no recording. under 5" in read.text["intake"]
    assert "same signal as another recording one file under two names, perhaps as two people under 5" in " ".join(
        read.text["outliers"].split()
    )
    counts = re.findall(r"\b(\d[\d,]*) \d+%", " ".join(read.text.values()))
    assert len(counts) > 20
    assert all(int(count.replace(",", "")) % 5 == 0 for count in counts)


def test_a_page_for_release_about_four_participants_is_refused(tmp_path: Path) -> None:
    store = write_store(str(tmp_path / "store"), people=4, days=1)
    with pytest.raises(UserError, match="under 5 participants"):
        make_page(store.folder.url, tmp_path / "page.html", for_release=True)
    assert not (tmp_path / "page.html").exists()


# comparison with published values


def published(made: MadeCohort, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Values that a biobank might publish about the participants of a cohort, by recording."""
    random = np.random.default_rng(seed)
    wear = made.day["wear_seconds"].sum(1)
    enmo = np.nansum(made.day["enmo_mg"] * made.day["wear_seconds"], 1) / wear
    return {
        "90012": 0.95 * enmo - 1 + random.normal(0, 2, enmo.size),
        "90051": wear / 86_400 - random.exponential(0.1, enmo.size),
        "90016": ((made.recording["calibration"] != "none") ^ (random.random(enmo.size) < 0.02)).astype(int),
        "90015": (wear >= 3 * 86_400).astype(int),
    }


def write_table(
    path: Path,
    made: MadeCohort,
    values: dict[str, NDArray[Any]],
    names: dict[str, str],
    *,
    comma: str = ",",
    eid_name: str = "eid",
    rows: int | None = None,
) -> Path:
    """Write the table: a row for each participant with one recording, 7 strangers, and 9 rows without values."""
    lines = [comma.join([eid_name, *names.values(), "31-0.0"])]
    for index in range(rows or len(made.names)):
        if index % 50 < 48:
            cells = [f"{values[field][index]:.6g}" for field in names]
            lines.append(comma.join([made.names[index].split("_")[0], *cells, "Female"]))
    lines += [comma.join([str(9_000_000 + n), *["1"] * len(names), "Male"]) for n in range(7)]
    lines += [comma.join([str(8_000_000 + n), *[""] * len(names), "Male"]) for n in range(9)]
    path.write_text("\n".join(lines) + "\n")
    return path


FIELDS = ("90012", "90051", "90016", "90015")


def test_published_values_are_compared_with_ours(made: MadeCohort, key_file: Path, tmp_path: Path) -> None:
    values = published(made)
    table = write_table(tmp_path / "ukb.csv", made, values, {field: f"{field}-0.0" for field in FIELDS})
    source, read = make_page(made.store.folder.url, tmp_path / "page.html", check_ukb=table, key_file=key_file)
    assert list(read.text)[-1] == next(iter(PUBLISHED))
    assert_nobody_identified(source, made)
    text = read.text["published"]
    chosen = np.arange(MIDDLE) % 50 < 48
    only_stored = MIDDLE - MIDDLE // 50 - chosen.sum()
    for part in (
        f"participants compared {chosen.sum():,}",
        "in the published table 7",
        f"in the store {only_stored:,}",
    ):
        assert part in text
    wear = made.day["wear_seconds"].sum(1)[chosen]
    enmo = np.nansum(made.day["enmo_mg"] * made.day["wear_seconds"], 1)[chosen] / wear
    for title, field, unit, ours in (("ENMO", "90012", "mg", enmo), ("wear", "90051", "days", wear / 86_400)):
        theirs = np.array([float(f"{value:.6g}") for value in values[field][chosen]])
        bias, sd = (ours - theirs).mean(), (ours - theirs).std(ddof=1)
        r = np.corrcoef(ours, theirs)[0, 1]
        limits = f"{bias - 1.96 * sd:+.2f} to {bias + 1.96 * sd:+.2f} {unit}"
        assert f"{title}, and field {field} {chosen.sum():,} {r:.3f} {bias:+.2f} {unit} {limits}" in text
    ours = made.recording["calibration"][chosen] != "none"
    theirs = values["90016"][chosen] == 1
    rows = [[coarse(int(((ours == us) & (theirs == them)).sum())) for them in (True, False)] for us in (True, False)]
    assert f"ours: calibrated {' '.join(rows[0])} ours: not calibrated {' '.join(rows[1])}" in text


@pytest.mark.parametrize(
    ("spelling", "eid_name", "comma"),
    [
        ("{}-0.0", "eid", ","),
        ("p{}", "eid", ","),
        ("{}_0_0", "n_eid", "\t"),
        ("f.{}.0.0", "f.eid", "\t"),
        ("participant.p{}", "participant.eid", ","),
        ("n_{}_0_0", "n_eid", ";"),
        ("P{}_i0", "EID", ","),
        ('"{}-0.0"', '"eid"', ","),
    ],
)
def test_columns_are_found_in_the_spelling_of_every_tool(
    made: MadeCohort, key_file: Path, tmp_path: Path, spelling: str, eid_name: str, comma: str
) -> None:
    from pipeline.report.analysis.published import read_published

    names = {field: spelling.format(field) for field in FIELDS}
    values = published(made)
    path = write_table(tmp_path / "ukb.csv", made, values, names, comma=comma, eid_name=eid_name, rows=100)
    found = read_published(path)
    assert len(found.eids) == 96 + 7
    chosen = [index for index in range(100) if index % 50 < 48]
    assert found.eids[:96] == [made.names[index].split("_")[0] for index in chosen]
    assert np.allclose(found.values["enmo_mg"][:96], values["90012"][chosen], rtol=1e-5)
    assert found.values["good_wear"][:96].tolist() == values["90015"][chosen].tolist()


def test_participants_with_several_recordings_are_left_out_and_yes_is_1(
    small: MadeCohort, key_file: Path, tmp_path: Path
) -> None:
    table = tmp_path / "ukb.csv"
    table.write_text("eid,p90016,p90012\n1000048,Yes,30\n1000000,Yes,31.5\n1000001,No,\n1000002,,29\n1000004,NA,NA\n")
    _, read = make_page(small.store.folder.url, tmp_path / "page.html", check_ukb=table, key_file=key_file)
    text = read.text["published"]
    assert "participants compared 3 only in the published table 0" in text
    assert "in both, with several recordings left out 1" in text
    assert "ENMO, and field 90012: too few participants have both values." in text
    assert "field 90051" not in text.split("What it means")[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("eid,31-0.0\n1000001,1\n", "none of the fields"),
        ("1000001,25.5\n1000002,30.1\n", "no eid"),
        ("person,90012-0.0\n1000001,25.5\n", "no eid"),
        ("eid,90012-0.0\n1000001,25.5\n1000001,26.5\n", "1 repeated rows"),
        ("eid,90012-0.0\n1000001,about 25\n", "numbers in the column 90012-0.0"),
        ("eid,90016-0.0\n1000001,3\n", "1 and 0, or yes and no"),
        ("eid,90012-0.0\n1000001,25.5,7,8\n", "as many cells"),
        ("eid,90012-0.0\n7000001,25.5\n", "none of the 1 participants"),
        ("eid,90012-0.0\n", "none of the 0 participants"),
        ("", "found nothing"),
        ("PK\0\0", "found other data"),
        (None, "cannot read"),
    ],
)
def test_errors_about_a_table_do_not_quote_it(
    made: MadeCohort,
    key_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    message: str,
) -> None:
    table, out = tmp_path / "ukb.csv", tmp_path / "page.html"
    if content is not None:
        table.write_text(content)
    url = made.store.folder.url
    assert call(monkeypatch, "--store", url, "--out", out, "--check-ukb", table, "--key-file", key_file) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    for secret in ("1000001", "1000002", "7000001", "25", "30.1"):
        assert secret not in error.replace(str(tmp_path), "")
    assert not out.exists()


def test_another_key_is_refused(
    made: MadeCohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text("11" * 32)
    table = tmp_path / "ukb.csv"
    table.write_text("eid,p90012\n1000000,30\n")
    common = ("--store", made.store.folder.url, "--out", tmp_path / "page.html", "--check-ukb", table)
    assert call(monkeypatch, *common, "--key-file", tmp_path / "key") == 1
    assert "made with another key" in capsys.readouterr().err
    monkeypatch.delenv("PERSONDAYS_KEY", raising=False)
    assert call(monkeypatch, *common) == 1
    assert "no key" in capsys.readouterr().err


# what goes wrong


def test_stores_without_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    out.write_text("an earlier page")
    assert call(monkeypatch, "--store", tmp_path / "none", "--out", out) == 1
    assert "expected a window store, found none" in capsys.readouterr().err
    Store.create(str(tmp_path / "empty"), KEY, {"made": "for tests"})
    assert call(monkeypatch, "--store", tmp_path / "empty", "--out", out) == 1
    assert "holds no recordings yet" in capsys.readouterr().err
    assert out.read_text() == "an earlier page"


def test_a_page_of_rejected_recordings_only(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"), KEY, {"made": "for tests"})
    row = {"status": "rejected", "reason": "<too> short", "size": 1, "person_days": 0}
    store.recordings.append([row | {"recording": "a" * 64, "participant": "b" * 64}])
    source, read = make_page(store.folder.url, tmp_path / "page.html")
    assert "No recording was accepted" in read.text["top"]
    assert "<too> short 1 aaaaaaaaaaaa" in read.text["intake"]
    assert list(read.text) == ["top", "intake"]
    assert "a" * 13 not in source


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.pdf", "ends in .html"),
        ("report", "ends in .html"),
        ("folder.html", "found a folder"),
        ("file/below/report.html", "not a folder that you can write to"),
    ],
)
def test_pages_that_cannot_be_written(
    made: MadeCohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    message: str,
) -> None:
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("")
    assert call(monkeypatch, "--store", made.store.folder.url, "--out", tmp_path / name) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


# in a browser


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


@pytest.mark.slow
def test_a_hundred_thousand_recordings(tmp_path: Path, chromium: str, key_file: Path) -> None:
    """700,000 rows give the same figures and a page of the same size."""
    made = write_cohort(str(tmp_path / "store"), 100_000, states=True)
    table = write_table(tmp_path / "ukb.csv", made, published(made), {field: f"p{field}" for field in FIELDS})
    out = tmp_path / "page.html"
    source, read = make_page(made.store.folder.url, out, check_ukb=table, key_file=key_file)
    assert_nobody_identified(source, made)
    assert out.stat().st_size < 4_000_000
    assert (
        "100,000 recordings accepted 3,000 recordings rejected 98,000 participants 700,000 person-days"
        in read.text["top"]
    )
    count = int((made.day["wear_seconds"] >= 16 * HOUR).sum())
    assert f"person-days worn for at least 16 h {count:,} {count / 700_000:.1%}" in read.text["wear"]
    assert f"Based on {SAMPLE_SIZE:,} of 700,000 person-days (a random sample)" in read.text["hours"]
    assert width_needed(chromium, tmp_path / "profile", out, 390) == 390
