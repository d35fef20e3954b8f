"""Copy windows straight from bit-shuffled values, so that the ticks between them are never unshuffled.

Blosc's bit shuffle writes a block of values as planes: the lowest bit of every value,
then the next bit of every value, and so on (https://github.com/Blosc/c-blosc, after Masui et al. 2015,
doi:10.1016/j.ascom.2015.07.002). Eight neighbouring ticks are one byte of each of the 16 planes, so a window
is 16 short runs of bytes per block. The 8 x 8 transposition of bits is that of Hacker's Delight, section 7-3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics.jit import njit

Int = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Counts = NDArray[np.int16]


@njit(cache=True, nogil=True)
def put_shuffled(planes: Bytes, block: int, origin: int, tick_N: Int, place_N: Int, out_BCT: Counts) -> None:
    """Copy the part of each window, beginning at `tick_N`, that is in a chunk (3, T) of bit-shuffled int16.

    The chunk's first tick is `origin`. A window may begin before the chunk and end after it; the ticks
    inside go to `out_BCT[place]`. `block` is the number of values that were shuffled together.
    """
    channels, ticks = out_BCT.shape[1], out_BCT.shape[2]
    values = planes.size // 2
    length = values // channels
    low, high = np.empty(ticks // 8 + 2, np.uint64), np.empty(ticks // 8 + 2, np.uint64)
    low_T, high_T = low.view(np.uint8), high.view(np.uint8)
    for n in range(tick_N.size):
        tick = tick_N[n] - origin
        begin, end = max(tick, 0), min(tick + ticks, length)
        for c in range(channels):
            value, stop, to = c * length + begin, c * length + end, begin - tick
            while value < stop:
                first = value // block * block
                size = min(block, values - first)
                until = min(stop, first + size)
                byte = (value - first) // 8
                count = (until - first + 7) // 8 - byte
                stride = size // 8
                _eight_planes(planes[2 * first + byte :], stride, count, low)
                _eight_planes(planes[2 * first + 8 * stride + byte :], stride, count, high)
                skip = value - first - 8 * byte
                row = out_BCT[place_N[n], c, to : to + until - value]
                lows, highs = low_T[skip : skip + row.size], high_T[skip : skip + row.size]
                for t in range(row.size):
                    row[t] = np.int16(np.uint16(lows[t]) | (np.uint16(highs[t]) << np.uint16(8)))
                to += until - value
                value = until


@njit(cache=True, nogil=True)
def put_plain(values_CT: Counts, origin: int, tick_N: Int, place_N: Int, out_BCT: Counts) -> None:
    """The same from values that are not shuffled."""
    ticks = out_BCT.shape[2]
    for n in range(tick_N.size):
        tick = tick_N[n] - origin
        begin, end = max(tick, 0), min(tick + ticks, values_CT.shape[1])
        for c in range(values_CT.shape[0]):
            out_BCT[place_N[n], c, begin - tick : end - tick] = values_CT[c, begin:end]


@njit(cache=True, nogil=True, inline="always")
def _eight_planes(planes: Bytes, stride: int, count: int, out: NDArray[np.uint64]) -> None:
    """Eight one-byte values from the same byte of eight planes, `count` times."""
    p0, p1, p2, p3 = planes[:count], planes[stride:], planes[2 * stride :], planes[3 * stride :]
    p4, p5, p6, p7 = planes[4 * stride :], planes[5 * stride :], planes[6 * stride :], planes[7 * stride :]
    for n in range(count):
        low = np.uint64(p0[n]) | np.uint64(p1[n]) << 8 | np.uint64(p2[n]) << 16 | np.uint64(p3[n]) << 24
        high = np.uint64(p4[n]) << 32 | np.uint64(p5[n]) << 40 | np.uint64(p6[n]) << 48 | np.uint64(p7[n]) << 56
        out[n] = _transposed(low | high)


@njit(cache=True, nogil=True, inline="always")
def _transposed(x: np.uint64) -> np.uint64:
    """The transpose of an 8 x 8 matrix of bits, one byte per row."""
    y = (x ^ (x >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
    x = x ^ y ^ (y << np.uint64(7))
    y = (x ^ (x >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
    x = x ^ y ^ (y << np.uint64(14))
    y = (x ^ (x >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
    return x ^ y ^ (y << np.uint64(28))
