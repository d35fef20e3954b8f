"""How exactly torch computes: precision of float32 on GPUs, and deterministic algorithms."""

from __future__ import annotations

import os

import torch

from train.loop.settings import RunSettings


def set_numerics(settings: RunSettings, device: torch.device) -> None:
    """Set torch's global switches as the settings say.

    `float32` means float32 throughout: by default, torch lets a GPU's convolutions round to TF32. With `bfloat16`, the
    convolutions outside autocast (validation) are TF32 too, but products that the loss keeps out of autocast stay
    float32.
    """
    torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = settings.precision in ("tf32", "bfloat16")
    torch.backends.cudnn.benchmark = device.type == "cuda" and not settings.deterministic
    if settings.deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports for seconds
        torch.use_deterministic_algorithms(settings.deterministic)
    torch.backends.cudnn.deterministic = settings.deterministic
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first matrix product on a GPU
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def weights_dtype(settings: RunSettings) -> torch.dtype:
    """Return the type of weights, buffers and the network's input."""
    return torch.float64 if settings.precision == "float64" else torch.float32
