"""Read a labelled set, check it and convert it to a network's input; faults are errors, and nothing is guessed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import AXES, SAMPLE_RATE_HZ
from pipeline.units import STANDARD_GRAVITY
from train.labelled.files import MISSING

CHUNK = 4_096
USUAL_RATES_HZ = (10, 12.5, 20, 25, 30, 32, 40, 50, 60, 64, 70, 75, 80, 90, 100, 128, 200)
"""Rates of devices, assumed where none is given."""
USUAL_SECONDS = (5, 10, 30)
"""Lengths of windows that networks take, and that sets at 30 Hz therefore have."""


@dataclass(frozen=True)
class LabelledSet:
    """Windows in g at 30 Hz, float32 (windows, 3, ticks), with class and person numbers, and notes on conversions.

    `domain_N` is a further column (device, place on the body, season), as text, if one was asked for.
    """

    x_NCT: NDArray[np.float32]
    y_N: NDArray[np.int64]
    person_N: NDArray[np.int64]
    classes: tuple[str, ...]
    people: tuple[str, ...]
    notes: tuple[str, ...]
    domain_N: NDArray[np.str_] | None = None


def read_labelled(folder: Path, ticks: int, rate_hz: float | None = None, column: str | None = None) -> LabelledSet:
    """Read the labelled set in `folder`, as windows of `ticks` ticks at 30 Hz.

    X.npy is (windows, ticks, 3) in g. Its rate is `rate_hz`, else the one in info.json, else the rate at which its
    ticks last as long as the network's window, if that is a device's rate. Windows without a label or a person are left
    out, with a note. `column` names a further array, COLUMN.npy. Raises UserError when a file is missing, has another
    shape or length, or holds values that are not finite or not in g, for windows whose length is unclear, and for fewer
    than two people or classes.
    """
    x, y, pid = (_array(folder / name) for name in ("X.npy", "Y.npy", "pid.npy"))
    notes: list[str] = []
    x_NTC = _axes_last(x, folder, notes)
    _check_lengths(x_NTC, y, pid, folder)
    kept_N = _complete(y, pid, folder, notes)
    domain_N = None if column is None else _column(folder, column, len(y))[kept_N]
    if len(kept_N) < len(y):
        x_NTC, y, pid = x_NTC[kept_N], y[kept_N], pid[kept_N]
    _check_values(x_NTC, kept_N, folder, notes)
    classes, y_N = np.unique(y.astype(str), return_inverse=True)
    people, person_N = np.unique(pid.astype(str), return_inverse=True)
    for found, name, what in ((classes, "Y.npy", "class"), (people, "pid.npy", "person")):
        if len(found) < 2:
            raise UserError(
                f"{folder / name}: expected at least two different values, found only the {what} {str(found[0])!r}. "
                "A comparison by participant needs at least two participants and two classes."
            )
    notes += _classes_of_one_person(classes, y_N, person_N)
    rate = _rate(folder, x_NTC.shape[1], ticks, rate_hz, notes)
    return LabelledSet(
        x_NCT=to_network(x_NTC, rate, ticks, folder, notes),
        y_N=y_N.astype(np.int64),
        person_N=person_N.astype(np.int64),
        classes=tuple(map(str, classes)),
        people=tuple(map(str, people)),
        notes=tuple(notes),
        domain_N=domain_N,
    )


def _column(folder: Path, column: str, windows: int) -> NDArray[np.str_]:
    """Return a further column of the set as text."""
    if column in ("X", "Y", "pid") or not (folder / f"{column}.npy").is_file():
        known = sorted(path.stem for path in folder.glob("*.npy") if path.stem not in ("X", "Y", "pid"))
        hint = " To leave out people, use --protocol loso." if column in ("pid", "person", "people") else ""
        raise UserError(
            f"--domain {column}: expected {folder / f'{column}.npy'} with a value for each window; this set has "
            f"{', '.join(known) or 'no such array'}.{hint}"
        )
    values = _array(folder / f"{column}.npy")
    if values.shape != (windows,):
        raise UserError(
            f"{folder / f'{column}.npy'}: expected a value for each of {windows} windows, found shape {values.shape}."
        )
    text_N = np.char.strip(values.astype(str))
    if np.isin(text_N, list(MISSING)).any():
        raise UserError(f"{folder / f'{column}.npy'}: expected a value for each window, found empty ones. Name them.")
    if len(np.unique(text_N)) < 2:
        raise UserError(
            f"{folder / f'{column}.npy'}: expected at least two different values to leave one out, found only "
            f"{str(text_N[0])!r}."
        )
    return np.asarray(text_N, np.str_)


def _array(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file. A labelled set is a folder with X.npy (windows, ticks, 3) in g, Y.npy "
            "(labels) and pid.npy (participants); `persondays labelled` makes one."
        ) from None
    except (ValueError, OSError, EOFError) as error:
        hint = " Save strings with `.astype(str)`, not as objects." if "bject" in str(error) else ""
        raise UserError(
            f"{path}: expected an array written by np.save, found something else ({error}).{hint}"
        ) from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: expected one array, found an archive of several. Save it with np.save.")
    return array


def _axes_last(x: NDArray[Any], folder: Path, notes: list[str]) -> NDArray[Any]:
    if x.ndim == 3 and x.dtype.kind in "fiu" and x.shape[2] == AXES:
        return x
    if x.ndim == 3 and x.dtype.kind in "fiu" and x.shape[1] == AXES:
        notes.append(f"X.npy is channels-first {x.shape}: read as (windows, 3, ticks)")
        return x.transpose(0, 2, 1)
    raise UserError(
        f"{folder / 'X.npy'}: expected numbers of shape (windows, ticks, 3), found {x.dtype} of shape {x.shape}. "
        "Keep the three axes x, y, z of acceleration in g as the last dimension."
    )


def _check_lengths(x: NDArray[Any], y: NDArray[Any], pid: NDArray[Any], folder: Path) -> None:
    if y.ndim != 1 or pid.ndim != 1:
        raise UserError(
            f"{folder}: expected one label and one participant per window, found Y.npy of shape {y.shape} and pid.npy "
            "of "
            f"shape {pid.shape}. Labels are strings (or whole numbers), not one-hot rows."
        )
    if not len(x) == len(y) == len(pid) or not len(x):
        raise UserError(
            f"{folder}: expected the same number of windows in all files, found {len(x)} in X.npy, {len(y)} in Y.npy "
            f"and {len(pid)} in pid.npy. Save the three from the same list of windows."
        )


def _complete(y: NDArray[Any], pid: NDArray[Any], folder: Path, notes: list[str]) -> NDArray[np.int64]:
    """Return the numbers of the windows that have a label and a person."""
    kept_N = np.ones(len(y), bool)
    for found, name, what in ((y, "Y.npy", "label"), (pid, "pid.npy", "person")):
        missing_N = np.isin(np.char.strip(found.astype(str)), list(MISSING))
        if missing_N.all():
            raise UserError(
                f"{folder / name}: expected a {what} for each window, found only missing values (NaN or empty). "
                f"Save the array with the {what}s."
            )
        if missing_N.any():
            notes.append(
                f"{int(missing_N.sum())} of {len(y)} windows have no {what} (NaN or empty in {name}): left out"
            )
        kept_N &= ~missing_N
    if not kept_N.any():
        raise UserError(f"{folder}: expected windows with a label and a person, found none that has both.")
    return np.flatnonzero(kept_N)


def _check_values(x_NTC: NDArray[Any], number_N: NDArray[np.int64], folder: Path, notes: list[str]) -> None:
    """Raise UserError unless values are finite and in g: the median length of the acceleration vector is near 1 g.

    `number_N` are the windows' numbers in the file.
    """
    for start in range(0, len(x_NTC), CHUNK):
        finite = np.isfinite(x_NTC[start : start + CHUNK]).all((1, 2))
        if not finite.all():
            raise UserError(
                f"{folder / 'X.npy'}: expected finite values, found NaN or infinity in window "
                f"{number_N[start + int(np.argmin(finite))]}, perhaps in more. Leave out windows that were not fully "
                "measured."
            )
    sample_NTC = np.asarray(x_NTC[:: max(1, len(x_NTC) // CHUNK)], np.float64)
    length = float(np.median(np.linalg.norm(sample_NTC, axis=2)))
    if length > 5:
        unit, factor = ("m/s²", STANDARD_GRAVITY) if length < 100 else ("mg", 1000)
        raise UserError(
            f"{folder / 'X.npy'}: expected acceleration in g (median length of the vector near 1), found {length:.3g}. "
            f"It looks like {unit}: divide by {factor:g} and save it again."
        )
    if not 0.5 <= length <= 2:
        notes.append(
            f"the median length of the acceleration vector is {length:.2g} and not near 1 g: if gravity was removed, "
            "features of a network trained with gravity mean little"
        )


def _classes_of_one_person(classes: NDArray[np.str_], y_N: NDArray[np.int64], person_N: NDArray[np.int64]) -> list[str]:
    """Return a note on the classes that only one person has, if any."""
    counts = [len(np.unique(person_N[y_N == number])) for number in range(len(classes))]
    single = [str(name) for name, people in zip(classes, counts, strict=True) if people == 1]
    if not single:
        return []
    return [f"classes of one person only, not learnt when that person is tested: {', '.join(single)}"]


def _rate(folder: Path, ticks_found: int, ticks: int, rate_hz: float | None, notes: list[str]) -> float:
    if rate_hz is not None:
        if not 0 < rate_hz < float("inf"):
            raise UserError(f"--rate: expected samples per second, found {rate_hz:g}.")
        return rate_hz
    info = folder / "info.json"
    if info.exists():
        try:
            found = float(json.loads(info.read_text(encoding="utf-8"))["rate_hz"])
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{info}: expected JSON with the number rate_hz, found none. Fix it or give --rate."
            ) from None
        if not 0 < found < float("inf"):
            raise UserError(f"{info}: expected rate_hz above 0, found {found:g}. Fix it or give --rate.")
        return found
    rate = ticks_found * SAMPLE_RATE_HZ / ticks
    same_seconds = [seconds for seconds in USUAL_SECONDS if seconds * SAMPLE_RATE_HZ == ticks_found != ticks]
    if same_seconds or rate not in USUAL_RATES_HZ:
        wanted, at_30_hz = ticks / SAMPLE_RATE_HZ, ticks_found / SAMPLE_RATE_HZ
        raise UserError(
            f"{folder / 'X.npy'}: expected windows of {wanted:g} s for this network; found {ticks_found} ticks "
            f"without a rate, which would be {at_30_hz:g} s at {SAMPLE_RATE_HZ} Hz, or {rate:g} Hz. Give their "
            f"--rate (or rate_hz in info.json); windows of {at_30_hz:g} s need another network."
        )
    notes.append(
        f"no --rate and no info.json: assuming that {ticks_found} ticks last {ticks / SAMPLE_RATE_HZ:g} s, {rate:g} Hz"
    )
    return rate


def to_network(x_NTC: NDArray[Any], rate_hz: float, ticks: int, folder: Path, notes: list[str]) -> NDArray[np.float32]:
    """Convert windows (windows, any ticks, 3) at `rate_hz` to float32 (windows, 3, ticks) at 30 Hz, band-limited.

    Raises UserError when they last more than a tick longer or shorter than `ticks` ticks at 30 Hz.
    """
    from pipeline.numerics.resample import resample_windows

    found, wanted = x_NTC.shape[1] / rate_hz, ticks / SAMPLE_RATE_HZ
    if abs(found - wanted) * SAMPLE_RATE_HZ > 1 + 1e-6:
        raise UserError(
            f"{folder / 'X.npy'}: expected windows of {wanted:g} s for this network, found {x_NTC.shape[1]} ticks at "
            f"{rate_hz:g} Hz, {found:g} s. Give the right --rate, cut windows of {wanted:g} s, or evaluate a model for "
            f"{found:g} s."
        )
    out_NCT = np.empty((len(x_NTC), AXES, ticks), np.float32)
    for start in range(0, len(x_NTC), CHUNK):
        chunk_NCT = np.asarray(x_NTC[start : start + CHUNK], np.float32).transpose(0, 2, 1)
        same = rate_hz == SAMPLE_RATE_HZ and chunk_NCT.shape[2] == ticks
        out_NCT[start : start + CHUNK] = chunk_NCT if same else resample_windows(chunk_NCT, rate_hz, ticks)
    if rate_hz != SAMPLE_RATE_HZ:
        notes.append(f"resampled from {rate_hz:g} to {SAMPLE_RATE_HZ} Hz")
    return out_NCT
