"""UTD-MHAD as a paired folder, from small .mat files made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat
from typer.testing import CliRunner

from pipeline.errors import UserError
from train.labelled.command import labelled
from train.labelled.paired import read_paired, write_paired
from train.labelled.utd_mhad import ACTIONS, find_pairs, pair_utd_mhad

KINDS = {"inertial": ("Inertial", "d_iner", (6,)), "skeleton": ("Skeleton", "d_skel", (20, 3))}


def write(folder: Path, trial: str, modality: str, values: NDArray[Any], name: str | None = None) -> Path:
    """A file as published: `values` has time first, which the skeleton's file has last."""
    below, variable, _ = KINDS[modality]
    path = folder / below / f"{trial}_{modality}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {name or variable: values if modality == "inertial" else np.moveaxis(values, 0, -1)})
    return path


def waves(samples: int, each: tuple[int, ...], cycles: int) -> NDArray[np.float64]:
    """Every channel is `cycles` periods of a sine, times its number."""
    wave_T = np.sin(2 * np.pi * cycles * np.arange(samples) / samples)
    return np.multiply.outer(wave_T, 1.0 + np.arange(np.prod(each)).reshape(each))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Three trials of two people; their lengths and numbers of periods differ."""
    folder = tmp_path / "UTD-MHAD"
    for cycles, (trial, samples) in enumerate({"a2_s10_t1": 80, "a2_s2_t4": 90, "a27_s2_t1": 101}.items(), 1):
        write(folder, trial, "inertial", waves(samples, (6,), cycles))
        write(folder, trial, "skeleton", waves(samples // 2, (20, 3), cycles))
    return folder


def test_trials_are_resampled_and_paired(published: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(labelled, ["utd-mhad", str(published), str(tmp_path / "out"), "--steps", "30"])
    assert done.exit_code == 0, done.output
    assert "3 trials of 2 people and 2 activities, in inertial and skeleton" in done.output
    trials = read_paired(tmp_path / "out")
    assert trials.y_N.tolist() == [ACTIONS[1], ACTIONS[26], ACTIONS[1]] == ["swipe right", "squat", "swipe right"]
    assert trials.pid_N.tolist() == ["2", "2", "10"]
    assert trials.trial_N.tolist() == [4, 1, 1]
    for modality, (_, _, each) in KINDS.items():
        expected = np.stack([waves(30, each, cycles) for cycles in (2, 3, 1)])
        np.testing.assert_allclose(trials.x[modality], expected, atol=1e-4)
        assert trials.x[modality].dtype == np.float32
    info = json.loads((tmp_path / "out" / "info.json").read_text())
    assert info["labels"] == {"squat": 1, "swipe right": 2}
    assert info["rates_hz"] == {"inertial": 50, "skeleton": 30}
    assert info["shortest_and_longest_s"] == {"inertial": [1.6, 2.02], "skeleton": [1.33, 1.67]}
    assert {"units", "licence", "places", "steps"} <= set(info)


def refused(folder: Path, *expected: str) -> None:
    with pytest.raises(UserError) as error:
        pair_utd_mhad(find_pairs(folder), 30)
    for words in expected:
        assert words in str(error.value)


def test_missing_files(published: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "found none", "a1_s1_t1_inertial.mat")
    (published / "Skeleton" / "a2_s2_t4_skeleton.mat").rename(tmp_path / "away.mat")
    refused(published, "one without the other", "a2_s2_t4_inertial.mat")
    for repetition in range(1, 6):
        write(published, f"a1_s1_t{repetition}", "skeleton", waves(40, (20, 3), 1))
    refused(published, "a1_s1_t2_skeleton.mat and 3 more")


def test_files_that_are_there_twice_and_unknown_actions(published: Path) -> None:
    other = published / "copy"
    other.mkdir()
    (other / "a2_s2_t4_inertial.mat").write_bytes((published / "Inertial" / "a2_s2_t4_inertial.mat").read_bytes())
    refused(published, "one file of that name")
    (other / "a2_s2_t4_inertial.mat").rename(other / "a28_s2_t4_inertial.mat")
    refused(published, "an action from 1 to 27", "found 28")


@pytest.mark.parametrize("modality", KINDS)
def test_damaged_files(published: Path, modality: str) -> None:
    each, trial = KINDS[modality][2], "a2_s2_t4"
    good = write(published, trial, modality, waves(60, each, 1))
    data = good.read_bytes()
    for damaged in (b"", data[:100], data[: len(data) // 2], b"no MATLAB file " * 40):
        good.write_bytes(damaged)
        refused(published, good.name, "expected a MATLAB file with", "Unpack the file again")
    write(published, trial, modality, waves(60, each, 1), name="other")
    refused(published, good.name, "no such variable")
    write(published, trial, modality, waves(60, (5, *each[1:]), 1))
    refused(published, good.name, "the shape")
    write(published, trial, modality, waves(1, each, 1))
    refused(published, good.name, "the shape")
    with_nan = waves(60, each, 1)
    with_nan[30] = np.nan
    write(published, trial, modality, with_nan)
    refused(published, good.name, "NaN")
    savemat(good, {KINDS[modality][1]: "text"})
    refused(published, good.name)


def test_a_file_that_crashes_its_reader(published: Path) -> None:
    path = published / "Inertial" / "a2_s2_t4_inertial.mat"
    data = bytearray(path.read_bytes())
    data[184] ^= 0x55  # the type of the values: scipy 1.17 then ends its process
    path.write_bytes(data)
    refused(published, path.name, "expected a MATLAB file with d_iner")


def test_folders_are_written_whole_and_read_back_only_unchanged(published: Path, tmp_path: Path) -> None:
    trials, facts = pair_utd_mhad(find_pairs(published), 30)
    write_paired(tmp_path / "out", trials, "a test", facts)
    write_paired(tmp_path / "out", trials, "again", facts)
    np.save(tmp_path / "out" / "Y.npy", np.array(["walk"]))
    with pytest.raises(UserError, match="complete and unchanged"):
        read_paired(tmp_path / "out")
    with pytest.raises(UserError, match="complete and unchanged"):
        read_paired(published)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match="thesis"):
        write_paired(tmp_path / "mine", trials, "a test", facts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["UTD-MHAD", "mine", "out"]
