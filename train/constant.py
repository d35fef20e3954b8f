"""Small constant tensors, cached on each device.

A tensor made on the host in every step would be copied to the GPU in every step, and such a copy waits until the GPU
has finished all work queued before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Constant:
    """A tensor that depends only on a few numbers."""

    def __init__(self, make: Callable[..., Tensor]) -> None:
        self.make = make
        self.kept: dict[tuple[Any, ...], Tensor] = {}

    def on(self, device: torch.device, *numbers: Any) -> Tensor:
        """Return the tensor of these numbers on a device; made at the first call."""
        key = (device, *numbers)
        if key not in self.kept:
            self.kept[key] = self.make(*numbers).to(device)
        return self.kept[key]
