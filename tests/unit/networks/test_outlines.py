from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive.networks.build import build, fitted_skeleton
from ogive.networks.outlines import Shapes
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201


class Residual(nn.Module):
    """What has rules of its own in `Shapes`, and a sum of tensors that have to be brought to one shape and type."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        added_NCHW = torch.relu(x_NCHW) + self.relu(self.norm(self.conv(x_NCHW)))
        return added_NCHW + added_NCHW.mean((2, 3), keepdim=True).double() + 1


def kept(network: nn.Module, x_NCHW: Tensor, mode: AbstractContextManager[Any]) -> list[object]:
    """Shapes, types and layouts of the output and of all that autograd keeps."""
    found: list[object] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append((tensor.shape, tensor.dtype, tensor.stride(), tensor.device.type))
        return tensor.detach()

    with mode, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(x_NCHW)
    return [*found, (output.shape, output.dtype, output.stride(), output.device.type)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shapes_are_those_that_torch_derives(dtype: torch.dtype, training: bool) -> None:
    with torch.device("meta"):
        networks = [Residual()]
        for space in (nasbench201(), darts()):
            arch = space.sample(np.random.default_rng(0))
            networks.append(build(arch, fitted_skeleton(space.name, (3, 16, 16), 10, channels=4, cells=3)))
        x_NCHW = torch.empty(2, 3, 16, 16, dtype=dtype)
    for network in networks:
        network.to(dtype).train(training)
        assert kept(network, x_NCHW, Shapes()) == kept(network, x_NCHW, nullcontext())


def test_tensors_with_values_are_computed_as_ever() -> None:
    torch.manual_seed(0)
    network, x_NCHW = Residual(), torch.randn(2, 3, 4, 4)
    with Shapes():
        there = network(x_NCHW)
    assert torch.equal(there, network(x_NCHW))
