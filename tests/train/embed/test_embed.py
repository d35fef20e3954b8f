"""`persondays embed`: every window by hand, pools, resuming after SIGKILL, several processes, what it refuses."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from pipeline import grid
from pipeline.cli import run_command
from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.storage.folder import Folder
from pipeline.store.person_day import PersonDay, motion
from pipeline.store.states import BAD, IDLE, MEASURED, NONWEAR
from pipeline.store.store import Store
from tests.train.days import NoiseDays, write_store
from tests.train.harnet_file import write_harnet
from tests.waiting import PATIENCE_S, until
from train.distributed.processes import Processes
from train.embed.command import embed as embed_command
from train.embed.days import batches, choose_windows, read_day
from train.embed.run import EmbedSettings, embed
from train.embed.table import read_facts, read_index, read_vectors
from train.networks import Encoder, NetworkSettings, make_network

DAYS = 6
TOLERANCE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of two participants with three days each of 15 minutes of noise; tests must not change it."""
    return write_store(str(tmp_path_factory.mktemp("noise") / "store"), 2, 3, made=NoiseDays()).folder.url


@pytest.fixture(scope="module")
def network() -> Encoder:
    torch.manual_seed(0)
    return make_network(NetworkSettings("harnet10", 0.0625)).eval()


@pytest.fixture(scope="module")
def weights(network: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as a file of harnet weights."""
    return write_harnet(network, tmp_path_factory.mktemp("weights") / "weights.safetensors")


def embedded(network: Encoder, store: str, out: Path, **settings: Any) -> pa.Table:
    embed(network, store, str(out), EmbedSettings(**settings), Processes(1))
    return pq.read_table(out)


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def by_hand(network: Encoder, store: str, slot: int, start: int) -> NDArray[np.float32]:
    signal_CT = Store.open(store).read_day(slot).signal_CT[:, start * 30 : start * 30 + network.ticks]
    assert (signal_CT != grid.FILL).all()
    with torch.no_grad():
        found: NDArray[np.float32] = network(torch.from_numpy(signal_CT / np.float32(1024))[None]).flatten().numpy()
    return found


def test_every_window_that_is_eligible_throughout_has_its_features(
    network: Encoder, noise: str, tmp_path: Path
) -> None:
    rows = embedded(network, noise, tmp_path / "out", stride_s=7)
    assert rows.schema.names == ["slot", "start_second", "time", "eligible_share", "windows", "participant", "vector"]
    assert rows.schema.field("vector").type == pa.list_(pa.float32(), network.features)
    expected = []
    for slot in range(DAYS):
        state = Store.open(noise).read_day(slot).state_S
        good = (state & MEASURED != 0) & (state & (NONWEAR | BAD) == 0)
        expected += [(slot, start) for start in range(0, 86_391, 7) if good[start : start + 10].all()]
    assert list(zip(rows["slot"].to_pylist(), rows["start_second"].to_pylist(), strict=True)) == expected
    assert set(rows["eligible_share"].to_pylist()) == {1.0}
    assert set(rows["windows"].to_pylist()) == {1}
    assert rows["participant"].to_pylist() == [f"{slot // 3:064x}" for slot, _ in expected]
    for row in (0, 17, len(expected) // 2, len(expected) - 1):
        np.testing.assert_allclose(rows["vector"][row].as_py(), by_hand(network, noise, *expected[row]), **TOLERANCE)


def test_readers_find_rows_by_slot(network: Encoder, noise: str, tmp_path: Path) -> None:
    rows = embedded(network, noise, tmp_path / "out", days_per_file=4)
    slot_N, start_N = read_index(str(tmp_path / "out"))
    assert slot_N.tolist() == rows["slot"].to_pylist()
    assert start_N.tolist() == rows["start_second"].to_pylist()
    (one,) = read_vectors(str(tmp_path / "out"), slots=[5])
    assert one.start_N.tolist() == start_N[slot_N == 5].tolist()
    np.testing.assert_array_equal(one.vector_NF, np.array(rows["vector"].to_pylist(), np.float32)[slot_N == 5])


def test_pools_are_means_of_the_windows_that_begin_in_them(network: Encoder, noise: str, tmp_path: Path) -> None:
    windows = embedded(network, noise, tmp_path / "windows", min_eligible=0.4)
    vectors = np.array(windows["vector"].to_pylist())
    slots, starts = np.array(windows["slot"]), np.array(windows["start_second"])
    for pool, length in (("minute", 60), ("hour", 3600), ("day", 86_400)):
        rows = embedded(network, noise, tmp_path / pool, pool=pool, min_eligible=0.4)
        places = sorted({(slot, start // length * length) for slot, start in zip(slots, starts, strict=True)})
        assert list(zip(rows["slot"].to_pylist(), rows["start_second"].to_pylist(), strict=True)) == places
        for row in (0, len(places) - 1):
            slot, first = places[row]
            own = (slots == slot) & (starts >= first) & (starts < first + length)
            assert rows["windows"][row].as_py() == own.sum()
            np.testing.assert_allclose(rows["vector"][row].as_py(), vectors[own].mean(0), **TOLERANCE)
            state = Store.open(noise).read_day(slot).state_S[first : first + length]
            good = (state & MEASURED != 0) & (state & (NONWEAR | BAD) == 0)
            assert rows["eligible_share"][row].as_py() == pytest.approx(good.mean())


def test_windows_are_measured_throughout_and_eligible_enough() -> None:
    state = np.full(86_400, MEASURED, np.uint8)
    state[100:200] |= NONWEAR
    state[300:310] = IDLE
    state[400:402] |= BAD
    start, share = choose_windows(state, 10, 5, 0.5)
    shares = dict(zip(start.tolist(), share.tolist(), strict=True))
    assert shares[0] == 1
    assert shares[95] == 0.5
    assert 100 not in shares
    assert not {295, 300, 305} & set(shares), "idle seconds have no samples"
    assert shares[395] == pytest.approx(0.8)
    assert start[-1] == 86_390
    assert set(choose_windows(state, 10, 5, 1.0)[1].tolist()) == {1}


def test_the_time_is_that_of_the_device_and_its_day(network: Encoder, tmp_path: Path) -> None:
    store = write_store(str(tmp_path / "store"), 1, 2, made=NoiseDays())
    rows = store.person_days.read().to_pylist()
    store.person_days.replace([rows[0]["recording"]], [row | {"day": date(2026, 3, 28 + row["slot"])} for row in rows])
    found = embedded(network, store.folder.url, tmp_path / "out")
    for slot, second, time in zip(*(found[name].to_pylist() for name in ("slot", "start_second", "time")), strict=True):
        midnight = datetime(2026, 3, 28 + slot, tzinfo=UTC).replace(tzinfo=None)
        assert time == midnight + timedelta(seconds=second)


def test_batches_go_on_over_days_and_over_hours(noise: str) -> None:
    store = Store.open(noise)
    days = [read_day(store.days.open_day(slot), 10, 10, 1.0) for slot in range(3)]
    cut = [list(pieces) for pieces in batches(days, 50)]
    sizes = [sum(which.stop - which.start for _, which in pieces) for pieces in cut]
    assert sizes[:-1] == [50] * (len(sizes) - 1)
    assert sum(sizes) == sum(len(day.start_W) for day in days)
    assert any(len(pieces) > 1 for pieces in cut)
    day = days[0]
    expected = [store.read_day(0).signal_CT[:, 30 * start : 30 * start + 300] for start in day.start_W]
    assert np.array_equal(day.windows(slice(0, len(expected)), 10).numpy(), np.stack(expected))


def command(weights: Path, store: str, out: Path, *more: object, processes: int = 1) -> list[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    flags = ["--model", weights, "--store", store, "--out", out, "--threads", 1, *more]
    return [sys.executable, *torchrun, "-m", "train.embed", *map(str, flags)]


def has_files(folder: Path, count: int) -> bool:
    return folder.exists() and len(Folder(str(folder)).names()) >= count


def ran(flags: list[str]) -> str:
    """Run a command to its end, and return what it printed."""
    done = subprocess.run(flags, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_killed_twice_it_writes_the_same_files(network: Encoder, weights: Path, noise: str, tmp_path: Path) -> None:
    embedded(network, noise, tmp_path / "straight", days_per_file=1)
    out, gate = tmp_path / "out", tmp_path / "gate"
    flags = command(weights, noise, out, "--days-per-file", 1)
    flags[1:3] = ["-m", "tests.train.embed.held"]
    for written in (2, 4):
        held = [*flags[:3], "2", str(gate), *flags[3:]]
        with subprocess.Popen(held, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                until(partial(has_files, out, written), process)
            finally:
                process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert len(Folder(str(out)).names()) == written
        (out / f".part-0000009-aaaaaaaaaaaa.parquet.{written}.partial").write_text("left by a killed writer")
    assert "6 person-days in 6 files" in ran(command(weights, noise, out, "--days-per-file", 1))
    assert files(out) == files(tmp_path / "straight")
    assert "0 windows embedded now" in ran(command(weights, noise, out, "--days-per-file", 1))


def test_several_processes_write_the_same_files(network: Encoder, weights: Path, noise: str, tmp_path: Path) -> None:
    embedded(network, noise, tmp_path / "one", days_per_file=2)
    ran(command(weights, noise, tmp_path / "three", "--days-per-file", 2, processes=3))
    assert files(tmp_path / "three") == files(tmp_path / "one")


def test_new_days_are_added_and_those_of_the_withdrawn_dropped(network: Encoder, noise: str, tmp_path: Path) -> None:
    shutil.copytree(noise, tmp_path / "store")
    store = Store.open(str(tmp_path / "store"))
    before = embedded(network, store.folder.url, tmp_path / "out", days_per_file=2)
    kept = files(tmp_path / "out")
    store.withdrawals.begin([f"{0:064x}"], date(2026, 1, 1))
    after = embedded(network, store.folder.url, tmp_path / "out", days_per_file=2)
    assert set(after["slot"].to_pylist()) == {3, 4, 5}
    assert after.num_rows < before.num_rows
    changed = {
        name for name in {*kept, *files(tmp_path / "out")} if kept.get(name) != files(tmp_path / "out").get(name)
    }
    assert {name[:12] for name in changed} == {"part-0000000", "part-0000001"}
    day = NoiseDays().read_day(6)
    store.grow(7)
    store.write_day(6, day)
    store.person_days.append([{"slot": 6, "participant": f"{2:064x}", "recording": f"{2:064x}"}])
    assert set(embedded(network, store.folder.url, tmp_path / "out", days_per_file=2)["slot"].to_pylist()) == {
        3,
        4,
        5,
        6,
    }


def test_when_everybody_has_withdrawn_nothing_is_left(network: Encoder, noise: str, tmp_path: Path) -> None:
    shutil.copytree(noise, tmp_path / "store")
    store = Store.open(str(tmp_path / "store"))
    embedded(network, store.folder.url, tmp_path / "out")
    store.withdrawals.begin([f"{0:064x}", f"{1:064x}"], date(2026, 1, 1))
    with pytest.raises(UserError, match="participants who have not withdrawn, found none"):
        embedded(network, store.folder.url, tmp_path / "out")
    assert files(tmp_path / "out") == {}
    empty = Store.create(str(tmp_path / "empty"), Key(bytes(32)), {"made": "for tests"})
    with pytest.raises(UserError, match=r"expected person-days to read, found none\. Ingest recordings first"):
        embedded(network, empty.folder.url, tmp_path / "else")


def test_a_day_that_cannot_be_read_is_named_after_the_rest_is_written(
    network: Encoder, noise: str, tmp_path: Path
) -> None:
    shutil.copytree(noise, tmp_path / "store")
    (tmp_path / "store/signal/c/2/0/0").unlink()
    with pytest.raises(UserError, match=r"1 person-days cannot be read \(slots 2\).*verify --repair"):
        embedded(network, str(tmp_path / "store"), tmp_path / "out", days_per_file=1)
    assert sorted(int(name[5:12]) for name in files(tmp_path / "out")) == [0, 1, 3, 4, 5]
    with pytest.raises(UserError, match=r"\(slots 2\).* missing, with 2 person-days \(slots 2 to 3\)"):
        embedded(network, str(tmp_path / "store"), tmp_path / "pairs", days_per_file=2)


def test_a_day_without_windows_has_no_rows(network: Encoder, tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"), Key(bytes(32)), {"made": "for tests"})
    store.grow(1)
    signal_CT = np.full((3, grid.TICKS_PER_DAY), grid.FILL, np.int16)
    state = np.zeros(grid.SECONDS_PER_DAY, np.uint8)
    store.write_day(0, PersonDay(signal_CT, motion(signal_CT, state), state))
    store.person_days.append([{"slot": 0, "participant": f"{1:064x}", "recording": f"{1:064x}"}])
    assert embedded(network, store.folder.url, tmp_path / "out").num_rows == 0
    assert len(files(tmp_path / "out")) == 1


def test_another_table_and_foreign_files_are_refused(network: Encoder, noise: str, tmp_path: Path) -> None:
    embedded(network, noise, tmp_path / "out")
    facts = read_facts(Folder(str(tmp_path / "out")), next(iter(files(tmp_path / "out"))))
    assert facts is not None
    assert (facts["preset"], facts["features"], facts["stride_s"]) == ("harnet10", network.features, 10)
    torch.manual_seed(1)
    with pytest.raises(UserError, match=r"holds another table of features \(model_sha256: there"):
        embedded(make_network(NetworkSettings("harnet10", 0.0625)).eval(), noise, tmp_path / "out")
    with pytest.raises(UserError, match=r"stride_s: there 10, now 5"):
        embedded(network, noise, tmp_path / "out", stride_s=5)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"found thesis\.tex"):
        embedded(network, noise, tmp_path / "mine")
    with pytest.raises(UserError, match="expected a window store"):
        embedded(network, str(tmp_path / "mine"), tmp_path / "else")


def test_the_command_line_refuses_what_does_not_fit(
    weights: Path,
    noise: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("PERSONDAYS_KEY", raising=False)
    flags = ["--model", str(weights), "--out", str(tmp_path / "out")]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    for more, message in (
        ([], "--store or --recordings: expected one"),
        (["--store", noise, "--", "--id-regex", "P"], "flags for ingest need --recordings"),
        (["--store", noise, "--key-file", "key"], "--key-file: only ingest needs the key"),
        (["--recordings", str(tmp_path / "none")], "ended with exit status 1"),
        (["--recordings", str(tmp_path / "none"), "--out", str(tmp_path / "mine")], "found thesis.tex"),
    ):
        monkeypatch.setattr(sys, "argv", ["embed", *flags, *more])
        assert run_command(embed_command, "embed") == 1
        stderr = capfd.readouterr().err
        assert message in stderr
        assert "Traceback" not in stderr
