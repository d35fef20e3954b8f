"""Learners that fit the linear head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from train.evaluate.dataset import LabelledSet
from train.evaluate.folds import held_out
from train.evaluate.rows.calibrate import class_weights, fit_temperature
from train.evaluate.rows.head import LinearHead, choose, fit_head
from train.evaluate.rows.row import Learned, Lesson


def learn_linear(lesson: Lesson, weighted: bool = False) -> Learned:
    """Fit the linear head to all training windows, after choosing the input and C on the people held out.

    The temperature is that of the head which was fitted without these people. With `weighted`, classes are weighted by
    inverse frequency.
    """
    view, c, start = choose(lesson.inputs_VN, lesson.y_N, lesson.held_out_N, lesson.classes, weighted)
    inputs_N = lesson.inputs_VN[view]
    head = fit_head(inputs_N, lesson.y_N, lesson.classes, c, start, weighted=weighted)
    facts = {"c": head.c, "converged": head.converged}
    if start is None:
        return Learned(head, view, facts)
    held_out = lesson.held_out_N
    weight_K = class_weights(lesson.y_N[~held_out], lesson.classes) if weighted else None
    temperature = fit_temperature(start.logits(inputs_N[held_out]), lesson.y_N[held_out], weight_K)
    return Learned(head, view, facts, temperature)


def predict_fold(
    features_VNF: list[NDArray[np.float32]], data: LabelledSet, test: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], LinearHead]:
    """Return the classes of the windows `test`, by a head fitted to all others, and the head.

    The head uses the feature set that does best among the other windows' people.
    """
    train = np.setdiff1d(np.arange(len(data.y_N)), test, assume_unique=True)
    y_N, training = data.y_N[train], [features_NF[train] for features_NF in features_VNF]
    lesson = Lesson(training, y_N, held_out(y_N, data.person_N[train], seed), len(data.classes), seed)
    learned = learn_linear(lesson)
    head = learned.head
    assert isinstance(head, LinearHead)
    return head.predict(features_VNF[learned.view][test]), head
