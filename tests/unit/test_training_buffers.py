"""Buffers in one piece of memory: still the module's own, and as well placed as before."""

import pytest
import torch
from torch import Tensor, nn

from gen_dist.training.buffers import ALIGNMENT_BYTES, Buffers

SIZES = (3, 17, 5)


@pytest.fixture
def network() -> nn.Module:
    """Of odd sizes, with a counter beside the floats."""
    layers = [nn.BatchNorm1d(size) for size in SIZES]
    for number, layer in enumerate(layers):
        assert layer.running_mean is not None
        layer.running_mean.fill_(number + 1.0)
    return nn.Sequential(*layers)


def means(network: nn.Module) -> list[Tensor]:
    return [buffer for name, buffer in network.named_buffers() if name.endswith("running_mean")]


def test_values_stay_and_a_change_is_seen_from_both_sides(network: nn.Module) -> None:
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    buffers = Buffers(list(network.buffers()))
    assert [(flat.dtype, len(buffers.others)) for flat in buffers.floats] == [(torch.float32, 1)]
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(buffer, before[name], rtol=0, atol=0)
    values = buffers.values()
    means(network)[1].fill_(7.0)
    assert (buffers.floats[0] == 7.0).sum() == SIZES[1]
    buffers.restore(values)
    assert [float(mean[0]) for mean in means(network)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("raised", [True, False])
def test_they_go_back_only_where_the_flag_is_raised(network: nn.Module, raised: bool) -> None:
    buffers = Buffers(list(network.buffers()))
    values = buffers.values()
    for mean in means(network):
        mean.fill_(9.0)
    buffers.restore_where(torch.tensor(raised), values)
    assert [float(mean[0]) for mean in means(network)] == ([1.0, 2.0, 3.0] if raised else [9.0, 9.0, 9.0])


def test_each_begins_where_one_of_its_own_could(network: nn.Module) -> None:
    """Where it begins decides how vector instructions group a sum, and so how it is rounded."""
    Buffers(list(network.buffers()))
    assert [buffer.data_ptr() % ALIGNMENT_BYTES for buffer in network.buffers()] == [0] * len(list(network.buffers()))
