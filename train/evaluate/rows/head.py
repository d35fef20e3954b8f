"""The linear head: multinomial logistic regression on standardised features, solved to its optimum.

The problem is strictly convex, so there is one solution, and no schedule, seed or patience to choose. The one setting,
the strength of the penalty, is chosen for each network among training people: a fixed one can reverse the order of two
networks (docs/evaluation.md). scikit-learn's LogisticRegression finds the same optimum in twice the CPU time, gives
other weights with other BLAS thread counts, and runs on no GPU (docs/decisions/0011-library-or-ours.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from train.evaluate.rows.calibrate import class_weights
from train.evaluate.rows.features import device
from train.evaluate.scores.metrics import confusion, macro_f1

PENALTIES = (1e-2, 1e-1, 1.0)
"""Values of C to choose from, as scikit-learn defines it: minimise the sum of cross entropies + |W|^2 / (2 C)."""
DEFAULT_C = 0.1
ITERATIONS = 1_000
TOLERANCE, COARSE_TOLERANCE = 1e-4, 1e-3
"""Largest element of the mean loss's gradient at convergence: for the final head, and for heads that choose C."""


@dataclass(frozen=True)
class LinearHead:
    """A fitted head: standardisation, weights and biases."""

    mean_F: NDArray[np.float32]
    scale_F: NDArray[np.float32]
    weight_FK: NDArray[np.float32]
    bias_K: NDArray[np.float32]
    c: float
    converged: bool

    def logits(self, features_NF: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 logits (windows, classes)."""
        x_NF: NDArray[np.float32] = (features_NF - self.mean_F) / self.scale_F
        return x_NF @ self.weight_FK + self.bias_K

    def predict(self, features_NF: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the most likely class of each window, int64 (windows,)."""
        return self.logits(features_NF).argmax(1)


def objective(
    x_NF: Tensor, y_N: Tensor, weight_FK: Tensor, bias_K: Tensor, c: float, class_K: Tensor | None = None
) -> Tensor:
    """Return mean cross entropy + |W|^2 / (2 c windows); products in the dtype of `x_NF`, the rest in float64.

    `class_K` are weights of the classes, for a weighted mean.
    """
    logits_NK = (x_NF @ weight_FK.to(x_NF.dtype)).double() + bias_K
    return F.cross_entropy(logits_NK, y_N, class_K) + weight_FK.square().sum() / (2 * c * len(x_NF))


def fit_head(
    features_NF: NDArray[np.float32],
    y_N: NDArray[np.int64],
    classes: int,
    c: float,
    start: LinearHead | None = None,
    tolerance: float = TOLERANCE,
    weighted: bool = False,
) -> LinearHead:
    """Fit the head to features (windows, features) and class numbers below `classes`, by L-BFGS.

    Features are standardised by the mean and SD of these windows; a constant feature becomes 0. Starting from the
    head `start` saves time and leads to the same optimum. With `weighted`, classes are weighted by inverse frequency
    (scikit-learn's `class_weight="balanced"`).
    """
    mean_F, sd_F = features_NF.mean(0), features_NF.std(0)
    scale_F = np.where(sd_F > 1e-6 * np.abs(mean_F), sd_F, np.inf).astype(np.float32)
    x_NF = torch.from_numpy((features_NF - mean_F) / scale_F).to(device())
    target_N = torch.from_numpy(y_N).to(device())
    class_K = class_weights(y_N, classes).double().to(device()) if weighted else None
    zeros = np.zeros((x_NF.shape[1], classes)), np.zeros(classes)
    initial = zeros if start is None else (start.weight_FK, start.bias_K)
    weight_FK, bias_K = (torch.tensor(part, dtype=torch.float64, device=device()).requires_grad_() for part in initial)
    solver = torch.optim.LBFGS(
        (weight_FK, bias_K),
        max_iter=ITERATIONS,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        solver.zero_grad()
        loss = objective(x_NF, target_N, weight_FK, bias_K, c, class_K)
        loss.backward()
        return loss.item()

    solver.step(closure)
    closure()
    return LinearHead(
        mean_F=mean_F,
        scale_F=scale_F,
        weight_FK=weight_FK.detach().cpu().float().numpy(),
        bias_K=bias_K.detach().cpu().float().numpy(),
        c=c,
        converged=all(p.grad is not None and float(p.grad.abs().max()) <= tolerance for p in (weight_FK, bias_K)),
    )


def choose(
    features_VNF: list[NDArray[np.float32]],
    y_N: NDArray[np.int64],
    held_out_N: NDArray[np.bool_],
    classes: int,
    weighted: bool = False,
) -> tuple[int, float, LinearHead | None]:
    """Choose one of several feature sets of the same windows, and C, by macro F1 on the windows held out.

    For each set, heads are fitted to the other windows, starting from the strongest penalty, until the score falls.
    Returns the set's index, C and the best head. With nothing held out: the first set, DEFAULT_C and no head.
    """
    if not held_out_N.any():
        return 0, DEFAULT_C, None
    train, test = np.flatnonzero(~held_out_N), np.flatnonzero(held_out_N)
    best = -1.0
    chosen: tuple[int, float, LinearHead | None] = (0, DEFAULT_C, None)
    for index, features_NF in enumerate(features_VNF):
        head, last = None, -1.0
        for c in PENALTIES:
            head = fit_head(features_NF[train], y_N[train], classes, c, head, COARSE_TOLERANCE, weighted)
            score = macro_f1(confusion(y_N[test], head.predict(features_NF[test]), classes))
            if score > best:
                best, chosen = score, (index, c, head)
            if score < last:
                break
            last = score
    return chosen
