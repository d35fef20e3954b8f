"""Pretext transforms: windows in, transformed windows out, a whole batch at a time, on its device.

Each file is one transform `f(x_BCT, random) -> Tensor` of float32 windows in g (batch, 3 axes, ticks). It transforms
every window; the objective decides for each window, by a label, whether the result is taken. So a transform has no
branch on data, makes a fixed number of draws, and a window's result does not depend on its neighbours in the batch.

Sums over axes and knots are written out instead of using matmul: autocast and TF32 would round the windows to
8 or 11 bits, and a matmul may sum in another order for another batch.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from train.random import WindowRandom

Transform = Callable[[Tensor, WindowRandom], Tensor]
