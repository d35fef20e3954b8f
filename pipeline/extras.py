"""Which extra installs an optional package, and the error to print when that package is missing."""

from __future__ import annotations

from pipeline.errors import UserError

EXTRAS = {
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
