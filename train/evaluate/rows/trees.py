"""Learners of scikit-learn: a random forest and gradient boosting, the field's usual heads on hand-made features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.evaluate.rows.row import Learned, Lesson

TREES = 500
ROUNDS = 100


class Trees:
    """A fitted ensemble."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, inputs_N: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the most likely class of each window, int64 (windows,)."""
        return np.asarray(self.model.predict(inputs_N), np.int64)


def learn_forest(lesson: Lesson) -> Learned:
    """Fit a random forest (Breiman 2001, doi:10.1023/A:1010933404324) with balanced classes to all training windows."""
    from sklearn.ensemble import RandomForestClassifier

    return _fit(RandomForestClassifier(TREES, class_weight="balanced", n_jobs=1, random_state=lesson.seed), lesson)


def learn_boosting(lesson: Lesson) -> Learned:
    """Fit gradient boosting on histograms (Ke et al. 2017) with balanced classes to all training windows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS, class_weight="balanced", early_stopping=False, random_state=lesson.seed
    )
    return _fit(model, lesson)


def _fit(model: Any, lesson: Lesson) -> Learned:
    if len(np.unique(lesson.y_N)) < 2:  # boosting refuses a single class
        from sklearn.dummy import DummyClassifier

        model = DummyClassifier()
    model.fit(lesson.inputs_VN[0], lesson.y_N)
    return Learned(Trees(model))
