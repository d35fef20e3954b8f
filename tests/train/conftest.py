"""One thread a test process: small tensors only lose time to more, and sums stay in one order."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
