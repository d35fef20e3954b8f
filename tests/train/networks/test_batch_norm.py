"""Which layer synchronises BatchNorm on which device. How it computes is tested with several processes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from train.networks import NetworkSettings, make_network
from train.networks.batch_norm import CpuSyncBatchNorm, CudaSyncBatchNorm


@pytest.mark.parametrize("preset", ["harnet5", "transformer5"])
@pytest.mark.parametrize(("device", "expected"), [("cpu", CpuSyncBatchNorm), ("cuda", CudaSyncBatchNorm)])
def test_every_batch_norm_becomes_the_layer_of_the_device(device: str, expected: type, preset: str) -> None:
    """Names, weights and, in one process, outputs and statistics are those of plain BatchNorm, to the bit."""
    torch.manual_seed(0)
    plain = make_network(NetworkSettings(preset, 0.125))
    torch.manual_seed(0)
    network = make_network(NetworkSettings(preset, 0.125, sync_batch_norm=True), torch.device(device))
    norms = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert {type(layer) for layer in norms} == {expected}
    x = torch.randn(4, 3, 150)
    for training in (True, False):
        assert torch.equal(network.train(training)(x), plain.train(training)(x))
    for (name, found), (plain_name, value) in zip(
        network.state_dict().items(), plain.state_dict().items(), strict=True
    ):
        assert name == plain_name
        assert torch.equal(found, value), name


def test_torch_s_own_layer_is_used_on_cuda() -> None:
    assert issubclass(CudaSyncBatchNorm, nn.SyncBatchNorm)
