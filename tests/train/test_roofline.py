"""The counts behind the roofline: traffic by hand for single operations, and of a whole step."""

from __future__ import annotations

import argparse

import pytest
import torch

from bench.gpu.roofline import bounds
from bench.gpu.traffic import META, Traffic, kinds_of, step_traffic
from bench.train.operations import Counted
from bench.train.ours import flop
from train.recipe import load_recipe

ELEMENTS = 8 * 4 * 10


def traffic_of(layer: torch.nn.Module) -> Traffic:
    x = torch.empty(8, 4, 10, device=META, requires_grad=True)
    layer = layer.to(META)
    with Counted() as counted:
        y = layer(x)
        y.backward(torch.empty_like(y))
    return kinds_of(counted)


def test_traffic_of_single_layers() -> None:
    """ReLU reads and writes, and backwards reads two and writes one: five passes. BatchNorm has three and five."""
    relu, norm = traffic_of(torch.nn.ReLU()), traffic_of(torch.nn.BatchNorm1d(4))
    assert relu.bytes["ReLU"] == 5 * 4 * ELEMENTS
    assert norm.bytes["BatchNorm"] == pytest.approx(8 * 4 * ELEMENTS, rel=0.05), "and a few numbers a channel"
    assert relu.operations["ReLU"] == norm.operations["BatchNorm"] == 2


def test_the_published_network_is_counted() -> None:
    recipe = load_recipe("harnet10", ["run.batch=512"])
    assert flop(recipe) == pytest.approx(1.72e9, rel=0.01)
    counted = step_traffic(recipe)
    assert 5e6 < sum(counted.bytes.values()) / 512 < 20e6
    few = step_traffic(load_recipe("harnet10", ["run.batch=64"]))
    assert few.bytes["ReLU"] == counted.bytes["ReLU"] / 8
    assert few.bytes["optimizer"] == counted.bytes["optimizer"]


def test_bounds_are_plain_arithmetic() -> None:
    given = argparse.Namespace(day_mb=6.0, windows_per_day=1500, cores_from=(100_000, 200_000))
    kinds = {"convolutions and blur": 9e9, "BatchNorm": 3.84e6, "ReLU": 3.84e6}
    _, (eager, fused) = bounds(494.5e6, kinds, given)
    assert eager == ["eager", "7.7", "1,000,000", "500,000", "333,333", "2,666,667", "13 to 27", "10.7"]
    assert fused[:5] == ["fused", "3.8", "1,000,000", "1,000,000", "500,000"]
