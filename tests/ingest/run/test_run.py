"""A run from recordings to a store: what the store contains, what a second run does, and what stays secret."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.run.driver import processing, run_ingest
from ingest.settings import SignalSettings
from ingest.simulate.recording import simulate_recording
from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from pipeline.store.day_reader import MissingDay
from pipeline.store.lease import Lease
from pipeline.store.store import Store
from tests.ingest import cohort
from tests.ingest.cohort import ANNA, BAD, BEN, CLARA, GOOD, KEY

pytestmark = pytest.mark.usefixtures("ray_here")
ROOT = Path(__file__).parents[3]


def test_the_store_contains_the_results_of_the_signal_steps(cohort_folder: Path, undisturbed: Path) -> None:
    store, (days, recordings) = Store.open(str(undisturbed)), cohort.rows(undisturbed)
    assert len(days) == 5
    for name in GOOD:
        found = [row for row in days if row["recording"] == KEY.recording(name)]
        wanted = cohort.expected(cohort_folder / name)
        assert len(found) == len(wanted) == (2 if name == BEN else 1)
        for index, (row, want) in enumerate(zip(found, wanted, strict=True)):
            stored = store.read_day(row["slot"])
            np.testing.assert_array_equal(stored.signal_CT, want.person_day.signal_CT)
            np.testing.assert_array_equal(stored.motion_S, want.person_day.motion_S)
            np.testing.assert_array_equal(stored.state_S, want.person_day.state_S)
            assert row["checksum"] == stored.checksum()
            assert row["day"] == want.day.astype(object)
            assert row["day_index"] == index
            for figure, value in want.figures.items():
                assert row[figure] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), figure
        (recording,) = (row for row in recordings if row["recording"] == KEY.recording(name))
        assert recording["status"] == "done"
        assert recording["person_days"] == len(found)
        figures = json.loads(recording["figures"])
        assert figures["calibration"] == found[0]["calibration"] is not None
        assert figures["start"].startswith(str(wanted[0].day))


def test_slots_are_planned_without_overlap_in_the_order_of_ids_and_compressed_ones_last(undisturbed: Path) -> None:
    plan = Store.open(str(undisturbed)).plan.read().sort_by("first_slot").to_pylist()
    assert [row["recording"] for row in plan] == [
        *sorted(KEY.recording(name) for name in GOOD if name != CLARA),
        KEY.recording(CLARA),
    ]
    ends = np.cumsum([row["slots"] for row in plan])
    assert [row["first_slot"] for row in plan] == [0, *ends[:-1]]
    assert Store.open(str(undisturbed)).length == ends[-1]


def test_bad_recordings_are_rejected_with_the_reason_and_leave_nothing(undisturbed: Path) -> None:
    days, recordings = cohort.rows(undisturbed)
    rejected = {row["recording"]: row["reason"] for row in recordings if row["status"] == "rejected"}
    assert set(rejected) == {KEY.recording(name) for name in BAD}
    for name, part in BAD.items():
        assert part in rejected[KEY.recording(name)]
    assert not {row["recording"] for row in days} & set(rejected)
    assert len(cohort.objects(undisturbed)) == 3 * len(days)


def test_recordings_of_a_participant_are_joined_by_the_map(undisturbed: Path) -> None:
    days, _ = cohort.rows(undisturbed)
    owners = {row["recording"]: row["participant"] for row in days}
    assert {owners[KEY.recording(name)] for name in ANNA} == {KEY.participant("Anna Smith")}
    assert owners[KEY.recording(CLARA)] == KEY.participant("Clara")


def test_a_second_run_does_nothing_without_ray_and_lease(cohort_folder: Path, undisturbed: Path) -> None:
    before = Folder(str(undisturbed)).names()
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ingest.run.driver import run_ingest\n"
        "from tests.ingest import cohort\n"
        f"print(run_ingest(cohort.settings(Path({str(cohort_folder)!r}), Path({str(undisturbed)!r}))).text())\n"
        "assert 'ray' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing to do: 4 recordings done, 4 rejected" in done.stdout
    assert "--max-days" in done.stdout
    assert Folder(str(undisturbed)).names() == before


def test_names_and_serial_numbers_are_neither_in_the_store_nor_in_the_log(
    cohort_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Names of files and participants and serial numbers are in no byte or row of the store and no line of the log."""
    from ingest.devices.registry import decode

    caplog.set_level(logging.DEBUG)
    settings = cohort.settings(cohort_folder, tmp_path / "store", name_map=tmp_path / "names.csv")
    summary = run_ingest(settings)
    serials = [decode((cohort_folder / name).read_bytes(), name).serial for name in GOOD]
    files = [part.split(".")[0].encode() for name in (*GOOD, *BAD) for part in name.split("/")]
    people = [b"Anna Smith", b"Clara", b"Dora"]
    out, err = capfd.readouterr()
    output = "\n".join([out, err, summary.text(), *(record.getMessage() for record in caplog.records)])
    texts = [path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()]
    texts += [path.name.encode() for path in (tmp_path / "store").rglob("*")]
    texts += [json.dumps(table, default=str).encode() for table in cohort.rows(tmp_path / "store")]
    texts += [json.dumps(Store.open(settings.store).plan.read().to_pylist()).encode(), output.encode()]
    assert KEY.recording(next(iter(BAD)))[:12] in output
    for secret in {*files, *people, KEY.secret, KEY.secret.hex().encode()}:
        assert not [text for text in texts if secret in text], secret
    for serial in serials:  # short numbers: looked for in what is read, not in compressed bytes
        assert not [text for text in texts[-4:] if f'"{serial}"'.encode() in text]
    assert (tmp_path / "names.csv").stat().st_mode & 0o777 == 0o600
    assert f"{KEY.recording(CLARA)},{CLARA}" in (tmp_path / "names.csv").read_text()


