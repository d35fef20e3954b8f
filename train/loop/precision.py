"""How exactly torch computes: precision of float32 work on GPUs, and whether the same work gives the same bits."""

from __future__ import annotations

import os

import torch

from train.loop.settings import RunSettings


def set_numerics(settings: RunSettings, device: torch.device) -> None:
    """Follow the settings, in this process, from now on.

    `float32` means float32 throughout: torch alone would let a GPU's convolutions round to TF32.
    """
    tf32 = settings.precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = device.type == "cuda" and not settings.deterministic
    if settings.deterministic != torch.are_deterministic_algorithms_enabled():  # asking takes seconds of imports
        torch.use_deterministic_algorithms(settings.deterministic)
    torch.backends.cudnn.deterministic = settings.deterministic
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is asked of a GPU
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def weights_dtype(settings: RunSettings) -> torch.dtype:
    """Of weights, buffers and what the network is shown."""
    return torch.float64 if settings.precision == "float64" else torch.float32
