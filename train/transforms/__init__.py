"""Pretext transforms of windows, a batch at a time, on its device.

Each file is one transform of float32 windows in g (batch, 3 axes, ticks). A transform that the network learns to
recognise is a function f(x_BCT, random, applied_B) -> Tensor. Where `applied_B` is false, its parameters leave the
window unchanged to the bit. So a transform has no branch on data and a fixed number of draws, and a window's result
does not depend on the rest of the batch. A transform that the network learns to ignore is f(x_BCT, random, strength).

Float32 sums over axes are written out instead of using matmul, because autocast and TF32 would round the windows to
8 or 11 bits. Neither affects float64 matmuls.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from train.random import WindowRandom

Transform = Callable[[Tensor, WindowRandom, Tensor], Tensor]