def test_a_changed_recording_moves_to_new_slots_and_its_old_objects_go(copies: tuple[Path, Path]) -> None:
    recordings, store = copies
    before, _ = cohort.rows(store)
    version = Store.open(str(store)).person_days.version
    (old,) = (row["slot"] for row in before if row["recording"] == KEY.recording(ANNA[0]))
    simulate_recording(recordings / ANNA[0], 0, 1, days=cohort.HOUR / 2, start=np.datetime64("2024-05-06T23:45:00"))
    summary = run_ingest(cohort.settings(recordings, store))
    assert (summary.done, summary.person_days, summary.done_before, summary.replaced) == (1, 2, 3, 1)
    assert "1 recording had changed" in summary.text()
    after, _ = cohort.rows(store)
    assert [row for row in after if row["recording"] != KEY.recording(ANNA[0])] == [
        row for row in before if row["recording"] != KEY.recording(ANNA[0])
    ]
    assert [row["slot"] for row in after if row["recording"] == KEY.recording(ANNA[0])] == [5, 6]
    opened = Store.open(str(store))
    assert [want.person_day.checksum() for want in cohort.expected(recordings / ANNA[0])] == [
        opened.read_day(slot).checksum() for slot in (5, 6)
    ]
    with pytest.raises(MissingDay):
        opened.read_day(old)
    assert len(cohort.objects(store)) == 3 * len(after)
    swap = opened.person_days.at(version + 2).read().to_pylist()  # after the fence and one commit
    assert sorted(swap, key=lambda row: row["slot"]) == after


