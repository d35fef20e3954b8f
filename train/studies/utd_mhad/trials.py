"""The trials of a paired folder as the study's encoders take them, and which people train and which are tested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import UserError
from train.labelled.paired import read_paired
from train.studies.utd_mhad.skeleton import JOINTS

TRAINING_PEOPLE = ("1", "3", "5", "7")
STEPS = 50
SPINE, SHOULDER_CENTRE = 2, 1
"""Joints, from 0."""


@dataclass(frozen=True)
class Trials:
    """Inputs by modality, `inertial` (trials, 50, 6) and `skeleton` (trials, 50, 20, 3), with class and person of each.

    People are numbered from 0, those of the whole folder together.
    """

    x: dict[str, Tensor]
    y_N: Tensor
    person_N: Tensor

    def __len__(self) -> int:
        return len(self.y_N)

    def part(self, chosen_B: Tensor) -> Trials:
        """Return some trials."""
        return Trials(
            {name: x_N[chosen_B] for name, x_N in self.x.items()}, self.y_N[chosen_B], self.person_N[chosen_B]
        )

    def of(self, modalities: tuple[str, ...], chosen_B: Tensor) -> tuple[Tensor, ...]:
        """Return the inputs of some trials."""
        return tuple(self.x[modality][chosen_B] for modality in modalities)


@dataclass(frozen=True)
class Split:
    """Training and test trials, of different people, and the names of the classes."""

    training: Trials
    test: Trials
    classes: tuple[str, ...]


def read_split(folder: Path) -> Split:
    """Return the trials of people 1, 3, 5, 7 and those of all others, from a paired folder of UTD-MHAD.

    Inertial values are not normalised. Raises UserError for another folder, and if one of the two sides is empty.
    """
    paired = read_paired(folder)
    shapes = {name: array.shape[1:] for name, array in paired.x.items()}
    if shapes != {"inertial": (STEPS, 6), "skeleton": (STEPS, JOINTS, 3)}:
        raise UserError(
            f"{folder}: expected inertial ({STEPS}, 6) and skeleton ({STEPS}, {JOINTS}, 3), found {shapes}. Make the "
            f"folder with `persondays labelled utd-mhad --steps {STEPS}`."
        )
    classes, y_N = np.unique(paired.y_N, return_inverse=True)
    person_N = np.unique(paired.pid_N, return_inverse=True)[1]
    trains_N = np.isin(paired.pid_N, TRAINING_PEOPLE)
    if trains_N.all() or not trains_N.any():
        raise UserError(
            f"{folder}: expected people {', '.join(TRAINING_PEOPLE)} and others, found only one of the two."
        )
    if missing := sorted(set(classes.tolist()) - set(paired.y_N[trains_N].tolist())):
        raise UserError(f"{folder}: expected every action in training people, found none of: {', '.join(missing)}.")
    x = {
        "inertial": torch.from_numpy(paired.x["inertial"]),
        "skeleton": centred(torch.from_numpy(paired.x["skeleton"])),
    }

    everything = Trials(x, torch.from_numpy(y_N), torch.from_numpy(person_N))

    def side(chosen_N: NDArray[np.bool_]) -> Trials:
        return everything.part(torch.from_numpy(np.flatnonzero(chosen_N)))

    return Split(side(trains_N), side(~trains_N), tuple(classes.tolist()))


def centred(x_NTJA: Tensor) -> Tensor:
    """Put the first frame's spine at the origin, and its distance to the centre of the shoulders to 1."""
    spine_NA, shoulder_NA = x_NTJA[:, 0, SPINE], x_NTJA[:, 0, SHOULDER_CENTRE]
    length_N = (shoulder_NA - spine_NA).norm(dim=1)
    return (x_NTJA - spine_NA[:, None, None]) / length_N[:, None, None, None]
