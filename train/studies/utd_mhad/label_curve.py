"""Few labels: random choices of the trials whose labels are used.

At each share of the labels, every class keeps max(1, floor(share x its trials)) training trials, as the authors' code
does: with 16 trials of a class, 1, 5 and 10% are all one trial.
"""

from __future__ import annotations

import torch
from torch import Tensor


def draw_labelled(y_N: Tensor, share: float, repeats: int, seed: int) -> Tensor:
    """Return int64 (repeats, labelled): the numbers of the labelled trials of each repeat."""
    random = torch.Generator().manual_seed(seed)
    draws = []
    for _ in range(repeats):
        key_N = torch.rand(len(y_N), generator=random)
        of_class = [torch.nonzero(y_N == label).flatten() for label in y_N.unique().tolist()]
        draws.append(torch.cat([own[key_N[own].argsort()[: max(1, int(share * len(own)))]] for own in of_class]))
    return torch.stack(draws)