def test_a_changed_recording_that_cannot_be_read_now_keeps_its_days(
    copies: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the program says nothing about the file: the store keeps its days, and the run says so."""
    from ingest.run import phases
    from ingest.run.ingest_task import IngestTask

    recordings, store = copies
    before = cohort.rows(store), cohort.objects(store)
    simulate_recording(recordings / BEN, 0, 2, days=cohort.HOUR / 2, start=np.datetime64("2024-05-06T23:45:00"))

    class Faulty(IngestTask):
        def __call__(self) -> list[Any]:
            return [replace(found, reason="a fault", fault="a fault", is_external=True) for found in super().__call__()]

    tasks = phases.ingest_tasks
    monkeypatch.setattr(phases, "ingest_tasks", lambda *given: [Faulty(**vars(task)) for task in tasks(*given)])
    settings = cohort.settings(recordings, store)
    summary = run_ingest(settings)
    assert (summary.done, summary.kept) == (0, [(KEY.recording(BEN), "a fault")])
    days, rows = cohort.rows(store)
    assert (days, rows) == before[0]
    for row in days:
        assert Store.open(str(store)).read_day(row["slot"]).checksum() == row["checksum"]
    monkeypatch.undo()
    assert run_ingest(settings).done == 1
    assert len(cohort.objects(store)) == 3 * len(cohort.rows(store)[0])


def test_arrays_shortened_by_a_late_writer_grow_again(copies: tuple[Path, Path]) -> None:
    recordings, store = copies
    length = Store.open(str(store)).length
    for name in ("signal", "motion", "state"):
        file = store / name / "zarr.json"
        described = json.loads(file.read_text())
        described["shape"][0] = 1
        file.write_text(json.dumps(described))
    assert run_ingest(cohort.settings(recordings, store)).nothing_to_do
    assert Store.open(str(store)).length == length


def test_a_file_of_another_device_does_not_take_a_recordings_name(copies: tuple[Path, Path]) -> None:
    recordings, store = copies
    before = cohort.rows(store), cohort.objects(store)
    shutil.copy(recordings / ANNA[0], recordings / BEN)
    settings = cohort.settings(recordings, store)
    summary = run_ingest(settings)
    assert (summary.done, summary.replaced, summary.refused) == (0, 0, [KEY.recording(BEN)])
    assert "1 recording has the name of another device's recording" in summary.text()
    assert (cohort.rows(store), cohort.objects(store)) == before
    command = [sys.executable, "-m", "ingest", "--recordings", settings.recordings, "--store", settings.store]
    command += ["--participants", str(settings.participants), "--key-file", str(settings.key_file), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "have the names of other recordings" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_overwritten_recording_loses_its_days_and_a_repaired_one_gets_days(copies: tuple[Path, Path]) -> None:
    recordings, store = copies
    repaired = next(iter(BAD))
    (recordings / repaired).write_bytes((recordings / BEN).read_bytes())
    (recordings / BEN).write_bytes(b"overwritten by accident")
    summary = run_ingest(cohort.settings(recordings, store))
    assert (summary.done, len(summary.rejected)) == (1, 1)
    days, rows = cohort.rows(store)
    assert {row["recording"]: row["status"] for row in rows if row["recording"] == KEY.recording(BEN)} == {
        KEY.recording(BEN): "rejected"
    }
    assert [row["slot"] for row in days if row["recording"] == KEY.recording(repaired)] == [5, 6]
    assert KEY.recording(BEN) not in {row["recording"] for row in days}
    assert len(cohort.objects(store)) == 3 * len(days)


def test_rejected_recordings_are_tried_again_only_on_demand(copies: tuple[Path, Path]) -> None:
    recordings, store = copies
    settings = cohort.settings(recordings, store, retry_rejected=True, max_days=400)
    summary = run_ingest(settings)
    assert len(summary.rejected) == 4
    assert summary.done == 0
    reasons = {
        str(row["recording"]): str(row["reason"]) for row in cohort.rows(store)[1] if row["status"] == "rejected"
    }
    assert dict(summary.rejected) == reasons
    long = reasons[KEY.recording("1000077_90001_0_0.cwa")]
    assert "--max-days" not in long
    assert "clock" in long


def test_relative_dates_keep_only_the_time_of_day(cohort_folder: Path, tmp_path: Path) -> None:
    settings = cohort.settings(
        cohort_folder, tmp_path / "store", recordings=str(cohort_folder / BEN), relative_dates=True, participants=None
    )
    run_ingest(settings)
    days, (recording,) = cohort.rows(settings.store)
    assert [(row["day"], row["day_index"]) for row in days] == [(None, 0), (None, 1)]
    assert json.loads(recording["figures"])["start"].startswith("23:30:0")
    assert "2024" not in json.dumps(days)
    with pytest.raises(UserError, match="relative_dates: store True, now False"):
        run_ingest(cohort.settings(cohort_folder, tmp_path / "store", recordings=str(cohort_folder / BEN)))


def test_settings_of_the_signal_reach_the_worker(cohort_folder: Path, tmp_path: Path) -> None:
    signal = SignalSettings(resampling="nearest")
    settings = cohort.settings(
        cohort_folder,
        tmp_path / "store",
        recordings=str(cohort_folder / "anna.smith"),
        signal=signal,
        codec="zstd",
        participants=None,
    )
    run_ingest(settings)
    days, _ = cohort.rows(settings.store)
    wanted = {want.person_day.checksum() for name in ANNA for want in cohort.expected(cohort_folder / name, signal)}
    assert {row["checksum"] for row in days} == wanted
    assert Store.open(settings.store).codec == "zstd"


def test_a_store_that_cannot_be_written_stops_the_run_and_rejects_nothing(cohort_folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    Store.create(str(store), KEY, processing(cohort.settings(cohort_folder, store)))
    (store / "motion" / "c").write_text("in the way")
    with pytest.raises(UserError, match="store cannot be written"):
        run_ingest(cohort.settings(cohort_folder, store))
    assert {row["recording"] for row in cohort.rows(store)[1]} <= {KEY.recording(name) for name in BAD}
    os.unlink(store / "motion" / "c")
    assert run_ingest(cohort.settings(cohort_folder, store)).done == 4


def test_a_second_driver_is_refused(copies: tuple[Path, Path]) -> None:
    recordings, store = copies
    (recordings / BEN).touch()
    with Lease(Folder(str(store))), pytest.raises(UserError, match="another run is writing this store"):
        run_ingest(cohort.settings(recordings, store))
    assert run_ingest(cohort.settings(recordings, store)).done == 1


def test_real_recordings(real_data: Path, tmp_path: Path) -> None:
    """The four public Axivity files, one of them with six damaged blocks, and a table of one of them."""
    folder = real_data / "recordings" / "axivity"
    settings = cohort.settings(tmp_path / "unused", tmp_path / "store", participants=None, recordings=str(folder))
    summary = run_ingest(settings)
    assert (summary.done, summary.rejected) == (5, [])
    days, recordings = cohort.rows(settings.store)
    days = [row for row in days if row["device"] != "table"]
    figures = {row["recording"]: json.loads(row["figures"]) for row in recordings}
    corrupt = "ax3_testfile_corrupt_blocks_0_13_14_142_143_144.cwa"
    assert figures[KEY.recording(corrupt)]["damaged_blocks"] == 6
    assert figures[KEY.recording(corrupt)]["samples"] == 16_680
    assert figures[KEY.recording("ax3_testfile.cwa")]["samples"] == 17_400
    assert figures[KEY.recording("ax6_testfile.cwa")]["device"] == "AX6"
    for row in days:
        (want,) = (
            want
            for path in folder.glob("*.cwa")
            if KEY.recording(path.name) == row["recording"]
            for want in cohort.expected(path)
            if want.day.astype(object) == row["day"]
        )
        assert row["checksum"] == want.person_day.checksum()


def test_participants_who_withdrew_are_left_out_of_every_later_run(copies: tuple[Path, Path]) -> None:
    recordings, store = copies
    before = cohort.rows(store)
    simulate_recording(recordings / "clara" / "another.cwa", 0, 9, days=cohort.HOUR)
    Store.open(str(store)).withdrawals.begin([KEY.participant("Clara")], date(2026, 3, 4))
    summary = run_ingest(cohort.settings(recordings, store))
    assert summary.nothing_to_do
    assert "2 left out (withdrawn)" in summary.text()
    assert cohort.rows(store) == before
