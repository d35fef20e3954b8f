"""Which extra installs an optional package, and the error to print when that package is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pipeline.errors import UserError

EXTRAS = {
    "pandas": "pandas",
    "ray": "ingest",
    "safetensors": "train",
    "tensorboard": "train",
    "torch": "train",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "deepspeed": "deepspeed",
    "sklearn": "evaluate",
    "botocore": "s3",
    "s3fs": "s3",
    "xarray": "pandas",
}
"""Module to extra. Optional accelerators (isal, obstore) are not here: the code works without them."""


def missing_extra(error: BaseException | None) -> UserError | None:
    """Return the error to print if `error`, or what caused it, is the absence of a package of an extra.

    None for every other error, including a missing module inside a package that is installed.
    """
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
            return UserError(
                f"this needs {error.name}, which is not installed. Install it with: "
                f"pip install 'persondays[{EXTRAS[error.name]}]'"
            )
        error = error.__cause__
    return None


def optional(module: str) -> Any:
    """Import an optional package; raises UserError, which names its extra, if it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from None
