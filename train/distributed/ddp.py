"""The engine `ddp`: PyTorch's DistributedDataParallel, or the bare model in a single process.

After its first steps, DDP regroups gradients and from then on sums them in another order. A resumed run of three or
more processes would then differ in the last bits from one that never stopped. So every start runs two passes whose
result is discarded.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.checkpoint import format as ck
from train.distributed.engine import Forward, LossOf, compile_options, norm_and_clip, set_rate
from train.distributed.processes import Processes
from train.distributed.settings import StepSettings
from train.windows.pool import Windows

_SWITCH = "forward_sync_buffers"
_HAS_IT = _SWITCH in signature(DistributedDataParallel.__init__).parameters
KEEP_BUFFERS: dict[str, Any] = {_SWITCH if _HAS_IT else "broadcast_buffers": False}
"""Switches off that DDP copies the first process's BatchNorm statistics to all in every step. Before torch 2.13, the
switch has another name."""


class Ddp:
    """The engine `ddp`."""

    def __init__(
        self,
        settings: StepSettings,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        processes: Processes,
        forward: Forward,
    ) -> None:
        self.model, self.optimizer, self.processes = model, optimizer, processes
        self.clip_norm = settings.clip_norm
        self.active = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.network = forward.module
        if processes.world_size > 1:
            ids = [processes.device.index] if processes.device.type == "cuda" else None
            self.network = DistributedDataParallel(
                forward.module, device_ids=ids, gradient_as_bucket_view=True, **KEEP_BUFFERS
            )
            if forward.example is not None:
                settle_buckets(self.network, forward.example)
        if settings.compile:
            forward.module.compile(**compile_options(settings, forward))

    def step(self, pieces: Sequence[Windows], loss_of: LossOf, rate: float) -> Tensor:
        """See `Engine`. Gradients are summed over processes in the last piece."""
        for number, piece in enumerate(pieces, 1):
            with nullcontext() if number == len(pieces) else self._without_exchange():
                (loss_of(self.network, piece) / len(pieces)).backward()
        norm = norm_and_clip(self.active, self.clip_norm)
        set_rate(self.optimizer.param_groups, rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _without_exchange(self) -> AbstractContextManager[None]:
        return self.network.no_sync() if isinstance(self.network, DistributedDataParallel) else nullcontext()

    def optimizer_state(self) -> ck.OptimizerState:
        """See `Engine`; on the first process only."""
        return ck.optimizer_by_name(self.model, self.optimizer) if self.processes.first else {}

    def load_optimizer(self, state: ck.OptimizerState) -> None:
        """See `Engine`."""
        ck.load_optimizer(self.model, self.optimizer, state)


def settle_buckets(network: DistributedDataParallel, example: tuple[Tensor, ...]) -> None:
    """Run two passes and discard the result; after them, DDP keeps its groups of gradients."""
    model = network.module
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(2):
        loss, *_ = network(*example)
        loss.backward()
    network.zero_grad(set_to_none=True)
    model.load_state_dict(kept)
