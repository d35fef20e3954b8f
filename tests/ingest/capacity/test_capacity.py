"""The arithmetic of `persondays plan`: checked by hand, and properties that hold for any numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.capacity import estimate as arithmetic
from ingest.capacity.estimate import Machines, Rates, Workload, estimate
from ingest.capacity.requests import COMMIT, OPEN_STORE, PERSON_DAY, PROBE, read_requests
from ingest.capacity.trial import try_recording
from ingest.simulate.recording import simulate_recording
from pipeline.cli import run_command
from pipeline.errors import UserError

WORK = Workload.alike(1000, days=7, bytes_each=260e6, task_bytes=1.28e9)


def test_a_local_run_equals_arithmetic_by_hand() -> None:
    takes = estimate(WORK, Machines(1, cpus=2), Rates(cpu_s_per_day=0.5, stored_bytes_per_day=7e6))
    assert takes.bound == "CPU"
    assert takes.hours == pytest.approx(1000 * 7 * 0.5 / 2 / 3600)
    assert takes.bytes_written == 1000 * 7 * 7e6
    assert takes.bytes_read == 1000 * 260e6


def test_waiting_for_storage_adds_to_a_task() -> None:
    rates = Rates(cpu_s_per_day=0.5, stored_bytes_per_day=0, request_s=0.03)
    turns = OPEN_STORE.total + 1 + 8 * PERSON_DAY.total
    takes = estimate(WORK, Machines(2, cpus=4), rates)
    assert takes.recordings_s == pytest.approx(8 / (3.5 + 0.03 * turns))
    assert estimate(WORK, Machines(2, cpus=4), Rates(0.01, 0, request_s=0.03)).bound == "waiting for storage"


@pytest.mark.parametrize(
    ("machines", "rates", "bound"),
    [
        (Machines(1, 16, memory_bytes=10e9), Rates(0.5, 7e6), "memory"),
        (Machines(4, 16, network_bytes_s=1e8), Rates(0.5, 7e6), "network"),
        (Machines(64, 16), Rates(0.5, 7e6, driver_recordings_s=100), "driver"),
    ],
)
def test_the_scarcest_resource_bounds_the_speed(machines: Machines, rates: Rates, bound: str) -> None:
    takes = estimate(WORK, machines, rates)
    assert takes.bound == bound
    if bound == "memory":
        assert takes.tasks_at_once == 7
    if bound == "network":
        assert takes.recordings_s == pytest.approx(4 * 1e8 / (260e6 + 49e6))
    if bound == "driver":
        assert takes.recordings_s == 100


def test_a_task_larger_than_a_machine_still_runs_alone() -> None:
    assert estimate(WORK, Machines(3, 16, memory_bytes=1e9), Rates(0.5, 7e6)).tasks_at_once == 3


@given(
    st.integers(1, 10**6),
    st.floats(0.01, 60),
    st.floats(1e3, 1e10),
    st.integers(1, 500),
    st.integers(1, 256),
    st.floats(1e8, 1e12),
    st.floats(1e6, 1e11),
    st.floats(1e-3, 100),
    st.floats(0, 1),
)
def test_more_machines_never_take_longer(
    recordings: int,
    days: float,
    size: float,
    count: int,
    cpus: int,
    memory: float,
    network: float,
    cpu: float,
    latency: float,
) -> None:
    work = Workload.alike(recordings, days, size, task_bytes=1e9)
    rates = Rates(cpu, 7e6, latency, 10)
    one, more = (estimate(work, Machines(n, cpus, memory, network), rates) for n in (count, count + 1))
    assert 0 < more.hours <= one.hours
    assert math.isclose(one.node_hours, count * one.hours)
    assert one.hours * 3600 >= recordings * cpu * days / recordings
    assert one.cpu_hours <= one.node_hours * cpus * (1 + 1e-9)


def test_requests_equal_arithmetic_by_hand() -> None:
    seconds = 600.0
    found = arithmetic.requests(WORK, seconds)
    each = PROBE + OPEN_STORE + read_requests(260e6)
    assert found.put == arithmetic.RUN.put + 3 * 8000 + 10 * COMMIT.put + 120
    assert found.get == arithmetic.RUN.get + 1000 * each.get + 8000 * PERSON_DAY.get + 10 * COMMIT.get


def test_an_impossible_workload_is_refused() -> None:
    with pytest.raises(ValueError, match="workload"):
        Workload(10, signal_days=20, person_days=10, bytes_read=1, task_bytes=1)


def test_a_trial_ingests_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "one.cwa"
    path.parent.mkdir()
    simulate_recording(path, 0, 1, days=1 / 24)
    size, found = try_recording(str(path))
    assert size == path.stat().st_size
    assert found.signal_days == pytest.approx(1 / 24, rel=0.02)
    assert found.cpu_s > 0
    assert found.cold_s > 0
    assert found.stored_bytes > 10_000
    assert list(tmp_path.iterdir()) == [path.parent]


def test_a_recording_that_would_be_rejected_cannot_be_tried(tmp_path: Path) -> None:
    bad = tmp_path / "bad.cwa"
    bad.write_bytes(b"not a recording" * 100)
    with pytest.raises(UserError, match="would be rejected: "):
        try_recording(str(bad))


def test_the_command_prints_figures_for_programs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.capacity.command import plan

    arguments = ["plan", "--recordings", "500", "--days", "2", "--machines", "1", "--machines", "3", "--json", "-"]
    monkeypatch.setattr("sys.argv", arguments)
    assert run_command(plan, "plan") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["workload"]["signal_days"] == 1000
    assert [each["machines"]["count"] for each in found["takes"]] == [1, 3]


def test_the_docs_show_the_output_of_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.capacity.command import plan

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.argv", ["plan"])
    assert run_command(plan, "plan") == 0
    shown = [line.rstrip() for line in capsys.readouterr().out.partition("assumed:")[0].strip().splitlines()]
    page = (Path(__file__).parents[3] / "docs" / "scale.md").read_text()
    assert "\n".join(shown) in page, "docs/scale.md shows other figures: put in the output of `persondays plan`"
