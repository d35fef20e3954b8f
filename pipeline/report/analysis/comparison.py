"""Comparison of the store's values with published ones: who is in both, and how well the two measures agree.

Agreement follows Bland and Altman 1986 (doi:10.1016/S0140-6736(86)90837-8): the mean difference, and the limits
between which 95% of normally distributed differences lie. A correlation alone would not show a constant error.
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
from pipeline.report.analysis.cohort import CohortColumns, Float
from pipeline.report.analysis.published import Published
from pipeline.store.store import Store

GOOD_WEAR_DAYS = 3.0
"""UK Biobank requires 72 hours of wear, and some wear in every hour of the day (Doherty 2017)."""
MIN_PAIRS = 3
LIMITS_SD = 1.96


@dataclass(frozen=True)
class Agreement:
    """Agreement of n pairs (ours, theirs): Pearson's r, and the mean and SD of ours - theirs."""

    n: int
    r: float
    bias: float
    sd: float

    @property
    def limits(self) -> tuple[float, float]:
        """The lower and upper 95% limit of agreement."""
        return self.bias - LIMITS_SD * self.sd, self.bias + LIMITS_SD * self.sd

    @staticmethod
    def of(ours_N: Float, theirs_N: Float) -> Agreement | None:
        """Return the agreement of the pairs in which both are known; None for fewer than three pairs."""
        both_N = np.isfinite(ours_N) & np.isfinite(theirs_N)
        ours_N, theirs_N = ours_N[both_N], theirs_N[both_N]
        if ours_N.size < MIN_PAIRS:
            return None
        difference_N = ours_N - theirs_N
        varied = bool(np.ptp(ours_N) > 0 and np.ptp(theirs_N) > 0)
        r = float(np.corrcoef(ours_N, theirs_N)[0, 1]) if varied else float("nan")
        return Agreement(ours_N.size, r, float(difference_N.mean()), float(difference_N.std(ddof=1)))


@dataclass(frozen=True)
class Comparison:
    """Our values and the published values of the M participants in both, with one accepted recording each.

    ours, theirs: by name of `pipeline.report.analysis.published.FIELDS`; flags are 0 or 1, unknown values NaN.
    only_published, only_stored: participants in one of the two.
    repeated: participants in both with several recordings, left out because keyed ids do not show which one a
        published value describes.
    """

    ours: dict[str, Float]
    theirs: dict[str, Float]
    only_published: int
    only_stored: int
    repeated: int

    @property
    def participants(self) -> int:
        """The number of participants compared."""
        return next(iter(self.theirs.values())).size


def require_key(store: Store, key: Key) -> None:
    """Raise UserError unless the store was made with this key."""
    if key.check != store.attributes.key_check:
        raise UserError(
            f"{store.folder.url}: the store was made with another key, so its ids cannot be matched with the table. "
            "Use the key that ingest was run with."
        )


def compare(cohort: CohortColumns, published: Published, key: Key) -> Comparison:
    """Match a cohort with published values. Raises UserError when they have no participant in common."""
    ids = pa.array([key.participant(eid) for eid in published.eids], pa.string())
    participant_Q = np.asarray(pc.fill_null(pc.index_in(ids, value_set=cohort.participant_ids), -1))
    recordings_P = np.bincount(cohort.participant_N, minlength=len(cohort.participant_ids))
    known_Q = participant_Q >= 0
    if not known_Q.any():
        raise UserError(
            f"none of the {len(published.eids):,} participants in the table of published values is among the "
            f"{len(cohort.participant_ids):,} participants with an accepted recording. They are matched by the name "
            "that ingest gave each participant, which is the eid with --id-regex ukb. Check that the table belongs to "
            "the same UK Biobank application, and that --participants did not use other names."
        )
    single_Q = known_Q.copy()
    single_Q[known_Q] = recordings_P[participant_Q[known_Q]] == 1
    recording_P = np.zeros(len(cohort.participant_ids), np.int64)
    recording_P[cohort.participant_N] = np.arange(cohort.participant_N.size)
    chosen_M = recording_P[participant_Q[single_Q]]
    wear_N = cohort.wear_days_N
    calibrated_N = cohort.calibration.where("own") | cohort.calibration.where("given")
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
        only_stored=len(cohort.participant_ids) - int(known_Q.sum()),
        repeated=int((known_Q & ~single_Q).sum()),
    )


def cross_table(ours_M: Float, theirs_M: Float) -> NDArray[np.int64]:
    """Count the combinations of two flags: rows are ours (yes, no), columns theirs (yes, no)."""
    values: Sequence[int] = (1, 0)
    return np.array([[int(((ours_M == us) & (theirs_M == them)).sum()) for them in values] for us in values])
