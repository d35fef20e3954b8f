"""Contrastive losses: find each row's partner among other rows by cosine similarity, by InfoNCE or pairwise sigmoids.

InfoNCE (van den Oord et al. 2018, arXiv:1807.03748) is the cross entropy of choosing the partner, at a temperature;
among the views of a batch it is NT-Xent (Chen et al. 2020). `hardness` and `prior` reweight its negatives (Robinson et
al. 2021, arXiv:2010.04592; Chuang et al. 2020, arXiv:2007.00224). The pairwise sigmoid (SigLIP, Zhai et al. 2023,
arXiv:2303.15343) instead asks of every pair whether they are partners, at a learned scale and bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.autocast import autocast
from train.objectives.objective import Figures

PAIRWISE = "pairwise"
"""The name of the head that holds scale and bias of the pairwise sigmoid."""


@dataclass(frozen=True)
class Contrast:
    """How rows are compared. An objective has these four settings among its own."""

    temperature: float
    hardness: float = 0.0
    """How much more similar negatives count: their weights are exp(hardness x similarity / temperature)."""
    prior: float = 0.0
    """The share of negatives that are expected to be of the partner's kind, and whose part is subtracted."""
    loss: Literal["infonce", "sigmoid"] = "infonce"

    def wrong(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each setting with a wrong value, and what is expected of it."""
        if not 0 < self.temperature < math.inf:
            yield "temperature", "a number above 0"
        if not 0 <= self.hardness < math.inf:
            yield "hardness", "a number of 0 or more"
        if not 0 <= self.prior < 1:
            yield "prior", "0 to below 1"
        if self.loss == "sigmoid":
            for name in ("hardness", "prior"):
                if getattr(self, name):
                    yield name, "0 with loss = sigmoid, which does not weight negatives"

    def heads(self) -> dict[str, nn.Module]:
        """Return the head that the loss itself needs, if any; `match` takes the outputs of all heads."""
        return {PAIRWISE: ScaleAndBias()} if self.loss == "sigmoid" else {}

    def match(
        self,
        z_VD: Tensor,
        among_ND: Tensor,
        partner_V: Tensor,
        compared_VN: Tensor,
        outputs: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each row (V), and whether its partner is the most similar of those compared.

        Rows of `z_VD` and `among_ND` have length 1 (`unit`). `partner_V` is the index of each row's partner in
        `among_ND`; `compared_VN` is true for it and for the row's negatives. `outputs` are those of the heads.
        Everything is in float32 or wider, also under autocast; with `run.precision = "tf32"`, a GPU rounds the inputs
        of the products.
        """
        with autocast(z_VD.device, bfloat16=False):
            cosine_VN = z_VD @ among_ND.T
            partner_VN = partner_V[:, None] == torch.arange(len(among_ND), device=z_VD.device)
            correct_V = cosine_VN.masked_fill(~compared_VN, -torch.inf).argmax(1) == partner_V
            if self.loss == "sigmoid":
                scale, bias = outputs[PAIRWISE][0].to(cosine_VN.dtype)
                return pairwise_sigmoid(cosine_VN, partner_VN, compared_VN, scale, bias), correct_V
            logit_VN = cosine_VN / self.temperature
            negative_VN = logit_VN.masked_fill(partner_VN | ~compared_VN, -torch.inf)
            positive_V = logit_VN.masked_fill(~partner_VN, 0.0).sum(1)
            return info_nce(positive_V, negative_VN, self.temperature, self.hardness, self.prior), correct_V


class ScaleAndBias(nn.Module):
    """The learned scale and bias of the pairwise sigmoid, as a head: its outputs (batch, 2) are the same in all rows.

    It holds the scale's logarithm. Both start as in SigLIP: scale 10, bias -10.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def forward(self, features_BF: Tensor) -> Tensor:
        return torch.stack((self.log_scale.exp(), self.bias)).expand(len(features_BF), 2)


def unit(z_VD: Tensor) -> Tensor:
    """Scale rows to length 1, in float32 or wider."""
    return F.normalize(z_VD.to(torch.promote_types(z_VD.dtype, torch.float32)), dim=1)


def same_day(slot_V: Tensor, rows: int = 1) -> tuple[Tensor, Tensor]:
    """Return which rows are of the same day (V, V), and which have another window of their day beside them (V).

    A window has `rows` rows. Validation leaves out the others: there is nothing to choose from.
    """
    same_VV = slot_V[:, None] == slot_V
    return same_VV, same_VV.sum(1) > rows


def figures(losses_V: Tensor, correct_V: Tensor, guessing_V: Tensor, rows: int) -> Figures:
    """Return the figures of the task `contrast`, sums over windows; a window is the mean of its `rows` rows.

    `guessing_V` is the probability that a random choice finds the partner.
    """
    sums = {"loss_sum": losses_V.detach(), "contrast/correct": correct_V, "contrast/guessing_sum": guessing_V}
    result = {name: value_V.double().sum() / rows for name, value_V in sums.items()}
    count = torch.full((), len(losses_V) / rows, dtype=torch.float64, device=losses_V.device)
    return result | {"count": count, "contrast/count": count}


def info_nce(
    positive_V: Tensor, negative_VN: Tensor, temperature: float, hardness: float = 0.0, prior: float = 0.0
) -> Tensor:
    """Return -log(p / (p + G)) of each row, in logarithms throughout; with hardness and prior 0, G is the sum of u_k.

    `positive_V` is log p, `negative_VN` log u_k: similarities divided by `temperature`; -inf is no negative. Of N
    negatives, G = max((sum_k w_k u_k - prior N p) / (1 - prior), N exp(-1 / temperature)) with weights
    w_k = u_k^hardness / mean_k u_k^hardness, whose mean is 1. Gradients flow through the weights too.
    """
    log_sum_V = torch.logsumexp((1 + hardness) * negative_VN, 1)
    if hardness > 0 or prior > 0:
        log_count_V = negative_VN.isfinite().sum(1).to(positive_V.dtype).log()
    if hardness > 0:
        log_sum_V = log_sum_V + log_count_V - torch.logsumexp(hardness * negative_VN, 1)
    if prior > 0:
        least_V = log_count_V - 1 / temperature
        share_V = math.log(prior) + log_count_V + positive_V - log_sum_V
        room_V = share_V < 0
        kept_V = torch.log(-torch.expm1(torch.where(room_V, share_V, -1.0))) - math.log1p(-prior)
        log_sum_V = torch.maximum(torch.where(room_V, log_sum_V + kept_V, least_V), least_V)
    return torch.logaddexp(log_sum_V - positive_V, torch.zeros_like(positive_V))


def pairwise_sigmoid(cosine_VN: Tensor, partner_VN: Tensor, compared_VN: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Return for each row the sum of -log sigmoid(+-(scale cos + bias)) over the pairs compared; + for partners."""
    logit_VN = scale * cosine_VN + bias
    return F.softplus(torch.where(partner_VN, -logit_VN, logit_VN)).masked_fill(~compared_VN, 0.0).sum(1)
