"""What a GPU may round, by `run.precision`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from train.loop.precision import set_numerics
from train.loop.settings import RunSettings


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """Put torch's switches back."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("precision", "products", "convolutions"),
    [("float32", False, False), ("tf32", True, True), ("bfloat16", False, True), ("float64", False, False)],
)
def test_tf32_is_used_where_the_precision_says(precision: str, products: bool, convolutions: bool) -> None:
    """The products of contrastive losses are outside autocast, so under bfloat16 this decides that they are float32."""
    set_numerics(RunSettings(precision=precision), torch.device("cuda"))  # type: ignore[arg-type]
    assert torch.backends.cuda.matmul.allow_tf32 == products
    assert torch.backends.cudnn.allow_tf32 == convolutions
