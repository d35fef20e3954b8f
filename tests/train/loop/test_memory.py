"""A step that does not fit into memory ends with advice; other errors stay as they are."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import UserError
from train.distributed.processes import Processes
from train.loop.memory import memory_explained
from train.recipe import load_recipe


def test_advice_names_the_settings_that_decide() -> None:
    recipe = load_recipe("harnet10", ["run.accumulate=2"])
    message = r"not enough memory on cpu for a step of 6,144 windows in 2 pieces.*Set run\.accumulate to 4 .*allocate"
    with pytest.raises(UserError, match=message), memory_explained(recipe, Processes(1)):
        torch.empty(2**50)


def test_another_error_is_not_explained() -> None:
    with pytest.raises(RuntimeError, match="size of tensor"), memory_explained(load_recipe("harnet10"), Processes(1)):
        torch.zeros(2) + torch.zeros(3)
