"""The model's names and shapes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from train.networks.model import Model
from train.objectives import ObjectiveSettings, make_objective


def test_state_dict_has_the_published_names_and_features_are_flattened() -> None:
    extractor: Any = nn.Sequential(nn.Conv1d(3, 6, 5, bias=False), nn.AdaptiveMaxPool1d(1))
    model = Model(extractor, make_objective(ObjectiveSettings()).heads(6))
    heads = ["aot_h", "scale_h", "permute_h", "time_w_h"]
    expected = {"feature_extractor.0.weight", *(f"{h}.linear1.{kind}" for h in heads for kind in ("weight", "bias"))}
    assert set(model.state_dict()) == expected
    x = torch.randn(4, 3, 150)
    outputs = model(x)
    assert list(outputs) == heads
    features = extractor(x)[:, :, 0]
    for name in heads:
        head = model.get_submodule(name).linear1
        torch.testing.assert_close(outputs[name], features @ head.weight.T + head.bias)
