"""Join labelled sets by the activities that all of them have, for `persondays evaluate --domain dataset`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.grid import SAMPLE_RATE_HZ
from train.labelled.files import LabelledWindows, read_windows

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


def join_sets(sets: Sequence[Path], names: Names | None) -> tuple[LabelledWindows, dict[str, Any]]:
    """Return the windows of all sets whose activity is in every set, with the column `dataset`, and facts.

    A set is named by its folder, and its people `set:person`. Activities are the same if `names` says so; without
    `names`, if their texts are equal apart from case, spaces and underscores. Raises UserError for two sets of one
    name or of windows of two lengths, for names of a set or activity that do not exist, and when fewer than two
    activities are shared.
    """
    found = {folder.resolve().name: read_windows(folder) for folder in sets}
    if len(found) < max(2, len(sets)):
        raise UserError(f"expected two or more folders of different names, found {', '.join(map(str, sets))}.")
    lengths = {name: windows.x_NTC.shape[1] // SAMPLE_RATE_HZ for name, windows in found.items()}
    if len(set(lengths.values())) > 1:
        these = ", ".join(f"{seconds} s in {name}" for name, seconds in lengths.items())
        raise UserError(f"expected windows of one length, found {these}. Make the sets with the same --seconds.")
    if names is not None:
        _require_known(names, found)
    shared = {name: {activity: _shared_name(name, activity, names) for activity in set(windows.y_N)}
              for name, windows in found.items()}  # fmt: skip
    common = set.intersection(*({text for text in own.values() if text} for own in shared.values()))
    if len(common) < 2:
        activities = "; ".join(f"{name}: {', '.join(sorted(own))}" for name, own in shared.items())
        raise UserError(
            f"expected at least two activities that all sets have, found {len(common)}. Say which are the same with "
            f"--activities, a csv with columns set, activity, shared. Theirs are: {activities}."
        )
    x, y_N, pid_N, datasets = [], [], [], []
    kept: dict[str, int] = {}
    for name, windows in found.items():
        own = [shared[name][activity] for activity in windows.y_N]
        chosen = [n for n, text in enumerate(own) if text in common]
        x.append(windows.x_NTC[chosen])
        y_N += [own[n] for n in chosen]
        pid_N += [f"{name}:{windows.pid_N[n]}" for n in chosen]
        datasets += [name] * len(chosen)
        kept[name] = len(chosen)
    left_out = {name: len(windows.y_N) - kept[name] for name, windows in found.items()}
    joined = LabelledWindows(np.concatenate(x), y_N, pid_N, {"dataset": datasets})
    return joined, {"sets": kept, "windows_of_other_activities": left_out}


def _shared_name(name: str, activity: str, names: Names | None) -> str:
    """Return the shared name of an activity, or an empty text."""
    if names is not None:
        return names.get((name, activity), "")
    return "_".join(activity.replace("_", " ").casefold().split())


def _require_known(names: Names, sets: Mapping[str, LabelledWindows]) -> None:
    for name, activity in names:
        if name not in sets:
            raise UserError(f"--activities: expected one of the sets {', '.join(sets)}, found {name!r}.")
        if activity not in set(sets[name].y_N):
            raise UserError(
                f"--activities: {name} has no activity {activity!r}; it has {', '.join(sorted(set(sets[name].y_N)))}."
            )
