"""UTD-MHAD (Chen, Jafari and Kehtarnavaz 2015, doi:10.1109/ICIP.2015.7350781) as paired trials of two modalities.

The published folders `Inertial` and `Skeleton` have a MATLAB file for each trial, aACTION_sPERSON_tTRIAL_MODALITY.mat:
`d_iner` (samples, 6), accelerometer in g and gyroscope in degrees/s at 50 Hz, on the right wrist for actions 1 to 21
and on the right thigh for 22 to 27; `d_skel` (20 joints, 3, frames), positions in metres at 30 Hz from a Kinect. The
two last differently long (inertial 0.7 to 2.8 s longer). Each trial is resampled to the same number of steps by its
Fourier coefficients, as Khaertdinov et al. do; that treats a trial as periodic, so both ends ring where they differ.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from train.labelled.paired import PairedTrials

NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_(inertial|skeleton)\.mat")
ACTIONS = (
    *("swipe left", "swipe right", "wave", "clap", "throw", "cross arms", "basketball shot", "draw x"),
    *("draw circle clockwise", "draw circle counter-clockwise", "draw triangle", "bowling", "boxing"),
    *("baseball swing", "tennis swing", "arm curl", "tennis serve", "push", "knock", "catch", "pick up and throw"),
    *("jog", "walk", "sit to stand", "stand to sit", "lunge", "squat"),
)
"""By number, from 1."""
JOINTS = 20
ABOUT: dict[str, Any] = {
    "units": {"inertial": "g (x, y, z), degrees/s (x, y, z)", "skeleton": "m (20 joints, x, y, z)"},
    "rates_hz": {"inertial": 50, "skeleton": 30},
    "rails": {"inertial": "8 g, 1000 degrees/s"},
    "places": "right wrist; right thigh from `jog` on",
    "licence": "not stated; free for research by its authors",
}
SHOWN = 3


@dataclass(frozen=True)
class Variable:
    """The variable of a modality's files: its name, its shape in words, and its values with time as the first axis."""

    name: str
    shape: str
    by_time: Callable[[NDArray[Any]], NDArray[Any]]
    each: tuple[int, ...]
    """The shape of one sample."""


VARIABLES = {
    "inertial": Variable("d_iner", "(samples, 6)", lambda x: x, (6,)),
    "skeleton": Variable("d_skel", f"({JOINTS}, 3, frames)", lambda x: np.moveaxis(x, -1, 0), (JOINTS, 3)),
}
Trial = tuple[int, int, int]
"""Person, action and repetition."""


def find_pairs(source: Path) -> dict[Trial, dict[str, Path]]:
    """Return the two files of every trial below a folder, sorted; raises UserError unless every trial has both."""
    pairs: dict[Trial, dict[str, Path]] = {}
    for path in sorted(source.rglob("*.mat")):
        if found := NAME.fullmatch(path.name):
            action, person, repetition = (int(found[group]) for group in (1, 2, 3))
            files = pairs.setdefault((person, action, repetition), {})
            if found[4] in files:
                raise UserError(
                    f"{path}: expected one file of that name, found another: {files[found[4]]}. Remove one."
                )
            if not 1 <= action <= len(ACTIONS):
                raise UserError(
                    f"{path}: expected an action from 1 to {len(ACTIONS)}, found {action}. Remove the file."
                )
            files[found[4]] = path
    if not pairs:
        raise UserError(
            f"{source}: expected the folders Inertial and Skeleton of UTD-MHAD below this folder, with files such as "
            "a1_s1_t1_inertial.mat; found none. Unpack the data set and give its folder."
        )
    if single := [next(iter(files.values())) for files in pairs.values() if len(files) < 2]:
        shown = ", ".join(str(path.relative_to(source)) for path in single[:SHOWN])
        more = f" and {len(single) - SHOWN} more" if len(single) > SHOWN else ""
        raise UserError(
            f"{source}: expected an inertial and a skeleton file of every trial, found one without the other: "
            f"{shown}{more}. Unpack both parts of the data set, or remove these files."
        )
    return dict(sorted(pairs.items()))


def read_variable(path: Path, modality: str) -> NDArray[np.float64]:
    """Read a trial of a modality, (time, ...) as in the file; raises UserError."""
    from scipy.io import loadmat

    wanted = VARIABLES[modality]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = loadmat(path, variable_names=[wanted.name]).get(wanted.name)
        values = None if found is None else np.asarray(found, np.float64)
    except Exception as error:  # loadmat raises errors of many kinds for damaged files, even UnboundLocalError
        raise _damaged(path, wanted, f"a file that cannot be read ({error})") from None
    if values is None:
        raise _damaged(path, wanted, "no such variable")
    by_time = wanted.by_time(values) if values.ndim == 1 + len(wanted.each) else values
    if by_time.shape[1:] != wanted.each or len(by_time) < 2:
        raise _damaged(path, wanted, f"the shape {values.shape}")
    if not np.isfinite(by_time).all():
        raise _damaged(path, wanted, "NaN or infinity")
    return by_time


def _damaged(path: Path, wanted: Variable, found: str) -> UserError:
    return UserError(
        f"{path}: expected a MATLAB file with {wanted.name} {wanted.shape}, found {found}. Unpack the file again, or "
        "remove both files of this trial."
    )


def pair_utd_mhad(
    pairs: dict[Trial, dict[str, Path]], steps: int, progress: Callable[[int], None] = lambda done: None
) -> tuple[PairedTrials, dict[str, Any]]:
    """Read trials resampled to `steps` each, by person, action and repetition, with facts for info.json.

    `inertial` is (trials, steps, 6) in g and degrees/s, `skeleton` (trials, steps, 20, 3) in m. Raises UserError.
    """
    from scipy.signal import resample

    read: dict[str, list[NDArray[np.float32]]] = {modality: [] for modality in VARIABLES}
    samples: dict[str, list[int]] = {modality: [] for modality in VARIABLES}
    # A damaged file may crash scipy's reader, hence a process of its own.
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        for done, files in enumerate(pairs.values(), 1):
            for modality in VARIABLES:
                try:
                    values = apart.submit(read_variable, files[modality], modality).result()
                except BrokenProcessPool:
                    raise _damaged(files[modality], VARIABLES[modality], "a file that crashes its reader") from None
                samples[modality].append(len(values))
                read[modality].append(resample(values, steps).astype(np.float32))
            progress(done)
    trials = PairedTrials(
        x={modality: np.stack(arrays) for modality, arrays in read.items()},
        y_N=np.array([ACTIONS[action - 1] for _, action, _ in pairs]),
        pid_N=np.array([str(person) for person, _, _ in pairs]),
        trial_N=np.array([repetition for _, _, repetition in pairs]),
    )
    seconds = {
        modality: [round(float(count / ABOUT["rates_hz"][modality]), 2) for count in (min(counts), max(counts))]
        for modality, counts in samples.items()
    }
    return trials, {**ABOUT, "steps": steps, "resampling": "Fourier", "shortest_and_longest_s": seconds}
