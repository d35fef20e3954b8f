"""The position of a byte, found in 32 bytes at a time, as explicit LLVM vector instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pipeline.numerics.vectors import INT8, INT32, INT64, every, require, vector

LANES = 32


def _find_byte(_typing: Any, data: Any, begin: Any, byte: Any) -> Any:
    """Return the offset of the first `byte` in data[begin : begin + LANES], or LANES where there is none.

    For compiled code only. data: uint8, one-dimensional and contiguous, and the range inside it.
    """
    require(data, types.uint8)
    signature = types.int64(data, begin, byte)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, begin, byte = arguments
        place = builder.gep(context.make_array(signature.args[0])(context, builder, array).data, [begin])
        found = builder.load(builder.bitcast(place, vector(INT8, LANES).as_pointer()), align=1)
        is_byte = builder.icmp_unsigned("==", found, every(builder, builder.trunc(byte, INT8), LANES))
        return builder.zext(builder.cttz(builder.bitcast(is_byte, INT32), ir.Constant(ir.IntType(1), 0)), INT64)

    return signature, generate


find_byte: Any = intrinsic(_find_byte)
