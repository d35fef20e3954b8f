"""Pretext transforms: windows in, transformed windows out, a whole batch at a time, on its device.

Each file is one transform of float32 windows in g (batch, 3 axes, ticks). One that is to be recognised is a function
f(x_BCT, random, applied_B) -> Tensor: where a window is not to be transformed, its parameters are those that change
nothing, and it comes out as it was, to the bit. So a transform has no branch on data, makes a fixed number of draws,
passes over the windows no more often than it must, and a window's result does not depend on its neighbours.
One that is to be ignored is f(x_BCT, random, strength).

Sums of float32 over axes are written out instead of using matmul: autocast and TF32 would round the windows to
8 or 11 bits. Matmuls of float64 are left alone by both.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from train.random import WindowRandom

Transform = Callable[[Tensor, WindowRandom, Tensor], Tensor]
