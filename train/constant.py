"""Small tensors that never change, kept on each device.

One that is made on the host anew in each step is copied to a GPU in each step, and such a copy makes the program wait
until the GPU has done all that it was told before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Constant:
    """A tensor that follows from a few numbers."""

    def __init__(self, make: Callable[..., Tensor]) -> None:
        self.make = make
        self.kept: dict[tuple[Any, ...], Tensor] = {}

    def on(self, device: torch.device, *numbers: Any) -> Tensor:
        """The tensor of these numbers on a device, made when it is first asked for."""
        key = (device, *numbers)
        if key not in self.kept:
            self.kept[key] = self.make(*numbers).to(device)
        return self.kept[key]
