"""Operations as an accelerator would be asked to run them: those of torch's dispatcher, without views."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

MEMORY_ONLY = {
    *("alias", "detach", "empty", "empty_like", "empty_strided", "lift_fresh", "new_empty", "new_empty_strided"),
}
"""Operations that launch nothing and are not views by their schema."""


class Launches(TorchDispatchMode):
    """Counts the operations of a `with` block, those of the backward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Number of operations."""
        return self.counted.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if not (func.is_view or name in MEMORY_ONLY):
            self.counted[name] += 1
        return func(*args, **(kwargs or {}))
