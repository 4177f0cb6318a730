from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive.core.errors import SpecError
from ogive.networks.blocks import Block
from ogive.networks.codes import code_of
from ogive.networks.mobile import InvertedResidual
from ogive.networks.residual import ResidualBlock
from ogive.spaces.blockqnn import IRLAS_MOBILE, Layer, architecture, blockqnn, layers_of
from ogive.topology import EXPERTS, Imitation


class Branches(nn.Module):
    """Inception's block with four branches."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(4, 4, 1)
        self.three = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.five = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 4, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


class Dense(nn.Module):
    """Two bottlenecks of DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        for number, width in enumerate((4, 8)):
            layers = (nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 8, 1), nn.Conv2d(8, 4, 3, padding=1))
            self.add_module(str(number), nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)
        return torch.relu(x)


MODULES = {
    "resnet": ResidualBlock(4, 4, 1),
    "resnext": ResidualBlock(8, 8, 1, middle=4, groups=2),
    "inception": Branches(),
    "densenet": Dense(),
    "mobilenet_v2": InvertedResidual(4, 4, 24, 3, 1, 0, "relu"),
}


@pytest.mark.parametrize("name", MODULES)
def test_networks_of_people_are_the_experts_of_their_names(name: str) -> None:
    module = MODULES[name]
    width = next(m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d))
    found = code_of(module, ({"resnet": 4, "resnext": 8}.get(name, width), 8, 8))
    space = blockqnn(layers=8)
    assert space.canonical is not None
    own, known = (space.canonical(architecture(block, layers=8)) for block in (found, EXPERTS[name]))
    assert own == known


def test_a_block_that_was_built_is_read_back() -> None:
    assert code_of(Block(IRLAS_MOBILE, 4, 4, True), (4, 8, 8)) == IRLAS_MOBILE
    space = blockqnn(layers=7)
    assert space.canonical is not None
    rng, read = np.random.default_rng(0), 0
    for arch in (space.sample(rng) for _ in range(60)):
        block = layers_of(arch)
        if any(layer.type == "identity" or (layer.kernel == 1 and layer.type != "conv") for layer in block):
            continue  # what changes nothing is not seen in what is computed
        found = code_of(Block(block, 4, 4, False), (4, 8, 8))
        same = [space.canonical(architecture(one, layers=7)) for one in (found, block)] if len(found) <= 7 else [0, 1]
        projected = any(layer.type == "add" for layer in block)  # a sum may have a 1×1 convolution of its own
        assert same[0] == same[1] or projected
        read += same[0] == same[1]
    assert read >= 5


def test_a_traced_expert_is_imitated() -> None:
    block = code_of(MODULES["resnext"], (8, 8, 8))
    arch = architecture(block, layers=6)
    assert Imitation(expert=block, form="distance").likeness(arch) == 0
    assert Imitation(expert=block).likeness(arch) == Imitation(expert="resnext").likeness(arch)


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Conv2d(4, 4, 7, padding=3), r"conv \(weight.*of 7×7"),
        (nn.Conv2d(4, 4, (1, 3)), r"of 1×3"),
        (nn.Conv2d(4, 4, 3, groups=2, dilation=2), "dil_conv"),
        (nn.AvgPool2d(2), "avg_pool of 2×2"),
        (Gated(), "glob_avg|cse"),
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 4)), r"computes conv \(1\.weight"),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.PReLU()), "prelu"),
        (nn.Identity(), "changes nothing"),
        (Twice(), "changes nothing|one with itself"),
    ],
)
def test_what_has_no_code_is_named(module: nn.Module, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        code_of(module, (4, 8, 8))


def test_layers_are_plain_values() -> None:
    assert code_of(nn.Conv2d(4, 4, 3), (4, 8, 8)) == (Layer("conv", 3, 0, 0),)
