"""How well activities of people whom a classifier has not seen are found, against the simulator's truth.

    python -m bench.classify [--people 12] [--unseen 4] [--days 2] [--model wrist-small] [--quick]

By commands, as a user would run them: simulate, ingest, `labelled truth` and `fit` for all people but the last
`--unseen`, once without and once with `--smooth`; then `ingest` and `classify` for those. Every classified window that
lies in one activity of the truth is compared with it, and minutes a day by activity with the true ones in the same
windows. Tables as Markdown on standard output and in `classify.md`, figures in `classify.json`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.identity import load_key
from train.evaluate.scores.metrics import confusion, macro_f1
from train.labelled.truth import TruthBout, read_truth

from ..command import ROOT, machine, module, parser, write_json
from ..tables import markdown_table

SEED = 5
PEOPLE = "(P[0-9]+)"


@dataclass(frozen=True)
class Compared:
    """Windows of a participant on a day: the true and the predicted class, windows of one activity only."""

    truth_N: NDArray[np.int64]
    predicted_N: NDArray[np.int64]


def persondays(*arguments: object) -> None:
    """Run a command."""
    subprocess.run(module("pipeline", *arguments), check=True, cwd=ROOT)


def prepare(out: Path, people: int, unseen: int, days: float, model: str) -> None:
    """Make recordings, stores, classifiers and tables that are missing."""
    key = out / "key"
    if not key.exists():
        persondays("new-key", key)
    persondays("simulate", out / "recordings", "--participants", people, "--days", days, "--seed", SEED)
    recordings = sorted((out / "recordings").glob("*.cwa"))
    for name, own in (("seen", recordings[: people - unseen]), ("unseen", recordings[people - unseen :])):
        (out / name).mkdir(exist_ok=True)
        for recording in own:
            if not (out / name / recording.name).exists():
                (out / name / recording.name).hardlink_to(recording)
        store = ("--store", out / f"{name}-store", "--key-file", key)
        persondays("ingest", "--recordings", out / name, *store, "--id-regex", PEOPLE)
    truth = ("--truth", out / "recordings" / "_truth.parquet", "--key-file", key)
    if not (out / "labelled").exists():
        persondays("labelled", "truth", "--store", out / "seen-store", *truth, out / "labelled")
    for name, flags in (("plain", ()), ("smooth", ("--smooth",))):
        if not (out / f"classifier-{name}").exists():
            fitted = ("--labelled", out / "labelled", "--out", out / f"classifier-{name}")
            persondays("fit", "--model", model, *fitted, *flags)
        source = ("--classifier", out / f"classifier-{name}", "--store", out / "unseen-store")
        persondays("classify", *source, "--out", out / name)


def compare(
    table: Path, truth: dict[str, list[TruthBout]], names: dict[str, str], classes: Sequence[str], seconds: int
) -> Iterator[Compared]:
    """Yield each participant's windows of each day; `names` are participants by keyed id."""
    number = {name: place for place, name in enumerate(classes)}
    rows = pq.read_table(table, columns=["slot", "participant", "time", "activity"])
    rows = rows.filter(rows["activity"].is_valid())
    slot_N = rows["slot"].to_numpy()
    for slot in np.unique(slot_N):
        own = rows.filter(np.asarray(slot_N == slot))
        start_N = own["time"].cast("int64").to_numpy() / 1_000
        true_N = true_classes(truth[names[own["participant"][0].as_py()]], start_N, seconds, number)
        predicted_N = np.array([number[name] for name in own["activity"].to_pylist()])
        yield Compared(true_N[true_N >= 0], predicted_N[true_N >= 0])


def true_classes(
    bouts: Sequence[TruthBout], start_N: NDArray[np.float64], seconds: int, number: dict[str, int]
) -> NDArray[np.int64]:
    """Return the class of windows that lie in one bout; -1 for others."""
    epoch = datetime(1970, 1, 1)
    first_B, end_B = (
        np.array([(at - epoch) / timedelta(seconds=1) for at in ats])
        for ats in ([bout.start for bout in bouts], [bout.end for bout in bouts])
    )
    order = np.argsort(first_B)
    first_B, end_B = first_B[order], end_B[order]
    class_B = np.array([number.get(bouts[place].activity, -1) for place in order])
    place_N = np.searchsorted(first_B, start_N, side="right") - 1
    inside_N = (place_N >= 0) & (start_N + seconds <= end_B[place_N])
    return np.where(inside_N, class_B[place_N], -1)


