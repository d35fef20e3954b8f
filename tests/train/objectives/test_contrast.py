"""Contrastive losses against plain NumPy in float64, one row at a time, by the papers' formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from train.objectives.contrast import PAIRWISE, Contrast, ScaleAndBias, unit

Array = NDArray[np.float64]
ROWS, AMONG = 10, 14


def plain_info_nce(s: Array, partner: int, negatives: list[int], tau: float, hardness: float, prior: float) -> float:
    """-log(p / (p + G)) of a row of similarities (Robinson et al. 2021, equation 4, with their code's weights)."""
    p, u = math.exp(s[partner] / tau), np.exp(s[negatives] / tau)
    weight = u**hardness / np.mean(u**hardness)
    assert np.mean(weight) == pytest.approx(1, rel=1e-12)
    g = (np.sum(weight * u) - prior * len(u) * p) / (1 - prior)
    return -math.log(p / (p + max(g, len(u) * math.exp(-1 / tau))))


def plain_sigmoid(s: Array, partner: int, negatives: list[int], scale: float, bias: float) -> float:
    """The sum over pairs of -log sigmoid(z (scale s + bias)) with z = 1 for partners, else -1 (SigLIP)."""
    signs = {partner: 1.0, **dict.fromkeys(negatives, -1.0)}
    return sum(math.log(1 + math.exp(-z * (scale * s[k] + bias))) for k, z in signs.items())


def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows, what they are compared with, each row's partner, and which are compared: some pairs are not."""
    generator = torch.Generator().manual_seed(2)
    among = torch.randn(AMONG, 6, dtype=torch.float64, generator=generator)
    partner = torch.randperm(AMONG, generator=generator)[:ROWS]
    z = among[partner] + 0.8 * torch.randn(ROWS, 6, dtype=torch.float64, generator=generator)
    compared = torch.rand(ROWS, AMONG, generator=generator) < 0.8
    compared[torch.arange(ROWS), partner] = True
    return unit(z), unit(among), partner, compared


def negatives_of(row: int) -> list[int]:
    _, _, partner, compared = rows()
    return [k for k in range(AMONG) if compared[row, k] and k != partner[row]]


@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("hardness", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("prior", [0.0, 0.1, 0.9])
def test_info_nce_equals_numpy(tau: float, hardness: float, prior: float) -> None:
    z, among, partner, compared = rows()
    losses, right = Contrast(tau, hardness, prior).match(z, among, partner, compared, {})
    s = (z @ among.T).numpy()
    for row in range(ROWS):
        expected = plain_info_nce(s[row], int(partner[row]), negatives_of(row), tau, hardness, prior)
        assert losses[row].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert right[row] == (max([int(partner[row]), *negatives_of(row)], key=lambda k: s[row, k]) == partner[row])
    assert 0 < right.sum() < ROWS


def test_without_hardness_and_prior_it_is_the_cross_entropy_to_1e_12() -> None:
    z, among, partner, compared = rows()
    losses, _ = Contrast(0.1, 0.0, 0.0).match(z, among, partner, compared, {})
    logits = (z @ among.T / 0.1).masked_fill(~compared, -torch.inf)
    expected = torch.nn.functional.cross_entropy(logits, partner, reduction="none")
    torch.testing.assert_close(losses, expected, rtol=0, atol=1e-12)


def test_hardness_and_prior_tend_to_no_effect() -> None:
    z, among, partner, compared = rows()
    plain, _ = Contrast(0.2).match(z, among, partner, compared, {})
    close, _ = Contrast(0.2, 1e-9, 1e-9).match(z, among, partner, compared, {})
    torch.testing.assert_close(close, plain, rtol=1e-6, atol=1e-6)
    harder, _ = Contrast(0.2, 1.0).match(z, among, partner, compared, {})
    assert (harder >= plain).all()
    fewer, _ = Contrast(0.2, 0.0, 0.2).match(z, among, partner, compared, {})
    assert (fewer != plain).all()


@pytest.mark.parametrize("contrast", [Contrast(0.05, 2.0, 0.5), Contrast(0.1, 0.0, 0.99), Contrast(0.1)])
def test_gradients_are_finite_and_those_of_finite_differences(contrast: Contrast) -> None:
    """Also where the part of the prior is larger than the sum, so that the smallest possible sum counts."""
    z, among, partner, compared = rows()
    z.requires_grad_()

    def total(rows_VD: torch.Tensor) -> torch.Tensor:
        return contrast.match(rows_VD, among, partner, compared, {})[0].sum()

    assert torch.autograd.gradcheck(total, (z,), eps=1e-7, atol=1e-5)


def test_the_pairwise_sigmoid_equals_numpy_and_learns_its_scale_and_bias() -> None:
    z, among, partner, compared = rows()
    contrast = Contrast(0.1, loss="sigmoid")
    head: Any = contrast.heads()[PAIRWISE].double()
    assert isinstance(head, ScaleAndBias)
    torch.testing.assert_close(head(z), torch.tensor([10.0, -10.0]).double().expand(ROWS, 2), rtol=1e-7, atol=0)
    with torch.no_grad():
        head.log_scale.fill_(math.log(3.0))
        head.bias.fill_(-1.5)
    losses, _ = contrast.match(z, among, partner, compared, {PAIRWISE: head(z)})
    s = (z @ among.T).numpy()
    for row in range(ROWS):
        expected = plain_sigmoid(s[row], int(partner[row]), negatives_of(row), 3.0, -1.5)
        assert losses[row].item() == pytest.approx(expected, rel=1e-12)
    losses.sum().backward()
    assert head.log_scale.grad
    assert head.bias.grad


def test_float32_and_autocast_are_close_to_float64() -> None:
    z, among, partner, compared = rows()
    for contrast in (Contrast(0.05, 1.0, 0.1), Contrast(0.05)):
        expected, _ = contrast.match(z, among, partner, compared, {})
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found, _ = contrast.match(z.float(), among.float(), partner, compared, {})
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_wrong_settings_are_named() -> None:
    for contrast, name in (
        (Contrast(0.0), "temperature"),
        (Contrast(0.1, -1.0), "hardness"),
        (Contrast(0.1, math.inf), "hardness"),
        (Contrast(0.1, 0.0, 1.0), "prior"),
        (Contrast(0.1, 1.0, 0.0, "sigmoid"), "hardness"),
        (Contrast(0.1, 0.0, 0.1, "sigmoid"), "prior"),
    ):
        assert [found for found, _ in contrast.wrong()] == [name]
    assert not list(Contrast(0.1, 1.0, 0.1).wrong())
