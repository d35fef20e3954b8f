"""BatchNorm whose statistics are those of the whole batch, whichever processes its windows lie on.

torch's own SyncBatchNorm refuses a CPU. This one takes what torch.distributed takes, so that it can be tested where
there is no GPU, and costs one exchange of a few numbers a channel forward and one backward. Names and shapes are
BatchNorm's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.collectives import gather, sum_over_processes, world_size


class SyncBatchNorm1d(nn.BatchNorm1d):
    """BatchNorm over all processes' windows in training; alone, or in evaluation, plain BatchNorm."""

    def forward(self, input: Tensor) -> Tensor:
        """(batch, channels, ticks) to the same shape; processes may hold different numbers of windows."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        return self._together(input)

    def _together(self, x_BCT: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        mean_C, variance_C, count = statistics(x_BCT.detach())
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), self.momentum)
            unbiased_C = variance_C * (count / (count - 1))
            self.running_var.lerp_(unbiased_C.to(self.running_var.dtype), self.momentum)
        result: Tensor = _Normalise.apply(x_BCT, self.weight, self.bias, mean_C, variance_C, count, self.eps)
        return result


def statistics(x_BCT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance of each channel over all processes, and the number of ticks that went into them.

    In float32 at least. Each process takes its own about its own mean, and these are put together (Chan, Golub and
    LeVeque 1983, doi:10.1080/00031305.1983.10483115), so a large mean costs no digits.
    """
    x_BCT = x_BCT.to(torch.promote_types(x_BCT.dtype, torch.float32))
    variance_C, mean_C = torch.var_mean(x_BCT, (0, 2), correction=0)
    own = x_BCT.new_full((1,), x_BCT.numel() / x_BCT.shape[1])
    every_RN = gather(torch.cat((mean_C, variance_C, own))[None])
    mean_RC, variance_RC, count_R1 = every_RN.split((len(mean_C), len(mean_C), 1), 1)
    count = count_R1.sum()
    mean_C = (mean_RC * count_R1).sum(0) / count
    variance_C = ((variance_RC + (mean_RC - mean_C).square()) * count_R1).sum(0) / count
    return mean_C, variance_C, count


class _Normalise(torch.autograd.Function):
    """The normalised windows. Going back, what mean and variance owe to a window is asked of all processes."""

    @staticmethod
    def forward(
        ctx: Any, x_BCT: Tensor, weight_C: Tensor, bias_C: Tensor, mean_C: Tensor, variance_C: Tensor,
        count: Tensor, eps: float,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x_BCT, weight_C, mean_C, torch.rsqrt(variance_C + eps), count)
        return F.batch_norm(x_BCT, mean_C, variance_C, weight_C, bias_C, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient_BCT: Tensor) -> tuple[Tensor | None, ...]:
        x_BCT, weight_C, mean_C, inverse_C, count = ctx.saved_tensors
        standard_BCT = (x_BCT.to(mean_C.dtype) - mean_C[:, None]) * inverse_C[:, None]
        gradient_BCT = gradient_BCT.to(mean_C.dtype)
        bias_C, weight_gradient_C = gradient_BCT.sum((0, 2)), (gradient_BCT * standard_BCT).sum((0, 2))
        mean_2C = sum_over_processes(torch.stack((bias_C, weight_gradient_C))) / count
        own_BCT = gradient_BCT - mean_2C[0][:, None] - standard_BCT * mean_2C[1][:, None]
        own_BCT = own_BCT * (weight_C * inverse_C)[:, None]
        return own_BCT.to(x_BCT.dtype), weight_gradient_C, bias_C, None, None, None, None


def synchronise(network: nn.Module) -> None:
    """Make every BatchNorm a synchronised one; parameters, statistics and names stay what they are."""
    for layer in network.modules():
        if type(layer) is nn.BatchNorm1d:
            layer.__class__ = SyncBatchNorm1d