def figures(days: Sequence[Compared], classes: Sequence[str], seconds: int) -> dict[str, Any]:
    """Return confusion, scores, and minutes a day, true and found: means over days, and the mean absolute error."""
    count = len(classes)
    total = sum((confusion(day.truth_N, day.predicted_N, count) for day in days), np.zeros((count, count), np.int64))
    minutes = np.array(
        [[np.bincount(part, minlength=count) for part in (day.truth_N, day.predicted_N)] for day in days]
    ) * (seconds / 60)
    return {
        "days": len(days),
        "windows": int(total.sum()),
        "accuracy": float(np.trace(total) / total.sum()),
        "macro F1": macro_f1(total),
        "confusion": total.tolist(),
        "true minutes": minutes[:, 0].mean(0).tolist(),
        "minutes found": minutes[:, 1].mean(0).tolist(),
        "mean absolute error": np.abs(minutes[:, 1] - minutes[:, 0]).mean(0).tolist(),
    }


def tables(found: dict[str, Any], classes: Sequence[str]) -> str:
    """Return minutes a day of both classifiers, and their confusion, as Markdown."""
    plain, smooth = found["plain"], found["smooth"]
    rows = [
        [
            name,
            f"{plain['true minutes'][k]:,.0f}",
            *(f"{each['minutes found'][k]:,.0f} ({each['mean absolute error'][k]:,.0f})" for each in (plain, smooth)),
            *(f"{100 * recall(each, k):.0f}%" for each in (plain, smooth)),
        ]
        for k, name in enumerate(classes)
    ]
    head = ["minutes a day", "true", "found (mean error of a day)", "smoothed", "recall", "smoothed"]
    parts = ["\n".join(markdown_table(head, rows))]
    for name, each in (("without smoothing", plain), ("smoothed", smooth)):
        shares = [
            [truth, *(f"{100 * value / max(sum(row), 1):.0f}" for value in row)]
            for truth, row in zip(classes, each["confusion"], strict=True)
        ]
        title = f"Truth by row, {name} (%); accuracy {each['accuracy']:.3f}, macro F1 {each['macro F1']:.3f}:"
        parts.append(f"{title}\n\n" + "\n".join(markdown_table(["", *classes], shares)))
    return "\n\n".join(parts)


def recall(found: dict[str, Any], k: int) -> float:
    """Return the share of a class's windows that were found."""
    row = found["confusion"][k]
    return row[k] / max(sum(row), 1)


def main() -> None:
    """Measure, and print the tables."""
    from train.classify.classifier import read_classifier

    arguments = parser(__doc__, "classify", quick="6 people for half a day")
    arguments.add_argument("--people", type=int, default=12, help="simulated people")
    arguments.add_argument("--unseen", type=int, default=4, help="those of them whom the classifier does not see")
    arguments.add_argument("--days", type=float, default=2.0, help="days of each")
    arguments.add_argument("--model", default="wrist-small", help="the backbone")
    given = arguments.parse_args()
    people, unseen, days = (6, 2, 0.5) if given.quick else (given.people, given.unseen, given.days)
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    prepare(out, people, unseen, days, given.model)
    classifier = read_classifier(out / "classifier-plain")
    classes, seconds = classifier.classes, classifier.ticks // 30
    truth, key = read_truth(out / "recordings" / "_truth.parquet"), load_key(out / "key")
    names = {key.participant(name): name for name in truth}
    found: dict[str, Any] = {
        name: figures(list(compare(out / name / "activities", truth, names, classes, seconds)), classes, seconds)
        for name in ("plain", "smooth")
    }
    text = tables(found, classes)
    about = {"machine": machine(), "people": people, "unseen": unseen, "days": days, "model": given.model}
    print(f"{about}\n\n{text}")
    (out / "classify.md").write_text(text + "\n")
    write_json(out / "classify.json", {**about, "classes": list(classes), **found})


if __name__ == "__main__":
    main()
