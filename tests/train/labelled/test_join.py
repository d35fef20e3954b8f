"""Several labelled sets as one, by the activities that they share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from train.evaluate.dataset import read_labelled
from train.evaluate.protocols import domain_splits
from train.labelled.files import LabelledWindows, write_labelled
from train.labelled.join import join_sets, read_names

SECONDS = 10


def write_set(folder: Path, activities: list[str], people: int = 2) -> Path:
    """A set with three windows for each person and activity; window n of a set is filled with n / 100."""
    y_N = [activity for _ in range(people) for activity in activities for _ in range(3)]
    pid_N = [str(person) for person in range(people) for _ in activities for _ in range(3)]
    x_NTC = np.empty((len(y_N), SECONDS * 30, 3), np.float32)
    x_NTC[:] = np.arange(len(y_N))[:, None, None] / 100
    x_NTC[..., 2] += 1
    write_labelled(folder, LabelledWindows(x_NTC, y_N, pid_N), "made", {})
    return folder


@pytest.fixture
def sets(tmp_path: Path) -> list[Path]:
    one = write_set(tmp_path / "one", ["walking", "sitting_down", "chess"])
    return [one, write_set(tmp_path / "two", ["Sitting Down", "WALKING", "rowing"])]


def test_shared_activities_are_kept_with_their_windows(sets: list[Path], tmp_path: Path) -> None:
    windows, facts = join_sets(sets, None)
    assert set(windows.y_N) == {"walking", "sitting_down"}
    assert facts == {"sets": {"one": 12, "two": 12}, "windows_of_other_activities": {"one": 6, "two": 6}}
    assert set(windows.pid_N) == {"one:0", "one:1", "two:0", "two:1"}
    write_labelled(tmp_path / "both", windows, "both", facts)
    data = read_labelled(tmp_path / "both", SECONDS * 30, column="dataset")
    original = read_labelled(sets[1], SECONDS * 30)
    walking = original.x_NCT[original.y_N == original.classes.index("WALKING")]
    assert data.domain_N is not None
    kept_N = (data.domain_N == "two") & (data.y_N == data.classes.index("walking"))
    np.testing.assert_array_equal(data.x_NCT[kept_N], walking)
    for split in domain_splits(data, data.domain_N, 2, 0, ()):
        assert set(data.domain_N[split.test_N]) == {split.domain}
        assert split.domain not in set(data.domain_N[split.train_N])


def test_a_table_says_which_activities_are_the_same(sets: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "same.csv"
    table.write_text(
        "set,activity,shared\none,chess,other\ntwo,rowing,other\none,walking,walk\ntwo,WALKING,walk\none,sitting_down,\n"
    )
    windows, _ = join_sets(sets, read_names(table))
    assert set(windows.y_N) == {"other", "walk"}


def test_faults_are_told(sets: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"at least two activities that all sets have, found 0.*one: chess.*three: fly"):
        join_sets([sets[0], write_set(tmp_path / "three", ["swim", "fly"])], None)
    with pytest.raises(UserError, match="two or more folders of different names"):
        join_sets([sets[0], sets[0]], None)
    with pytest.raises(UserError, match="expected a labelled set made by `persondays labelled`"):
        join_sets([sets[0], tmp_path], None)
    table = tmp_path / "same.csv"
    table.write_text("set,activity,shared\none,boxing,x\n")
    with pytest.raises(UserError, match="one has no activity 'boxing'; it has chess, sitting_down, walking"):
        join_sets(sets, read_names(table))
    table.write_text("set,activity,shared\nfour,walking,x\n")
    with pytest.raises(UserError, match="expected one of the sets one, two, found 'four'"):
        join_sets(sets, read_names(table))
    table.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="expected columns set, activity, shared; found a, b"):
        read_names(table)
