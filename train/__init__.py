"""Person-days to backbone. Imports neither `ingest` nor ray; importable without ray, deepspeed and zarr.

For your own code: `load_backbone`, and `WindowStream`, which yields a `Batch` (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.lazy import lazy

if TYPE_CHECKING:
    from train.dataset import Batch, WindowStream
    from train.networks.weights import load_model as load_backbone

__all__ = ["Batch", "WindowStream", "load_backbone"]

__getattr__ = lazy(
    __name__,
    {
        "Batch": "train.dataset:Batch",
        "WindowStream": "train.dataset:WindowStream",
        "load_backbone": "train.networks.weights:load_model",
    },
)
