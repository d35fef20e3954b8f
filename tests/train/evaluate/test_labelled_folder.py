"""A labelled set is read, converted and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UserError
from tests.train.evaluate.labelled_sets import save, walkers
from train.evaluate.dataset import read_labelled


def test_a_set_is_read_unchanged(tmp_path: Path) -> None:
    x, y, pid = walkers()
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    assert np.array_equal(data.x_NCT, x.transpose(0, 2, 1))
    assert data.classes == ("moving", "side", "up")
    assert [data.classes[k] for k in data.y_N] == y.tolist()
    assert [data.people[p] for p in data.person_N] == pid.tolist()
    assert data.notes == ()


@pytest.mark.parametrize("missing", ["", " ", "nan", "None", "<NA>", float("nan")])
def test_windows_without_a_label_are_left_out_and_counted(tmp_path: Path, missing: Any) -> None:
    x, y, pid = walkers()
    numbers = np.unique(y, return_inverse=True)[1].astype(float)
    labels = numbers if isinstance(missing, float) else y.astype("<U8")
    labels[[3, 50]] = missing
    x[3] = np.nan  # what was not labelled may not have been measured either
    data = read_labelled(save(tmp_path / "set", x, labels, pid), 150, rate_hz=30)
    assert len(data.classes) == 3
    assert np.array_equal(data.x_NCT, np.delete(x, [3, 50], 0).transpose(0, 2, 1))
    assert [data.people[p] for p in data.person_N] == np.delete(pid, [3, 50]).tolist()
    assert any(f"2 of {len(x)} windows have no label" in note for note in data.notes)
    x[60, 0, 0] = np.inf
    with pytest.raises(UserError, match="window 60"):
        read_labelled(save(tmp_path / "bad", x, labels, pid), 150, rate_hz=30)
    labels[:] = missing
    with pytest.raises(UserError, match="only missing values"):
        read_labelled(save(tmp_path / "none", x, labels, pid), 150, rate_hz=30)


def test_windows_without_a_person_are_left_out(tmp_path: Path) -> None:
    x, y, pid = walkers()
    pid[7] = ""
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    assert len(data.x_NCT) == len(x) - 1
    assert any("1 of " in note and "no person" in note for note in data.notes)


@pytest.mark.parametrize(
    ("found", "ticks", "hertz"),
    [(150, 300, 15), (900, 300, 90), (300, 150, 60), (900, 150, 180), (300, 900, 10), (450, 300, 45)],
)
def test_windows_that_look_like_another_length_need_a_rate(tmp_path: Path, found: int, ticks: int, hertz: int) -> None:
    folder = save(tmp_path / "set", *walkers(ticks=found, rate=hertz))
    with pytest.raises(UserError, match=rf"{found} ticks without a rate.* or {hertz} Hz\. Give their --rate"):
        read_labelled(folder, ticks)
    assert read_labelled(folder, ticks, rate_hz=hertz).x_NCT.shape[2] == ticks


def test_a_rate_of_a_device_is_assumed(tmp_path: Path) -> None:
    data = read_labelled(save(tmp_path / "set", *walkers(ticks=1000, rate=100)), 300)
    assert "assuming that 1000 ticks last 10 s, 100 Hz" in data.notes[0]


def test_a_class_of_one_person_is_noted(tmp_path: Path) -> None:
    x, y, pid = walkers()
    y = np.where((pid == "person 3") & (y == "moving"), "dancing", y)
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=30)
    assert len(data.notes) == 1
    assert data.notes[0].endswith("tested: dancing")


def test_channels_first_and_unknown_rate_are_recognised_and_noted(tmp_path: Path) -> None:
    x, y, pid = walkers()
    data = read_labelled(save(tmp_path / "set", x.transpose(0, 2, 1), y, pid), 150)
    assert np.array_equal(data.x_NCT, x.transpose(0, 2, 1))
    assert "channels-first" in data.notes[0]
    assert "30 Hz" in data.notes[1]


@pytest.mark.parametrize(("rate", "ticks"), [(100.0, 500), (20.0, 100), (31.25, 156), (64.0, 320)])
def test_other_rates_are_resampled(tmp_path: Path, rate: float, ticks: int) -> None:
    x, y, pid = walkers(people=2, each=2, ticks=ticks, rate=rate)
    phase = np.arange(ticks) / rate
    x[0] = np.stack((np.sin(2 * np.pi * 1.5 * phase), 1 + 0 * phase, 0.5 * np.cos(2 * np.pi * 3 * phase)), 1)
    data = read_labelled(save(tmp_path / "set", x, y, pid), 150, rate_hz=rate)
    at = np.arange(150) / 30
    expected = np.stack((np.sin(2 * np.pi * 1.5 * at), 1 + 0 * at, 0.5 * np.cos(2 * np.pi * 3 * at)))
    np.testing.assert_allclose(data.x_NCT[0][:, 12:-12], expected[:, 12:-12], atol=0.02)
    assert any("resampled" in note for note in data.notes)


def test_the_rate_of_info_json_is_used(tmp_path: Path) -> None:
    folder = save(tmp_path / "set", *walkers(ticks=100, rate=20))
    (folder / "info.json").write_text(json.dumps({"rate_hz": 20}))
    assert read_labelled(folder, 150).x_NCT.shape[2] == 150
    (folder / "info.json").write_text("{}")
    with pytest.raises(UserError, match="rate_hz"):
        read_labelled(folder, 150)


def test_faults_of_a_set_are_reported(tmp_path: Path) -> None:
    x, y, pid = walkers()
    nan = x.copy()
    nan[17, 3, 1] = np.nan
    cases: dict[str, tuple[Any, Any, Any, str]] = {
        "short": (x, y[:-1], pid, "143 in Y.npy"),
        "empty": (x[:0], y[:0], pid[:0], "0 in X.npy"),
        "flat": (x.reshape(len(x), -1), y, pid, r"\(windows, ticks, 3\)"),
        "two axes": (x[:, :, :2], y, pid, r"\(windows, ticks, 3\)"),
        "text": (y, y, pid, r"\(windows, ticks, 3\)"),
        "one hot": (x, np.eye(3)[np.zeros(len(x), int)], pid, "one-hot"),
        "nan": (nan, y, pid, "window 17"),
        "ms2": (x * 9.80665, y, pid, "looks like m/s².*9.80665"),
        "mg": (x * 1000, y, pid, "looks like mg"),
        "one person": (x, y, np.full(len(x), "me"), "person 'me'"),
        "one class": (x, np.full(len(x), "sit"), pid, "class 'sit'"),
        "objects": (x, y.astype(object), pid, "astype"),
        "length": (x[:, :75], y, pid, "windows of 5 s .* found 75 ticks"),
    }
    for name, (bad_x, bad_y, bad_pid, message) in cases.items():
        with pytest.raises(UserError, match=message):
            read_labelled(save(tmp_path / name, bad_x, bad_y, bad_pid), 150, rate_hz=30)
    folder = save(tmp_path / "set", x, y, pid)
    with pytest.raises(UserError, match="--rate"):
        read_labelled(folder, 150, rate_hz=0)
    (folder / "pid.npy").unlink()
    with pytest.raises(UserError, match="no such file"):
        read_labelled(folder, 150)
    (folder / "pid.npy").write_text("person")
    with pytest.raises(UserError, match="expected an array"):
        read_labelled(folder, 150)


def test_removed_gravity_is_noted(tmp_path: Path) -> None:
    x, y, pid = walkers()
    data = read_labelled(save(tmp_path / "set", x - x.mean(1, keepdims=True), y, pid), 150, rate_hz=30)
    assert any("gravity" in note for note in data.notes)
