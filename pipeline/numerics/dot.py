"""The dot product of short int16 vectors, as explicit LLVM vector instructions.

In a plain loop of 48 products numba leaves half of them scalar: its vectoriser takes 64 at a time, or gives up when the
loop is unrolled. With explicit vectors resampling is 2.4 times faster. The code is portable: LLVM maps it to the
instructions of the machine (vpmaddwd, smlal), and integers add up to the same sum on all of them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

LANES = 16
"""Lengths are multiples of this."""


def _dot(_typing: Any, x: Any, start_x: Any, taps: Any, start_taps: Any, count: Any) -> Any:
    """Sum x[start_x + k] * taps[start_taps + k] for k < count to int32; for compiled code only.

    x and taps: int16, one-dimensional and contiguous; count: a compile-time constant, multiple of LANES.
    Nothing is checked: both ranges must lie inside their arrays.
    """
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue("expected the length of a dot product as a compile-time constant")
    signature = types.int32(x, start_x, taps, start_taps, count)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        narrow, wide = ir.VectorType(ir.IntType(16), LANES), ir.VectorType(ir.IntType(32), LANES)

        def run(array: int, k: int) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            start = arguments[array + 1]
            pointer = builder.gep(data, [builder.add(start, ir.Constant(start.type, k))])
            return builder.sext(builder.load(builder.bitcast(pointer, narrow.as_pointer()), align=2), wide)

        total = ir.Constant(wide, None)
        for k in range(0, signature.args[4].literal_value, LANES):
            total = builder.add(total, builder.mul(run(0, k), run(2, k)))
        reduce = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), [wide]), f"llvm.vector.reduce.add.v{LANES}i32"
        )
        return builder.call(reduce, [total])

    return signature, generate


dot: Any = intrinsic(_dot)
