"""Train a head of your own in plain torch on the stream: it predicts, from frozen features, how much a window moves.

    python examples/train_head.py store head.pt [--steps 200]         run it again to train for more steps
    torchrun --nproc-per-node 2 examples/train_head.py store head.pt  the same global batches

Needs pip install 'persondays[train]'.
"""

from __future__ import annotations

import argparse
import os
from itertools import islice

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from train import WindowStream, load_backbone


def movement(x_BCT: Tensor) -> Tensor:
    """The target, (batch, 1): the logarithm of how much the acceleration varies."""
    return x_BCT.std(2).norm(dim=1, keepdim=True).clamp(min=1e-4).log()


def main() -> None:
    """Train, validate on people whose windows were never drawn, save."""
    arguments = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    arguments.add_argument("store")
    arguments.add_argument("out")
    arguments.add_argument("--steps", type=int, default=200)
    given = arguments.parse_args()
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    backbone = load_backbone("wrist-small").requires_grad_(False)
    head = nn.Sequential(nn.Linear(backbone.features, 64), nn.ReLU(), nn.Linear(64, 1))
    with WindowStream(given.store, batch=128, seconds=10, lanes=8, min_wear_hours=0.1) as stream:
        if os.path.exists(given.out):
            saved = torch.load(given.out, weights_only=True)
            head.load_state_dict(saved["head"])
            stream.load_state_dict(saved["stream"])  # goes on with the very next window
        trained = nn.parallel.DistributedDataParallel(head) if dist.is_initialized() else head
        optimizer = torch.optim.Adam(trained.parameters(), 1e-3)
        for batch in islice(stream, given.steps):
            loss = mse_loss(trained(backbone(batch.x).flatten(1)), movement(batch.x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if stream.rank == 0:
            torch.save({"head": head.state_dict(), "stream": stream.state_dict()}, given.out)
            held_out = stream.validation().x
            target, predicted = movement(held_out), head(backbone(held_out).flatten(1)).detach()
            share = 1 - mse_loss(predicted, target) / target.var()
            print(f"step {stream.step}: explains {share:.0%} of the variance in people whom it has not seen")


if __name__ == "__main__":
    main()
