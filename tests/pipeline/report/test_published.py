"""`--check-ukb`: published values compared with those of the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.report.page import PUBLISHED
from pipeline.report.sections.disclosure import coarse
from tests.pipeline.cohorts import MadeCohort
from tests.pipeline.report.made_pages import MIDDLE, assert_nobody_identified, call, make_page
from tests.pipeline.report.published_table import FIELDS, published, write_table


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
