"""Versions and the device: what all other figures are of."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator

import torch

from bench.train.cell import matrix_rate
from train.loop.environment import code_version

from ..figure import NEEDS_CUDA, Figure, Sizes


def machine(sizes: Sizes) -> Iterator[Figure]:
    """Versions, device, and the rate of a large matrix product in each precision."""
    yield Figure("code", code_version())
    yield Figure("Python", platform.python_version())
    yield Figure("torch", torch.__version__)
    yield Figure("cores", len(os.sched_getaffinity(0)))
    yield Figure("compiler", shutil.which("g++") or shutil.which("gcc") or "none")
    if sizes.cuda:
        found = torch.cuda.get_device_properties(sizes.device)
        yield Figure("device", f"{found.name}, capability {found.major}.{found.minor}")
        yield Figure("memory", round(found.total_memory / 1e9, 1), "GB")
        yield Figure("multiprocessors", found.multi_processor_count)
        yield Figure("CUDA, cuDNN", f"{torch.version.cuda}, {torch.backends.cudnn.version()}")
        nccl = torch.cuda.nccl.version()
        yield Figure("NCCL", ".".join(map(str, nccl)))
    else:
        yield Figure("device", platform.processor() or platform.machine(), status=NEEDS_CUDA)
    if not sizes.small:
        for precision in ("float32", "tf32", "bfloat16"):
            yield Figure(f"matrix product, {precision}", round(matrix_rate(precision) / 1e12, 1), "TFLOP/s")
