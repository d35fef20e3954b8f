"""Batches on the device. On CUDA, the next batch is copied while this one is used."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from train.windows.pool import Windows
from train.windows.stream import Stream


class Feed:
    """The stream's batches on a device; on the CPU, they are passed through."""

    def __init__(self, stream: Stream, device: torch.device) -> None:
        self.stream, self.device = stream, device
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        stream.pinned = self._copies is not None
        self._next: Windows | None = None

    def __iter__(self) -> Iterator[Windows]:
        return self

    def __next__(self) -> Windows:
        if self._copies is None:
            return next(self.stream)
        if self._next is None:
            self._next = self._fetch()
        now, current = self._next, torch.cuda.current_stream(self.device)
        current.wait_stream(self._copies)
        for name in Windows.__dataclass_fields__:
            getattr(now, name).record_stream(current)
        self._next = self._fetch()
        return now

    def _fetch(self) -> Windows:
        with torch.cuda.stream(self._copies):
            return next(self.stream).to(self.device)
