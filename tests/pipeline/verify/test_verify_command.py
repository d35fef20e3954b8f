"""`persondays verify`: output, exit status, errors."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.store.store import Store
from tests.pipeline.verify.three_recordings import object_of, run


def test_the_command_reports_faults_in_its_output_and_exit_status(store: Store, tmp_path: Path) -> None:
    done = run(store.folder.url)
    assert done.returncode == 0, done.stderr
    assert "5 of 5 person-days read" in done.stdout
    assert done.stdout.endswith("no faults found\n")
    object_of(store, "motion", 0).unlink()
    done = run(store.folder.url, "--names-only", "--json", tmp_path / "found.json")
    assert done.returncode == 1
    assert "slots 0" in done.stdout
    result = json.loads((tmp_path / "found.json").read_text())
    assert (result["format"], result["whole"], result["person_days_read"]) == ("persondays-verify", False, 0)
    (finding,) = result["findings"]
    assert (finding["what"], finding["count"], finding["slots"]) == ("missing", 1, [0])
    for arguments in ((store.folder.url, "--names-only", "--sample", "3"), (store.folder.url, "more"), (tmp_path,)):
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
