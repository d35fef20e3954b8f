"""Probabilities from logits: one temperature for all classes (Guo et al. 2017, arXiv:1706.04599), and class weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

TEMPERATURES = 0.05, 20.0
"""The range in which a temperature is looked for."""


def class_weights(y_N: NDArray[np.int64], classes: int) -> Tensor:
    """Return float32 (classes,): windows divided by those of the class; a class without windows counts as one."""
    return torch.from_numpy(len(y_N) / np.maximum(np.bincount(y_N, minlength=classes), 1)).float()


def fit_temperature(logits_NK: NDArray[np.float32], y_N: NDArray[np.int64], weight_K: Tensor | None = None) -> float:
    """Return the temperature at which logits have the lowest cross entropy on labels that they were not fitted to.

    `weight_K` are the weights of the classes with which the logits were fitted.
    """
    from scipy.optimize import minimize_scalar

    scores_NK, target_N = torch.from_numpy(logits_NK).double(), torch.from_numpy(y_N)
    weight = None if weight_K is None else weight_K.cpu().double()

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(scores_NK / np.exp(log_temperature), target_N, weight))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))
