"""Synchronised BatchNorm: its statistics are those of the global batch, over the windows of all processes.

On CUDA this is torch's own SyncBatchNorm. torch's refuses a CPU, so there the layer is ours: it needs nothing but
torch.distributed, and exchanges a few numbers per channel in the forward and in the backward pass. Parameters, buffers
and their names are those of BatchNorm on both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.distributed.collectives import gather, sum_over_processes, world_size

ALL_BUT_CHANNELS = (0, 2, 3)


def synchronise(network: nn.Module, device: torch.device) -> None:
    """Turn every BatchNorm1d of `network` into the synchronised layer for `device`, in place."""
    synchronised = CudaSyncBatchNorm if device.type == "cuda" else CpuSyncBatchNorm
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.__class__ = synchronised  # type: ignore[assignment]


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Return the running means and variances of a model's BatchNorm layers.

    A run replaces them by their mean over all processes after every step, so that validating or saving at any step does
    not change it.
    """
    return [buffer for name, buffer in model.named_buffers() if name.endswith(("running_mean", "running_var"))]


class CudaSyncBatchNorm(nn.SyncBatchNorm):
    """torch's SyncBatchNorm for (batch, channels, ticks), run as images of height 1 so that channels-last stays."""

    process_group = None  # all processes

    def forward(self, input: Tensor) -> Tensor:
        """(batch, channels, ticks) to the same shape."""
        return super().forward(input.unsqueeze(2)).squeeze(2)


class CpuSyncBatchNorm(nn.BatchNorm1d):
    """BatchNorm over the windows of all processes in training; with one process, or in evaluation, BatchNorm1d.

    Not a subclass of torch's SyncBatchNorm, which DistributedDataParallel refuses on a CPU.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(batch, channels, ticks) to the same shape; processes may hold different numbers of windows."""
        x_BC1T = input.unsqueeze(2)  # an image of height 1: torch's fast kernels know its channels-last layout
        several = self.training and world_size() > 1
        return (self._over_processes(x_BC1T) if several else super().forward(x_BC1T)).squeeze(2)

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def _over_processes(self, x_BC1T: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        mean_C, variance_C, count = statistics(x_BC1T.detach())
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), self.momentum)
            unbiased_C = variance_C * (count / (count - 1))
            self.running_var.lerp_(unbiased_C.to(self.running_var.dtype), self.momentum)
        result: Tensor = _Normalise.apply(x_BC1T, self.weight, self.bias, mean_C, variance_C, count, self.eps)
        return result


def statistics(x_BC1T: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and biased variance of each channel over all processes, and the number of ticks behind them.

    In float32 at least. Each process takes the variance about its own mean, and these are then combined (Chan, Golub
    and LeVeque 1983, doi:10.1080/00031305.1983.10483115), so a large mean costs no digits.
    """
    x_BC1T = x_BC1T.to(torch.promote_types(x_BC1T.dtype, torch.float32))
    variance_C, mean_C = torch.var_mean(x_BC1T, ALL_BUT_CHANNELS, correction=0)
    own_count = x_BC1T.new_full((1,), x_BC1T.numel() / x_BC1T.shape[1])
    all_RN = gather(torch.cat((mean_C, variance_C, own_count))[None])
    mean_RC, variance_RC, count_R1 = all_RN.split((len(mean_C), len(mean_C), 1), 1)
    count = count_R1.sum()
    mean_C = (mean_RC * count_R1).sum(0) / count
    variance_C = ((variance_RC + (mean_RC - mean_C).square()) * count_R1).sum(0) / count
    return mean_C, variance_C, count


class _Normalise(torch.autograd.Function):
    """Normalise by given statistics; the backward pass includes what mean and variance owe to each window."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BC1T: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        mean_C: Tensor,
        variance_C: Tensor,
        count: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(x_BC1T, weight_C, mean_C, torch.rsqrt(variance_C + eps), count)
        return F.batch_norm(x_BC1T, mean_C, variance_C, weight_C, bias_C, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_C, mean_C, inverse_C, count = ctx.saved_tensors
        gradient = gradient.to(mean_C.dtype)
        standard = (x.to(mean_C.dtype) - mean_C[:, None, None]) * inverse_C[:, None, None]
        bias_C, scale_C = gradient.sum(ALL_BUT_CHANNELS), (gradient * standard).sum(ALL_BUT_CHANNELS)
        mean_2C = sum_over_processes(torch.stack((bias_C, scale_C))) / count
        own = gradient - mean_2C[0][:, None, None] - standard * mean_2C[1][:, None, None]
        own = own * (weight_C * inverse_C)[:, None, None]
        return own.to(x.dtype), scale_C, bias_C, None, None, None, None
