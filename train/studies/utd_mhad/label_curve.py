"""Few labels: linear heads on frozen features, one for each random choice of labelled trials, trained together.

At each share of the labels, every class keeps max(1, floor(share x its trials)) training trials, as the authors' code
does: with 16 trials of a class, 1, 5 and 10% are all one trial.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RATE = 1e-3
BATCH = 64


def draw_labelled(y_N: Tensor, share: float, repeats: int, seed: int) -> Tensor:
    """Return int64 (repeats, labelled): the numbers of the labelled trials of each repeat."""
    random = torch.Generator().manual_seed(seed)
    draws = []
    for _ in range(repeats):
        key_N = torch.rand(len(y_N), generator=random)
        of_class = [torch.nonzero(y_N == label).flatten() for label in y_N.unique().tolist()]
        draws.append(torch.cat([own[key_N[own].argsort()[: max(1, int(share * len(own)))]] for own in of_class]))
    return torch.stack(draws)


def linear_heads(x_NF: Tensor, y_N: Tensor, labelled_RL: Tensor, classes: int, epochs: int) -> tuple[Tensor, Tensor]:
    """Return weights (repeats, features, classes) and biases (repeats, 1, classes) of the heads.

    Adam at 1e-3 in batches of 64; torch's default initialisation of a linear layer.
    """
    repeats, labelled = labelled_RL.shape
    bound = x_NF.shape[1] ** -0.5
    weight_RFK = torch.empty(repeats, x_NF.shape[1], classes).uniform_(-bound, bound).requires_grad_()
    bias_R1K = torch.empty(repeats, 1, classes).uniform_(-bound, bound).requires_grad_()
    optimizer = torch.optim.Adam((weight_RFK, bias_R1K), lr=RATE, fused=True)
    for _ in range(epochs):
        order_RL = torch.rand(repeats, labelled).argsort(1)
        for part_RB in labelled_RL.gather(1, order_RL).tensor_split(-(-labelled // BATCH), dim=1):
            optimizer.zero_grad(set_to_none=True)
            logits_RBK = torch.baddbmm(bias_R1K, x_NF[part_RB], weight_RFK)
            loss = F.cross_entropy(logits_RBK.flatten(0, 1), y_N[part_RB].flatten(), reduction="none")
            (loss.sum() / part_RB.shape[1]).backward()  # each head has the mean of its own batch
            optimizer.step()
    return weight_RFK.detach(), bias_R1K.detach()


def accuracies(weight_RFK: Tensor, bias_R1K: Tensor, x_NF: Tensor, y_N: Tensor) -> list[float]:
    """Return the accuracy of each head on test trials."""
    right_RN = (x_NF @ weight_RFK + bias_R1K).argmax(2) == y_N
    found: list[float] = right_RN.float().mean(1).tolist()
    return found
