"""Supernets: counts, gradients and derived cells that running the published code gave.

The numbers come from executing the search networks of Liu et al., "DARTS: Differentiable Architecture Search", ICLR
2019 (quark0/darts at f276dd3, rebuilt on today's PyTorch), and of Zhao et al., "Few-shot Neural Architecture Search",
ICML 2021 (aoiang/few-shot-NAS at ec366c1) for NAS-Bench-201.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ogive.networks import count
from ogive.networks.build import Skeleton
from ogive.supernets.derive import strongest_two
from ogive.supernets.gates import Softmax
from ogive.supernets.networks import Supernet
from ogive.supernets.plan import DARTS, NASBENCH201
from ogive.supernets.sharing import supernet

CIFAR = (3, 32, 32)

pytestmark = pytest.mark.usefixtures("one_thread")


def outline(space: str, channels: int, cells: int, **options: object) -> Supernet:
    with torch.device("meta"):
        return supernet(space, Skeleton(channels, cells), **options)  # type: ignore[arg-type]


class Mixed(nn.Module):
    """A supernet with a mix of everything, called like a plain network."""

    def __init__(self, network: Supernet) -> None:
        super().__init__()
        self.network = network
        draw = torch.Generator()
        self.mixture = network.alphas(draw).mixture(Softmax(), draw)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x, self.mixture)
        return logits


# -- darts ------------------------------------------------------------------------------------------------------------

# Channels and cells: parameters, their tensors, multiply-accumulates at 32×32.
DARTS_SUPERNETS = {
    (16, 8): (1_930_618, 1399, 300_255_744),
    (16, 5): (1_275_834, 889, 186_698_240),
    (8, 8): (597_890, 1399, 100_254_976),
    (4, 5): (136_182, 889, 22_884_992),
    (4, 3): (72_854, 548, 15_483_520),
}


@pytest.mark.parametrize("size", DARTS_SUPERNETS)
def test_supernets_of_darts_count_as_the_published_code(size: tuple[int, int]) -> None:
    parameters, tensors, _ = DARTS_SUPERNETS[size]
    network = outline("darts", *size)
    assert count.parameters(network) == parameters
    assert len(list(network.parameters())) == tensors


@pytest.mark.parametrize("size", DARTS_SUPERNETS)
def test_supernets_of_darts_multiply_as_often_as_the_published_code(size: tuple[int, int]) -> None:
    network = Mixed(supernet("darts", Skeleton(*size), seed=0))
    assert count.macs(network, CIFAR) == DARTS_SUPERNETS[size][2]


def test_cells_of_the_darts_supernet_count_as_the_published_code() -> None:
    network = outline("darts", 16, 8)
    assert count.parameters(network.stem) == 1_392  # type: ignore[arg-type]
    assert [count.parameters(cell) for cell in network.cells] == [  # type: ignore[union-attr]
        *(45_888, 46_144, 144_000, 137_856, 139_904, 484_608, 460_032, 468_224)
    ]
    assert count.parameters(network.classifier) == 2_570  # type: ignore[arg-type]
    assert [place for place, kind in enumerate(network.kinds) if kind == "reduce"] == [2, 5]


def test_cells_of_the_darts_supernet_have_the_published_shapes() -> None:
    network = Mixed(supernet("darts", Skeleton(16, 8), seed=0))
    shapes: list[tuple[int, ...]] = []
    for cell in network.network.cells:  # type: ignore[union-attr]
        cell.register_forward_hook(lambda _cell, _inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        network.eval()(torch.zeros(1, *CIFAR))
    assert shapes == [(64, 32, 32)] * 2 + [(128, 16, 16)] * 3 + [(256, 8, 8)] * 3


def test_only_the_stem_of_the_darts_supernet_has_a_normalisation_with_weights() -> None:
    network = outline("darts", 16, 8)
    affine = [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d) and module.affine]
    assert affine == ["stem.1"]


def test_darts_has_224_architecture_parameters_and_none_is_a_weight() -> None:
    network = supernet("darts", Skeleton(4, 8), seed=0)
    alphas = network.alphas(torch.Generator())
    assert [tuple(tensor.shape) for tensor in alphas.tensors] == [(14, 8), (14, 8)]
    own = {id(weight) for weight in network.parameters()}
    assert not own & {id(tensor) for tensor in alphas.tensors}


def filled() -> Supernet:
    """C = 4, L = 3 in float64. The k-th parameter in the order of registration is sin(0.7 n + k), scaled as below."""
    network = supernet("darts", Skeleton(4, 3), seed=0).double()
    with torch.no_grad():
        for place, weight in enumerate(network.parameters()):
            if weight.dim() > 1:
                wave = torch.sin(0.7 * torch.arange(weight.numel(), dtype=torch.float64) + place)
                weight.copy_((wave * math.sqrt(2.0 / weight[0].numel())).view_as(weight))
            else:
                weight.fill_(0.0)
        network.get_parameter("stem.1.weight").fill_(1.0)
    return network


def test_gradients_of_the_darts_supernet_agree_with_the_published_code() -> None:
    network = filled()
    alphas = network.alphas(torch.Generator())
    with torch.no_grad():
        for group, values in enumerate(alphas.groups):
            values.copy_(torch.sin(0.7 * torch.arange(112, dtype=torch.float64) + group).view(14, 8))
    images = torch.sin(0.37 * torch.arange(2 * 3 * 32 * 32, dtype=torch.float64)).view(2, 3, 32, 32)
    logits = network(images, alphas.mixture(Softmax(), torch.Generator()))
    loss = F.cross_entropy(logits, torch.tensor([3, 7]))
    normal, reduce = torch.autograd.grad(loss, alphas.tensors)
    assert loss.item() == pytest.approx(2.3010446774, abs=1e-9)
    assert normal.norm().item() == pytest.approx(0.1870759310, abs=1e-9)
    assert reduce.norm().item() == pytest.approx(0.0727700252, abs=1e-9)
    expected = [
        *(-0.0123361045, -0.0250595282, 0.0127143959, 0.0184320826),
        *(0.037890269, -0.0129082674, -0.0188249159, 9.20684e-05),
    ]
    torch.testing.assert_close(normal[0], torch.tensor(expected, dtype=torch.float64), rtol=0.0, atol=1e-9)


# -- the derive rule of darts -----------------------------------------------------------------------------------------

SHORT = {
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}


def derived(alphas_EO: Tensor) -> tuple[tuple[str, int], ...]:
    return strongest_two(torch.softmax(alphas_EO.double(), dim=1), DARTS.edges, DARTS.operations)


def cell(text: str) -> tuple[tuple[str, int], ...]:
    pairs = [entry.split("<") for entry in text.replace("|", " ").split()]
    return tuple((SHORT[name], int(state)) for name, state in pairs)


def wave(offset: int) -> Tensor:
    return torch.tensor([[((7 * e + 3 * o + offset) % 11) / 10 for o in range(8)] for e in range(14)])


def test_equal_strengths_derive_the_first_operation_of_the_first_states() -> None:
    assert derived(torch.zeros(14, 8)) == cell("max<0 max<1 | max<0 max<1 | max<0 max<1 | max<0 max<1")


def test_the_derived_cells_of_a_wave_are_those_of_the_published_code() -> None:
    assert derived(wave(0)) == cell("dil5<0 max<1 | dil3<0 sep5<2 | skip<3 dil3<0 | avg<1 dil5<2")
    assert derived(wave(5)) == cell("skip<1 sep5<0 | avg<1 dil5<2 | max<0 dil3<1 | skip<3 dil3<0")


def test_none_is_never_derived() -> None:
    alphas = torch.zeros(14, 8)
    alphas[:, 0], alphas[:, 3] = 10.0, 1.0
    assert derived(alphas) == cell("skip<0 skip<1 | skip<0 skip<1 | skip<0 skip<1 | skip<0 skip<1")


def test_a_large_none_makes_an_edge_weaker() -> None:
    alphas = torch.zeros(14, 8)
    alphas[:, 3] = 1.0
    alphas[1] = torch.tensor([5.0, 0, 0, 0, 2.0, 0, 0, 0])
    assert derived(alphas) == cell("skip<0 sep3<1 | skip<0 skip<1 | skip<0 skip<1 | skip<0 skip<1")


# -- nasbench201 ------------------------------------------------------------------------------------------------------


def split(op: int) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The first edge holds one operation only."""
    return {"cell": ((op,), *NASBENCH201.everything[1:])}


