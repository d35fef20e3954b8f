"""Hexadecimal digits to bytes, 32 digits at a time, as explicit LLVM vector instructions.

numba's vectoriser does not carry a check of every digit along with the conversion, and takes two passes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pipeline.numerics.vectors import INT8, INT16, require, vector

LANES = 32


def _unhex(_typing: Any, text: Any, begin: Any, out: Any, first: Any) -> Any:
    """Write the LANES digits from text[begin] on to LANES // 2 bytes from out[first] on; return whether all are valid.

    For compiled code only. text and out: uint8, one-dimensional and contiguous, and the ranges inside them.
    """
    for array in (text, out):
        require(array, types.uint8)
    signature = types.boolean(text, begin, out, first)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def place(array: int, kind: Any) -> Any:
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            return builder.bitcast(builder.gep(data, [arguments[array + 1]]), kind.as_pointer())

        def each(value: int, element: Any = INT8, lanes: int = LANES) -> Any:
            return ir.Constant(vector(element, lanes), [value] * lanes)

        character = builder.load(place(0, vector(INT8, LANES)), align=1)
        figure = builder.sub(character, each(ord("0")))
        letter = builder.sub(builder.or_(character, each(ord("a") - ord("A"))), each(ord("a")))
        is_figure = builder.icmp_unsigned("<", figure, each(10))
        is_letter = builder.icmp_unsigned("<", letter, each(6))
        digit = builder.select(is_figure, figure, builder.add(letter, each(10)))
        pair = builder.bitcast(digit, vector(INT16, LANES // 2))
        upper, lower = (
            shift(pair, each(bits, INT16, LANES // 2)) for shift, bits in ((builder.shl, 4), (builder.lshr, 8))
        )
        packed = builder.trunc(builder.or_(upper, lower), vector(INT8, LANES // 2))
        builder.store(packed, place(2, vector(INT8, LANES // 2)), align=1)
        valid = builder.bitcast(builder.or_(is_figure, is_letter), ir.IntType(LANES))
        return builder.icmp_unsigned("==", valid, ir.Constant(ir.IntType(LANES), -1))

    return signature, generate


unhex: Any = intrinsic(_unhex)
