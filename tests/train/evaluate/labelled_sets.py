"""Labelled sets for tests: people who lie in three postures or move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from train.evaluate.dataset import LabelledSet


def walkers(people: int = 6, each: int = 8, ticks: int = 150, rate: float = 30.0) -> tuple[Any, Any, Any]:
    """Windows in g: lying still in three postures, or moving at 2 Hz."""
    rng = np.random.default_rng(2)
    time = np.arange(ticks) / rate
    x, y, pid = [], [], []
    for person in range(people):
        for label, gravity, amplitude in (("up", 2, 0.0), ("side", 0, 0.0), ("moving", 1, 0.6)):
            for _ in range(each):
                window = rng.normal(0, 0.02, (ticks, 3))
                window[:, gravity] += 1 + amplitude * np.sin(2 * np.pi * 2 * time + rng.uniform(0, 6))
                x.append(window)
                y.append(label)
                pid.append(f"person {person}")
    return np.array(x, np.float32), np.array(y), np.array(pid)


def save(folder: Path, x: Any, y: Any, pid: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, array in (("X", x), ("Y", y), ("pid", pid)):
        np.save(folder / f"{name}.npy", array)
    return folder


def as_data(x: Any, y: Any, pid: Any) -> LabelledSet:
    """The same as a labelled set that was read."""
    classes, y_N = np.unique(y, return_inverse=True)
    people, person_N = np.unique(pid, return_inverse=True)
    names = tuple(map(str, classes)), tuple(map(str, people))
    return LabelledSet(np.ascontiguousarray(x.transpose(0, 2, 1)), y_N, person_N, *names, ())
