"""Classifying a store: the table of activities by batch inference, then minutes a day and the picture from it.

The summary is written by every process that finds the table complete when it has done its share: the last one does, and
all of them write the same. A process that could not read some days writes the summary of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.pages.figures import png
from pipeline.storage.folder import Folder
from train.classify import table
from train.classify.classifier import Classifier
from train.classify.days import DaysTable, read_days
from train.classify.picture import Picture
from train.distributed.processes import Processes
from train.embed.days import Day
from train.embed.inference import Done, Member, Output, infer, require_table

if TYPE_CHECKING:
    from pipeline.store.store import Store

ACTIVITIES, DAYS, PICTURE = "activities", "days.csv", "days.png"
LEAST_WORN_S = 3_600


@dataclass(frozen=True)
class ClassifySettings:
    """Which windows are classified: those with at least this share of eligible seconds, all of them measured."""

    min_eligible: float = 1.0
    days_per_file: int = 64


def classify(
    classifier: Classifier, store_url: str, out_url: str, settings: ClassifySettings, processes: Processes
) -> str:
    """Classify a store and return what was done, in words. All processes of a run have to call this.

    Raises UserError for what a user can fix; days that cannot be read are among that, after everything else is written.
    """
    out = Folder(out_url)
    with processes.all_or_none():
        new = require_own(out)
    make = partial(activities, classifier, settings, new)
    table_url, summary = out.folder(ACTIVITIES).url, [DAYS, PICTURE]
    done = infer(make, store_url, table_url, processes, "classify", lambda: out.delete(summary))
    summarise(out, done, classifier)
    done.require_readable()
    return f"{done} classified now; {DAYS} and {PICTURE} in {out.url}"


def require_own(out: Folder) -> bool:
    """Return whether a folder is empty; raises UserError where it holds anything but what `classify` writes."""
    names = out.names()
    foreign = sorted({name.split("/")[0] for name in names} - {ACTIVITIES, DAYS, PICTURE})
    if foreign:
        raise UserError(
            f"{out.url}: expected an empty folder or one that `persondays classify` wrote, found {foreign[0]}. Name "
            "another folder."
        )
    require_table(out.folder(ACTIVITIES), "activities", table.FORMAT)
    return not names


def activities(classifier: Classifier, settings: ClassifySettings, new: bool, store: Store) -> Output:
    """Return the table of activities of a store; raises UserError if it is new and no day was worn for an hour.

    Where there is a table, people who wore their device may have withdrawn, and their rows have to go.
    """
    if new:
        require_worn(store)
    seconds = classifier.ticks // store.attributes.sample_rate_hz
    facts = {
        "format": table.FORMAT,
        "version": table.VERSION,
        "classifier_sha256": classifier.sha256,
        "classes": list(classifier.classes),
        "store_fingerprint": store.attributes.fingerprint,
        "store_key_check": store.attributes.key_check,
        "seconds": seconds,
        "min_eligible": settings.min_eligible,
        "days_per_file": settings.days_per_file,
    }
    columns = table.schema(facts)

    def rows(day: Day, logit_WK: NDArray[np.float32], member: Member) -> pa.Table:
        log_WK = classifier.log_probabilities(logit_WK)
        class_W = classifier.classes_of(log_WK, day.start_W // seconds, seconds)
        probability_W = np.exp(log_WK[np.arange(len(log_WK)), class_W])
        return table.rows_of(day, seconds, class_W, probability_W, classifier.classes, member, columns)

    return Output(
        name="activities",
        network=classifier.network,
        values=len(classifier.classes),
        seconds=seconds,
        stride_s=seconds,
        min_eligible=settings.min_eligible,
        days_per_file=settings.days_per_file,
        facts=facts,
        columns=columns,
        rows=rows,
        encode=table.encode,
    )


def require_worn(store: Store) -> None:
    """Raise UserError if there are days and none of them was worn for an hour."""
    worn = [row["wear_seconds"] for row in store.person_days.read(["wear_seconds"]).to_pylist()]
    if worn and max(seconds or 0 for seconds in worn) < LEAST_WORN_S:
        raise UserError(
            f"{store.folder.url}: expected a day with an hour worn, found at most {max(s or 0 for s in worn) / 60:.0f} "
            f"minutes in {len(worn)} person-days: there is nothing to classify. `persondays inspect` shows a recording."
        )


def summarise(out: Folder, done: Done, classifier: Classifier) -> None:
    """Write the summary of a table that is complete, or of its files that are there if others cannot be made.

    A process that could read all its days knows of the latter by a summary that is there. Where another process wrote
    a file meanwhile, the summary is written again.
    """
    written: list[str] = []
    while written != (there := _files(done)):
        if len(there) < len(done.files) and not done.problem and not out.exists(DAYS):
            return
        write_summary(out, there, classifier)
        written = there


def _files(done: Done) -> list[str]:
    names = set(done.out.names())
    return [file for file in done.files if file in names]


def write_summary(out: Folder, files: Sequence[str], classifier: Classifier) -> None:
    """Write minutes a day and the picture of a table's files."""
    days, picture = DaysTable(classifier.classes), Picture(classifier.classes)
    seconds = classifier.ticks // classifier.config["input"]["rate_hz"]
    for day in read_days(out.folder(ACTIVITIES), files, classifier.classes, seconds):
        days.add(day)
        picture.add(day)
    out.write(DAYS, days.encode())
    out.write(PICTURE, png(picture.draw()))