def test_supernets_of_nasbench201_count_as_the_published_code() -> None:
    assert count.parameters(outline("nasbench201", 16, 5)) == 1_686_106
    assert count.parameters(outline("nasbench201", 4, 1)) == 25_054
    assert count.parameters(outline("nasbench201", 16, 5, partial=4)) == 174_106
    alphas = outline("nasbench201", 4, 1).alphas(torch.Generator())
    assert [tuple(tensor.shape) for tensor in alphas.tensors] == [(6, 5)]


# What the first edge holds: parameters of C = 16, N = 5 and of C = 4, N = 1; then both with partial channels, K = 4.
SPLIT = {
    "none": (1_417_306, 21_694, 157_306, 5_944),
    "skip_connect": (1_417_306, 21_694, 157_306, 5_944),
    "nor_conv_1x1": (1_444_186, 22_030, 184_186, 6_280),
    "nor_conv_3x3": (1_659_226, 24_718, 399_226, 8_968),
    "avg_pool_3x3": (1_417_306, 21_694, 157_306, 5_944),
}


@pytest.mark.parametrize("name", SPLIT)
def test_supernets_with_a_split_edge_count_as_the_published_code(name: str) -> None:
    choices = split(NASBENCH201.operations.index(name))
    found = [
        count.parameters(outline("nasbench201", *size, choices=choices, partial=partial))
        for partial in (1, 4)
        for size in ((16, 5), (4, 1))
    ]
    assert tuple(found) == SPLIT[name]
    alphas = outline("nasbench201", 4, 1, choices=choices).alphas(torch.Generator())
    assert [tuple(tensor.shape) for tensor in alphas.tensors] == [(5, 5)]
