"""Our values of a cohort beside published ones: who is in both, and how well two measures of one thing agree.

Agreement after Bland and Altman 1986 (doi:10.1016/S0140-6736(86)90837-8): the mean difference, and the limits
within which 95% of the differences of normally distributed ones lie. Correlation alone would praise a constant error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.identity import Key
from pipeline.report.analysis.cohort import Cohort, Float
from pipeline.report.analysis.published import Published
from pipeline.store.store import Store

GOOD_WEAR_DAYS = 3.0
"""UK Biobank asks for 72 hours of wear and for some in every hour of the day (Doherty 2017)."""
FEWEST = 3
LIMITS_SD = 1.96


@dataclass(frozen=True)
class Agreement:
    """n pairs (ours, theirs), Pearson's r, mean and SD of ours - theirs, and the 95% limits of agreement."""

    n: int
    r: float
    bias: float
    sd: float

    @property
    def limits(self) -> tuple[float, float]:
        """Lower and upper limit of agreement."""
        return self.bias - LIMITS_SD * self.sd, self.bias + LIMITS_SD * self.sd

    @staticmethod
    def of(ours_N: Float, theirs_N: Float) -> Agreement | None:
        """The agreement of the pairs of which both are known; None of fewer than three."""
        both_N = np.isfinite(ours_N) & np.isfinite(theirs_N)
        ours_N, theirs_N = ours_N[both_N], theirs_N[both_N]
        if ours_N.size < FEWEST:
            return None
        difference_N = ours_N - theirs_N
        varied = bool(np.ptp(ours_N) > 0 and np.ptp(theirs_N) > 0)
        r = float(np.corrcoef(ours_N, theirs_N)[0, 1]) if varied else float("nan")
        return Agreement(ours_N.size, r, float(difference_N.mean()), float(difference_N.std(ddof=1)))


@dataclass(frozen=True)
class Comparison:
    """Published values beside ours, of the M people who are in both and have one accepted recording.

    theirs_M and ours_M: by name of `pipeline.report.analysis.published.FIELDS`; flags as 0 and 1, NaN for unknown.
    only_published, only_stored: people of one side. repeated: people in both with several recordings: which of
        them a published value is about, keyed ids do not tell.
    """

    ours: dict[str, Float]
    theirs: dict[str, Float]
    only_published: int
    only_stored: int
    repeated: int

    @property
    def people(self) -> int:
        """Those who are compared."""
        return next(iter(self.theirs.values())).size


def require_key(store: Store, key: Key) -> None:
    """Raise UserError unless the store was made with this key."""
    if key.check != store.attributes.key_check:
        raise UserError(
            f"{store.folder.url}: the store was made with another key, under which the people of the table have other "
            "ids. Give the key that ingest was given."
        )


def compare(cohort: Cohort, published: Published, key: Key) -> Comparison:
    """Set a cohort beside published values; raises UserError when they have nobody in common."""
    ids = pa.array([key.participant(eid) for eid in published.eids], pa.string())
    person_Q = np.asarray(pc.fill_null(pc.index_in(ids, value_set=cohort.people), -1))
    recordings_P = np.bincount(cohort.person_N, minlength=len(cohort.people))
    known_Q = person_Q >= 0
    if not known_Q.any():
        raise UserError(
            f"none of the {len(published.eids):,} people in the table of published values is among the "
            f"{len(cohort.people):,} people with an accepted recording. People are joined by the name that ingest gave "
            "them: with --id-regex ukb that is the eid. Is the table of another application, or did --participants "
            "give other names?"
        )
    single_Q = known_Q.copy()
    single_Q[known_Q] = recordings_P[person_Q[known_Q]] == 1
    recording_P = np.zeros(len(cohort.people), np.int64)
    recording_P[cohort.person_N] = np.arange(cohort.person_N.size)
    chosen_M = recording_P[person_Q[single_Q]]
    wear_N = cohort.wear_days_N
    calibrated_N = cohort.outcome.where("own") | cohort.outcome.where("given")
    ours = {
        "enmo_mg": cohort.enmo_mg_N,
        "wear_days": wear_N,
        "good_calibration": calibrated_N.astype(np.float64),
        "good_wear": (wear_N >= GOOD_WEAR_DAYS).astype(np.float64),
    }
    return Comparison(
        ours={name: ours[name][chosen_M] for name in published.values},
        theirs={name: value[single_Q] for name, value in published.values.items()},
        only_published=int((~known_Q).sum()),
        only_stored=len(cohort.people) - int(known_Q.sum()),
        repeated=int((known_Q & ~single_Q).sum()),
    )


def crossed(ours_M: Float, theirs_M: Float) -> NDArray[np.int64]:
    """How often two flags go together: rows ours (yes, no), columns theirs (yes, no)."""
    values: Sequence[int] = (1, 0)
    return np.array([[int(((ours_M == us) & (theirs_M == them)).sum()) for them in values] for us in values])
