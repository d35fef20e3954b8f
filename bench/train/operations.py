"""Operations of a block of code, as a device would be asked to run them: those of torch's dispatcher, without views."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MEMORY_ONLY = {
    *("alias", "detach", "empty", "empty_like", "empty_strided", "lift_fresh", "new_empty", "new_empty_strided"),
}
"""Operations that launch nothing and are not views by their schema."""


class Counted(TorchDispatchMode):
    """Counts the operations of a `with` block by name, and the bytes that they move."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Number of operations."""
        return self.operations.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not (func.is_view or name in MEMORY_ONLY):
            self.operations[name] += 1
            read = {id(value): value for value in tree_leaves((args, kwargs))}
            self.moved[name] += sum(map(size, (*read.values(), *tree_leaves(out))))
        return out


def size(value: Any) -> int:
    """Bytes of a tensor's own elements; 0 for anything else."""
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
