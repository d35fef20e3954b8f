"""Collective operations, compared with one process that has the whole batch.

test_collectives.py runs `python -m tests.train.distributed.collective_checks WORLD FOLDER`. Every process checks its
own part.
"""

from __future__ import annotations

import multiprocessing
import sys
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from bench.train.operations import Counted
from tests.train.distributed import loss_checks, queue_checks
from train.distributed import collectives
from train.distributed.processes import Processes
from train.networks import NetworkSettings, make_network
from train.networks.batch_norm import CpuSyncBatchNorm, running_statistics, synchronise
from train.networks.model import Model
from train.objectives.simclr import Simclr, SimclrSettings

CLOSE = {torch.float32: 1e-6, torch.float64: 1e-12}


def mine(whole: torch.Tensor) -> torch.Tensor:
    """This rank's share of a batch."""
    return whole.chunk(dist.get_world_size())[dist.get_rank()]


def check_gather(world: int, rank: int) -> None:
    own = torch.full((2, 3), float(rank), requires_grad=True)
    everyone = collectives.gather(own)
    assert everyone.shape == (2 * world, 3)
    assert torch.equal(everyone[:, 0], torch.arange(float(world)).repeat_interleave(2))
    weights = torch.arange(6.0 * world).view(-1, 3) * (rank + 1)
    (everyone * weights).sum().backward()
    assert own.grad is not None
    expected = sum(range(1, world + 1)) * torch.arange(6.0 * world).view(-1, 3)[2 * rank : 2 * rank + 2]
    assert torch.equal(own.grad, expected)


