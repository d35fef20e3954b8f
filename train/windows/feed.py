"""Batches on the device. On CUDA, a batch is copied while the device works on steps that were queued before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from train.windows.pool import Windows
from train.windows.stream import Stream


class DeviceBatch(NamedTuple):
    """Windows on the device, and where they come from on the host, so that nothing waits for the device to know it."""

    windows: Windows
    place_BP: Tensor
    """`Windows.place_BP`, on the host."""


class Feed:
    """The stream's batches on a device. A batch is fetched when it is asked for, so it never waits for a later one."""

    def __init__(self, stream: Stream, device: torch.device) -> None:
        self.stream, self.device = stream, device
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        stream.pinned = self._copies is not None

    def __iter__(self) -> Iterator[DeviceBatch]:
        return self

    def __next__(self) -> DeviceBatch:
        host = next(self.stream)
        if self._copies is None:
            return DeviceBatch(host.to(self.device), host.place_BP)
        with torch.cuda.stream(self._copies):
            windows = host.to(self.device)
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._copies)
        for name in Windows.__dataclass_fields__:
            getattr(windows, name).record_stream(current)
        return DeviceBatch(windows, host.place_BP)
