"""Labelled wrist recordings of real people, from the folder of real recordings; its README names their sources."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from train.labelled.wisdm import find_files, read_activities, read_samples, runs

from .measures import Signal, at_rate

HZ, RAIL_G = 20, 2.0
"""Rate and rail of the WISDM watch. Everything is compared at these."""
MIN_PIECE_S, MIN_PERSON_S = 5, 30
WRIST = {"umafall": "wrist", "smartfallmm": "wrist_watch"}
"""Sets of several places of the body, and what they call the wrist."""

Pieces = list[Signal]
"""What one person recorded of one activity at 20 Hz, without what lies between."""
People = dict[str, list[Pieces]]
"""By activity, the pieces of each person."""


def wisdm(folder: Path) -> People:
    """The people of the WISDM watch, by its names of activities; the 3% at other rates than 20 Hz are left out."""
    files = find_files(folder)
    names = read_activities(folder)
    everyone: People = defaultdict(list)
    for path in files:
        samples = read_samples(path)
        person: dict[str, Pieces] = defaultdict(list)
        for first, stop in runs(samples):
            hz = (stop - first - 1) / (samples.time_N[stop - 1] - samples.time_N[first])
            if round(hz) == HZ:
                person[names[str(samples.letter_N[first])]].append(samples.x_CN[:, first:stop].T)
        _add(everyone, person)
    return everyone


def several_places(folder: Path) -> People:
    """The people of the other labelled sets that have a wrist; activities are named "set: label"."""
    everyone: People = defaultdict(list)
    for name, wrist in WRIST.items():
        path = folder / f"{name}.npz"
        if not path.exists():
            continue
        with np.load(path) as found:
            xyz, start, rate = found["xyz"], found["start"], found["rate"]
            people: dict[str, dict[str, Pieces]] = defaultdict(lambda: defaultdict(list))
            for k in np.flatnonzero((found["position"] == wrist) & (rate >= HZ - 1)):
                x = at_rate(xyz[start[k] : start[k + 1]] / 1024, round(rate[k]), HZ)
                people[found["subject"][k]][f"{name}: {found['label'][k]}"].append(x)
        for person in people.values():
            _add(everyone, person)
    return everyone


def _add(everyone: People, person: dict[str, Pieces]) -> None:
    """Add what a person recorded, without short pieces and activities of which there is too little."""
    for activity, pieces in person.items():
        long = [np.clip(x, -RAIL_G, RAIL_G) for x in pieces if len(x) >= MIN_PIECE_S * HZ]
        if sum(map(len, long)) >= MIN_PERSON_S * HZ:
            everyone[activity].append(long)
