"""Join labelled sets by the activities that all of them have, for `persondays evaluate --domain dataset`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.grid import SAMPLE_RATE_HZ
from train.evaluate.dataset import LabelledSet, read_labelled
from train.labelled.files import LabelledWindows

Names = Mapping[tuple[str, str], str]
"""The shared name of a set's activity, by (set, activity)."""


def read_names(path: Path) -> Names:
    """Read a csv with columns set, activity and shared; raises UserError for another table."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}). Give a csv with columns set, activity, shared.") from None
    if not rows or not {"set", "activity", "shared"} <= rows[0].keys():
        found = ", ".join(str(name) for name in rows[0]) if rows else "no rows"
        raise UserError(f"{path}: expected columns set, activity, shared; found {found}.")
    return {(row["set"], row["activity"]): row["shared"] for row in rows if row["shared"]}


def join_sets(sets: Sequence[Path], seconds: int, names: Names | None) -> tuple[LabelledWindows, dict[str, Any]]:
    """Return the windows of all sets whose activity is in every set, with the column `dataset`, and facts.

    A set is named by its folder, and its people `set:person`. Activities are the same if `names` says so; without
    `names`, if their texts are equal apart from case, spaces and underscores. Raises UserError for two sets of one
    name, for names of a set or activity that do not exist, and when fewer than two activities are shared.
    """
    found = {folder.resolve().name: read_labelled(folder, seconds * SAMPLE_RATE_HZ) for folder in sets}
    if len(found) < max(2, len(sets)):
        raise UserError(f"expected two or more folders of different names, found {', '.join(map(str, sets))}.")
    if names is not None:
        _require_known(names, found)
    shared_K = {name: _shared_names(name, data, names) for name, data in found.items()}
    common = set.intersection(*({text for text in own if text} for own in shared_K.values()))
    if len(common) < 2:
        activities = "; ".join(f"{name}: {', '.join(data.classes)}" for name, data in found.items())
        raise UserError(
            f"expected at least two activities that all sets have, found {len(common)}. Say which are the same with "
            f"--activities, a csv with columns set, activity, shared. Theirs are: {activities}."
        )
    pieces: list[tuple[str, str, Any]] = []
    datasets: list[str] = []
    kept: dict[str, int] = {}
    for name, data in found.items():
        own = shared_K[name]
        chosen_N = np.flatnonzero(np.isin(data.y_N, [k for k, text in enumerate(own) if text in common]))
        x_NTC = data.x_NCT[chosen_N].transpose(0, 2, 1)
        labels = zip(data.person_N[chosen_N].tolist(), data.y_N[chosen_N].tolist(), strict=True)
        pieces += [(f"{name}:{data.people[p]}", own[k], x_NTC[n : n + 1]) for n, (p, k) in enumerate(labels)]
        datasets += [name] * len(chosen_N)
        kept[name] = len(chosen_N)
    windows = LabelledWindows.of(pieces, seconds)
    windows.columns["dataset"] = datasets
    left_out = {name: len(data.y_N) - kept[name] for name, data in found.items()}
    return windows, {"sets": kept, "windows_of_other_activities": left_out}


def _shared_names(name: str, data: LabelledSet, names: Names | None) -> list[str]:
    """Return the shared name of each class, or an empty text."""
    if names is not None:
        return [names.get((name, activity), "") for activity in data.classes]
    return ["_".join(activity.replace("_", " ").casefold().split()) for activity in data.classes]


def _require_known(names: Names, sets: Mapping[str, LabelledSet]) -> None:
    for name, activity in names:
        if name not in sets:
            raise UserError(f"--activities: expected one of the sets {', '.join(sets)}, found {name!r}.")
        if activity not in sets[name].classes:
            raise UserError(
                f"--activities: {name} has no activity {activity!r}; it has {', '.join(sets[name].classes)}."
            )
