"""Vector operations in LLVM's intermediate language, which it maps to the instructions of any machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError

INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def vector(element: Any, lanes: int) -> Any:
    """The type of a vector."""
    return ir.VectorType(element, lanes)


def require(array: Any, element: Any) -> None:
    """Refuse to compile for anything but a contiguous one-dimensional array, whose memory is read directly."""
    if not (isinstance(array, types.Array) and array.is_c_contig and array.ndim == 1 and array.dtype == element):
        raise TypingError(f"expected a contiguous array of {element}, found {array}")


def every(builder: Any, value: Any, lanes: int) -> Any:
    """A vector that holds one value in all lanes."""
    first = builder.insert_element(ir.Constant(vector(value.type, lanes), ir.Undefined), value, ir.Constant(INT32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(vector(INT32, lanes), [0] * lanes))


def shuffle(builder: Any, a: Any, b: Any, order: Sequence[int]) -> Any:
    """The lanes of `a` and then `b`, in this order."""
    return builder.shuffle_vector(a, b, ir.Constant(vector(INT32, len(order)), list(order)))


def pairs(builder: Any, a: Any, b: Any = None) -> Any:
    """Sums of neighbours, the first with the second: those of `a`, then those of `b` where it is given."""
    lanes = a.type.count if b is None else 2 * a.type.count
    return builder.add(*(shuffle(builder, a, a if b is None else b, range(first, lanes, 2)) for first in (0, 1)))


def halves(builder: Any, a: Any) -> Any:
    """The first half of the lanes plus the second."""
    half = a.type.count // 2
    return builder.add(shuffle(builder, a, a, range(half)), shuffle(builder, a, a, range(half, 2 * half)))


def reduce(builder: Any, how: str, a: Any) -> Any:
    """The sum (add), minimum (smin) or maximum (smax) of all lanes."""
    element = a.type.element
    name = f"llvm.vector.reduce.{how}.v{a.type.count}i{element.width}"
    return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(element, [a.type]), name), [a])
