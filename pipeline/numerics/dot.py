"""Three dot products of int16 with the same weights, as explicit LLVM vector instructions.

In a plain loop of 48 products numba leaves half of them scalar: its vectoriser takes 64 at a time, or gives up when the
loop is unrolled. Neighbouring products are added in pairs, which is one instruction on most processors, and the sums
of the three are completed side by side. Integers add up to the same sum on every machine.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

from pipeline.numerics.vectors import INT16, INT32, halves, pairs, require, vector

LANES = 16
"""Lengths are multiples of this."""


def _dots(_typing: Any, x: Any, y: Any, z: Any, start: Any, taps: Any, first_tap: Any, count: Any) -> Any:
    """Return the sums, int32, of x[start + k] * taps[first_tap + k] for k < count, and the same for y and z.

    For compiled code only. x, y, z and taps: int16, one-dimensional and contiguous, and the ranges inside them; count:
    a compile-time constant, multiple of LANES.
    """
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue("expected the length of a dot product as a compile-time constant")
    for array in (x, y, z, taps):
        require(array, types.int16)
    signature = types.UniTuple(types.int32, 3)(x, y, z, start, taps, first_tap, count)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        narrow, wide = vector(INT16, LANES), vector(INT32, LANES)

        def run(array: int, first: Any, k: int) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            pointer = builder.gep(data, [builder.add(first, ir.Constant(first.type, k))])
            return builder.sext(builder.load(builder.bitcast(pointer, narrow.as_pointer()), align=2), wide)

        sums = [ir.Constant(vector(INT32, LANES // 2), None)] * 3
        for k in range(0, signature.args[6].literal_value, LANES):
            weights = run(4, arguments[5], k)
            for axis in range(3):
                products = builder.mul(run(axis, arguments[3], k), weights)
                sums[axis] = builder.add(sums[axis], pairs(builder, products))
        x4, y4, z4 = (halves(builder, total) for total in sums)
        total = pairs(builder, pairs(builder, x4, y4), pairs(builder, z4, z4))
        found = [builder.extract_element(total, ir.Constant(INT32, axis)) for axis in range(3)]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


dots: Any = intrinsic(_dots)
