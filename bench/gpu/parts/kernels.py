"""Small operations of the network's first stage in several forms: blur, circular pad, BatchNorm with ReLU, layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.networks.harnet import BatchNorm, Convolution, Downsample, Wrap, box_kernel

from ..figure import NEEDS_CUDA, Figure, Sizes, seconds_of

TIMES = 20
FACTOR, ORDER = 2, 2
"""Of the first stage's downsampling."""

Form = Callable[[Tensor], Tensor]


def kernels(sizes: Sizes) -> Iterator[Figure]:
    """Microseconds of each form, forward and backward, on windows in channels-last unless the form says otherwise."""
    sizes.processes()  # sets the number of threads
    channels, ticks = (8, 60) if sizes.small else (64, 300)
    dtype = torch.bfloat16 if sizes.cuda else torch.float32
    shape = (sizes.batches[0], channels, 1, ticks)
    x_BC1T = torch.randn(shape, device=sizes.device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    status = "" if sizes.cuda else NEEDS_CUDA
    for name, form in forms(channels, sizes.device, dtype).items():
        first_last = name.endswith("channels first")
        own = (x_BC1T.contiguous() if first_last else x_BC1T).detach().requires_grad_()
        seconds = seconds_of(partial(there_and_back, form, own), 2 if sizes.small else TIMES, sizes.device)
        yield Figure(name, round(1e6 * seconds, 1), "µs", status)


def forms(channels: int, device: torch.device, dtype: torch.dtype) -> dict[str, Form]:
    """The forms by name; each takes and returns images of height 1."""
    blur, conv = Downsample(channels, FACTOR, ORDER), Convolution(channels, channels)
    norm, torch_norm = BatchNorm(channels), nn.BatchNorm2d(channels)
    modules = [each.to(device, dtype) for each in (blur, conv, norm, torch_norm)]
    blur, conv, norm, torch_norm = modules  # type: ignore[assignment]
    weight_last = conv.weight.detach().unsqueeze(2).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = conv.weight.detach().unsqueeze(2).clone().requires_grad_()

    def bare_conv(x_BC1T: Tensor, weight_OC1K: Tensor) -> Tensor:
        return F.conv2d(x_BC1T, weight_OC1K)

    return {
        "blur: as the network does": lambda x: blur(x.squeeze(2)).unsqueeze(2),
        "blur: depthwise convolution": lambda x: F.conv2d(
            x, blur.kernel.unsqueeze(2), stride=(1, FACTOR), padding=(0, ORDER * (FACTOR - 1) // 2), groups=channels
        ),
        "blur: polyphase sums": polyphase,
        "pad: as the network does": lambda x: Wrap.apply(x, 2, False),
        "pad: torch's circular": lambda x: F.pad(x.squeeze(2), (2, 2), mode="circular").unsqueeze(2),
        "pad: zeros, for comparison": lambda x: F.pad(x, (2, 2)),
        "BatchNorm and ReLU: as the network does": lambda x: F.relu(norm(x.squeeze(2))).unsqueeze(2),
        "BatchNorm and ReLU: BatchNorm2d": lambda x: F.relu(torch_norm(x)),
        "BatchNorm and ReLU: BatchNorm2d, channels first": lambda x: F.relu(torch_norm(x)),
        "convolution: as the network does, with its pad": lambda x: conv(x.squeeze(2)).unsqueeze(2),
        "convolution: weight as stored": partial(bare_conv, weight_OC1K=weight),
        "convolution: weight in channels-last": partial(bare_conv, weight_OC1K=weight_last),
        "convolution: weight as stored, channels first": partial(bare_conv, weight_OC1K=weight),
    }


def polyphase(x_BC1T: Tensor) -> Tensor:
    """The first stage's blur as a weighted sum of strided slices, without a convolution."""
    kernel = box_kernel(FACTOR, ORDER).tolist()
    padded, kept = F.pad(x_BC1T, (1, 1)), x_BC1T.shape[3] // FACTOR
    parts = [weight * padded[..., at : at + FACTOR * kept : FACTOR] for at, weight in enumerate(kernel)]
    return torch.stack(parts).sum(0)


def there_and_back(form: Form, x_BC1T: Tensor) -> None:
    """One forward and one backward pass."""
    result = form(x_BC1T)
    result.backward(result.detach())
    x_BC1T.grad = None