def whole_loss(objective: Simclr, z: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of one process that has all views, with a gradient; equals the score of a single day."""
    similarity = (
        nn.functional.normalize(z, dim=1) @ nn.functional.normalize(z, dim=1).T / objective.settings.temperature
    )
    similarity = similarity - torch.diag(torch.full((len(z),), torch.inf, dtype=z.dtype))
    other = torch.arange(len(z)).view(-1, 2).flip(1).flatten()
    loss = nn.functional.cross_entropy(similarity, other)
    return loss, objective.score({"projection": z.detach()}, torch.zeros(len(z)))


def check_batch_norm(dtype: torch.dtype, world: int, rank: int) -> None:
    """Forward, backward to windows and weights, and running statistics, with unequal shares and a mean far from 0."""
    sizes = [3 + other for other in range(world)]
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(sum(sizes), 6, 20, dtype=dtype, generator=generator) * 1.5 + 2
    probe = torch.randn(x.shape, dtype=dtype, generator=generator)
    plain, own = nn.BatchNorm1d(6).to(dtype), nn.BatchNorm1d(6).to(dtype)
    with torch.no_grad():
        for layer in (plain, own):
            layer.weight.copy_(torch.linspace(0.5, 2, 6))
            layer.bias.copy_(torch.linspace(-1, 1, 6))
    names = list(own.state_dict())
    synchronise(holder := nn.Sequential(own), torch.device("cpu"))
    synchronised = holder[0]
    assert isinstance(synchronised, CpuSyncBatchNorm)
    assert list(synchronised.state_dict()) == names

    x_whole, x_own = x.clone().requires_grad_(), x.split(sizes)[rank].clone().requires_grad_()
    for _ in range(2):  # twice, so that running statistics are not the initial ones
        whole, part = plain(x_whole), synchronised(x_own)
    close: dict[str, Any] = {"rtol": CLOSE[dtype], "atol": CLOSE[dtype]}
    torch.testing.assert_close(part, whole.split(sizes)[rank], **close)
    (whole * probe).sum().backward()
    (part * probe.split(sizes)[rank]).sum().backward()
    assert x_whole.grad is not None
    torch.testing.assert_close(x_own.grad, x_whole.grad.split(sizes)[rank], **close)
    for name, parameter in synchronised.named_parameters():
        assert parameter.grad is not None
        gradient = parameter.grad.clone()
        dist.all_reduce(gradient)
        expected = plain.get_parameter(name).grad
        torch.testing.assert_close(gradient, expected, rtol=CLOSE[dtype], atol=len(x) * CLOSE[dtype])
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(synchronised.state_dict()[name], value, **close)
    assert torch.equal(synchronised.eval()(x_own), synchronised(x_own))


def check_bfloat16(world: int) -> None:
    x = torch.randn(4 * world, 6, 20, generator=torch.Generator().manual_seed(9)).bfloat16()
    plain, synchronised = nn.BatchNorm1d(6), CpuSyncBatchNorm(6)
    part, whole = synchronised(mine(x)), plain(x.float())
    assert part.dtype == torch.bfloat16
    torch.testing.assert_close(part.float(), mine(whole), rtol=0.01, atol=0.01)
    torch.testing.assert_close(synchronised.running_var, plain.running_var, rtol=1e-5, atol=1e-6)


def check_a_step(preset: str, world: int) -> None:
    """A SimCLR step of a network with synchronised BatchNorm under DDP, compared with one process."""
    objective = Simclr(SimclrSettings(projection=16))

    def model(synchronised: bool) -> Model:
        torch.manual_seed(5)
        network = make_network(NetworkSettings(preset, 0.125, sync_batch_norm=synchronised))
        return Model(network, objective.heads(network.features)).double()

    whole, own = model(False), model(True)
    x = torch.randn(4 * world, 3, 150, generator=torch.Generator().manual_seed(6)).double().repeat_interleave(2, 0)
    x += 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(8)).double()
    loss, _ = whole_loss(objective, whole(x)["projection"])
    loss.backward()
    parallel = DistributedDataParallel(own, forward_sync_buffers=False)
    objective.loss(parallel(mine(x)), torch.zeros(8))[0].backward()
    for name, parameter in own.named_parameters():
        torch.testing.assert_close(parameter.grad, whole.get_parameter(name).grad, rtol=1e-8, atol=1e-11, msg=name)
    for name, value in own.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=1e-10, atol=1e-12, msg=name)


def check_running_statistics(world: int, rank: int) -> None:
    """Each process gets the mean of all; a network without running statistics does not change."""
    processes = Processes.__new__(Processes)
    processes.world_size = world
    layer = nn.BatchNorm1d(3)
    assert layer.running_mean is not None
    assert layer.running_var is not None
    layer.running_mean.copy_(torch.arange(3.0) + rank)
    layer.running_var.copy_(torch.arange(3.0) * (rank + 1))
    with Counted() as launches:
        processes.average(running_statistics(layer))
    assert launches.total == 4, launches.operations
    torch.testing.assert_close(layer.running_mean, torch.arange(3.0) + (world - 1) / 2)
    torch.testing.assert_close(layer.running_var, torch.arange(3.0) * (world + 1) / 2)
    many = [torch.full((2,), float(rank + number)) for number in range(40)]
    with Counted() as launches:
        processes.average(many)
    assert launches.total == 4, "the same number of operations, however many tensors there are"
    for number, tensor in enumerate(many):
        torch.testing.assert_close(tensor, torch.full((2,), (world - 1) / 2 + number))
    processes.average(running_statistics(nn.LayerNorm(3)))


def check_all(world: int, rank: int, folder: str) -> None:
    """Run all checks in one process."""
    torch.set_num_threads(1)
    alone = {(name, dtype): loss_checks.whole(name, world, dtype) for name in loss_checks.OBJECTIVES for dtype in CLOSE}
    queues = {dtype: queue_checks.whole(world, dtype) for dtype in CLOSE}
    dist.init_process_group("gloo", f"file://{folder}/{world}", timedelta(seconds=120), world, rank)
    check_gather(world, rank)
    check_running_statistics(world, rank)
    for (name, dtype), step in alone.items():
        loss_checks.check(name, step, CLOSE[dtype])
    for dtype, steps in queues.items():
        queue_checks.check(steps, dtype, CLOSE[dtype])
    for dtype in CLOSE:
        check_batch_norm(dtype, world, rank)
    check_bfloat16(world)
    for preset in ("harnet5", "transformer5"):
        check_a_step(preset, world)
    dist.destroy_process_group()


def main() -> None:
    """Start the processes; exits with 1 unless all succeed."""
    world, folder = int(sys.argv[1]), sys.argv[2]
    context = multiprocessing.get_context("fork")  # nothing has run yet, and children need not import again
    processes = [context.Process(target=check_all, args=(world, rank, folder)) for rank in range(world)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


if __name__ == "__main__":
    main()
