"""Autocast, on the devices that have it; others, such as `meta`, compute in the precision of their tensors."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def autocast(device: torch.device, bfloat16: bool) -> AbstractContextManager[object]:
    """Return a context in which products and convolutions on `device` are in bfloat16, or in which none are."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
