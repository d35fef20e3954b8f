"""Tables in a run: their settings reach the workers, and are part of their state in the store."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ingest.command import ingest
from ingest.run.driver import run_ingest
from ingest.run.settings import IngestSettings
from ingest.run.sources import list_sources
from ingest.settings import TableSettings
from pipeline.cli import run_command
from pipeline.errors import UserError
from pipeline.flags import flag_names
from pipeline.settings import build
from tests.ingest import cohort
from tests.ingest.devices.tables import iso, movement, seconds, text

STAMPED, COUNTED, BROKEN = "1000044.csv.gz", "1000055.csv", "1000066.parquet"
RATE_HZ = 50.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten minutes with stamps, ten without, and a file that is not a table."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    second_N = seconds(RATE_HZ, 600)
    (folder / STAMPED).write_bytes(gzip.compress(text(movement(second_N), iso(second_N), "time,x,y,z")))
    (folder / COUNTED).write_bytes(text(movement(second_N), header="x,y,z"))
    (folder / BROKEN).write_bytes(b"PAR1 and no more")
    (folder / "_notes.csv").write_text("these are nobody's\n")
    return folder


def test_table_settings_are_part_of_the_state_of_a_table(ray_here: str, folder: Path, tmp_path: Path) -> None:
    untold = cohort.settings(folder, tmp_path / "store")
    settings = cohort.settings(folder, tmp_path / "store", table=TableSettings(rate_hz=RATE_HZ))
    first = run_ingest(untold)
    reasons = dict(first.rejected)
    assert (first.done, len(reasons)) == (1, 2)
    assert "How many rows are a second? State --rate HZ" in reasons[cohort.KEY.recording(COUNTED)]
    assert "damaged, cut off, or not a table" in reasons[cohort.KEY.recording(BROKEN)]
    with pytest.raises(UserError, match=r"1 table in it .* would now be read with other --columns, ") as refused:
        run_ingest(settings)
    assert all(name in str(refused.value) for name in flag_names(TableSettings))

    (folder / STAMPED).rename(tmp_path / STAMPED)
    second = run_ingest(settings)
    assert (second.done, [id_ for id_, _ in second.rejected]) == (1, [cohort.KEY.recording(BROKEN)])
    assert run_ingest(settings).nothing_to_do
    days, recordings = cohort.rows(tmp_path / "store")
    assert [(day["measured_seconds"], day["device"]) for day in days] == [(600, "table")] * 2
    assert {row["serial"] for row in recordings} == {None}
    figures = {row["recording"]: json.loads(row["figures"] or "{}") for row in recordings}
    assert figures[cohort.KEY.recording(COUNTED)]["start"].startswith("1970-01-01T00:00:00")
    with pytest.raises(UserError, match="other --columns"):
        run_ingest(untold)

    named = tmp_path / "again.txt"
    named.write_text(cohort.KEY.recording(COUNTED))
    table = TableSettings(rate_hz=RATE_HZ / 2)
    assert run_ingest(cohort.settings(folder, tmp_path / "store", table=table, again=named)).done == 1
    assert cohort.rows(tmp_path / "store")[0][-1]["measured_seconds"] in (1199, 1200)


def test_table_settings_concern_only_tables(folder: Path, cohort_folder: Path) -> None:
    settings = TableSettings(unit="g")
    _, tables = list_sources(str(folder), cohort.KEY, settings)
    assert {source.name for source in tables} == {STAMPED, COUNTED, BROKEN}
    assert all(source.table == settings and "-" in source.fingerprint for source in tables)
    untold = {source.fingerprint for source in list_sources(str(folder), cohort.KEY)[1]}
    assert {source.file_state for source in tables} == untold
    for source in list_sources(str(cohort_folder), cohort.KEY, settings)[1]:
        assert "-" not in source.fingerprint


def test_mistakes_in_table_settings(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, message in (
        (["--columns", "x,y,z"], "--columns: expected time=NAME,x=NAME,y=NAME,z=NAME, found 'x,y,z'"),
        (["--unit", "furlongs"], "unit: expected one of g, m/s2, mg, found 'furlongs'"),
        (["--rate", "0.01"], "--rate: expected 1 to 1000 samples per second, found 0.01"),
    ):
        place = ["--recordings", str(folder), "--store", str(tmp_path / "store")]
        monkeypatch.setattr("sys.argv", ["ingest", *place, *flags])
        assert run_command(ingest, "ingest") == 1
        assert message in capsys.readouterr().err
    table = {"recordings": "a", "store": "b", "table": {"columns": "time=t,x=a,y=b,z=c", "unit": "g", "rate_hz": 30}}
    assert build(IngestSettings, table, "run.toml").table.named == {"time": "t", "x": "a", "y": "b", "z": "c"}
