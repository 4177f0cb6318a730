"""Evaluation networks of DARTS: counts and float64 values that running the published code gave.

The numbers come from executing the reference code of Liu et al., "DARTS: Differentiable Architecture Search", ICLR
2019 (quark0/darts at f276dd3, its network rebuilt on today's PyTorch) and, for the few-shot cell, that of Zhao et al.,
"Few-shot Neural Architecture Search", ICML 2021 (aoiang/few-shot-NAS at ec366c1). Parameters leave out the running
statistics; multiply-accumulates are those of convolutions and linear layers for one image, without the auxiliary head.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ogive.networks import count
from ogive.networks.build import build_genotype, default_skeleton
from ogive.networks.darts import DartsNetwork, darts_operation
from ogive.networks.genotypes import PUBLISHED

CIFAR = (3, 32, 32)
IMAGENET = (3, 224, 224)


pytestmark = pytest.mark.usefixtures("one_thread")


def network(name: str, **overrides: object) -> DartsNetwork:
    return build_genotype(PUBLISHED[name], default_skeleton("darts", **overrides))


def without_auxiliary(module: nn.Module) -> int:
    return sum(parameter.numel() for name, parameter in module.named_parameters() if "auxiliary" not in name)


# C = 36, L = 20, 10 classes: parameters, with auxiliary head (None: not measured), multiply-accumulates at 32×32.
CIFAR_NETWORKS = {
    "darts_v1": (3_169_414, 3_645_840, 500_987_520),
    "darts_v2": (3_349_342, 3_825_768, 528_359_040),
    "nasnet": (3_830_950, 4_288_944, 603_452_448),
    "amoebanet": (3_145_078, 3_603_072, 488_931_552),
    "pc_darts_cifar": (3_634_678, None, 556_670_592),
    "pc_darts_imagenet": (3_721_510, None, 570_466_944),
    "drnas_cifar10": (4_099_294, None, 635_135_616),
    "drnas_imagenet": (4_048_750, None, 617_938_560),
    "darts_pt_0": (2_851_246, None, 449_119_872),
    "darts_pt_1": (3_053_206, None, 471_680_640),
    "darts_pt_2": (2_658_142, None, 413_149_824),
    "darts_pt_3": (3_328_174, None, 517_714_560),
    "few_shot_cifar": (3_789_982, 4_266_408, 595_101_312),
}
# C = 48, L = 14, 1000 classes: the same at 224×224.
IMAGENET_NETWORKS = {
    "darts_v1": (4_510_432, 5_771_208, 505_864_704),
    "darts_v2": (4_718_752, 5_979_528, 529_911_552),
    "nasnet": (5_564_320, 6_800_520, 604_031_616),
    "amoebanet": (4_627_360, 5_863_560, 526_746_624),
    "pc_darts_cifar": (5_270_560, None, 571_137_408),
    "pc_darts_imagenet": (5_342_464, None, 581_627_328),
    "drnas_cifar10": (5_738_464, None, 633_832_320),
    "drnas_imagenet": (5_726_368, None, 624_405_504),
}
# 100 classes, C = 36, L = 20: parameters without and with the auxiliary head.
CIFAR100_NETWORKS = {
    "darts_v1": (3_221_344, 3_766_980),
    "darts_v2": (3_401_272, 3_946_908),
    "nasnet": (3_895_840, 4_423_044),
    "amoebanet": (3_184_048, 3_711_252),
}


@pytest.mark.parametrize("name", CIFAR_NETWORKS)
def test_networks_for_cifar_count_as_the_published_code(name: str) -> None:
    plain, with_auxiliary, macs = CIFAR_NETWORKS[name]
    module = network(name, auxiliary=with_auxiliary is not None)
    assert without_auxiliary(module) == plain
    assert with_auxiliary is None or count.parameters(module) == with_auxiliary
    assert count.macs(module, CIFAR) == macs


@pytest.mark.parametrize("name", IMAGENET_NETWORKS)
def test_networks_for_imagenet_count_as_the_published_code(name: str) -> None:
    plain, with_auxiliary, macs = IMAGENET_NETWORKS[name]
    module = network(name, style="imagenet", auxiliary=with_auxiliary is not None)
    assert without_auxiliary(module) == plain
    assert with_auxiliary is None or count.parameters(module) == with_auxiliary
    assert count.macs(module, IMAGENET) == macs


@pytest.mark.parametrize("name", CIFAR100_NETWORKS)
def test_networks_for_cifar100_count_as_the_published_code(name: str) -> None:
    module = network(name, classes=100, auxiliary=True)
    assert (without_auxiliary(module), count.parameters(module)) == CIFAR100_NETWORKS[name]


def test_the_wide_few_shot_network_counts_as_the_published_code() -> None:
    module = network("few_shot_cifar", channels=128, auxiliary=True)
    assert without_auxiliary(module) == 45_541_514
    assert count.parameters(module) == 46_206_356
    assert count.macs(module, CIFAR) == 7_023_775_744


@pytest.mark.parametrize(
    ("name", "channels", "layers", "parameters", "macs"),
    [
        ("darts_v1", 16, 8, 232_890, 41_355_776),
        ("darts_v1", 36, 8, 1_094_950, 191_108_736),
        ("darts_v1", 16, 20, 671_034, 108_300_800),
        ("darts_v1", 4, 5, 10_910, 2_255_488),
        ("darts_v1", 8, 3, 8_082, 4_154_624),
        ("darts_v2", 16, 8, 246_106, 43_444_736),
        ("darts_v2", 36, 8, 1_154_926, 200_232_576),
        ("darts_v2", 16, 20, 710_682, 114_567_680),
        ("darts_v2", 4, 5, 11_554, 2_369_152),
        ("darts_v2", 8, 3, 8_234, 4_293_888),
    ],
)
def test_small_networks_count_as_the_published_code(
    name: str, channels: int, layers: int, parameters: int, macs: int
) -> None:
    module = network(name, channels=channels, cells=layers)
    assert (count.parameters(module), count.macs(module, CIFAR)) == (parameters, macs)


# -- parts and shapes -------------------------------------------------------------------------------------------------


def shapes_of_cells(module: DartsNetwork, images: Tensor) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    handles = [
        cell.register_forward_hook(lambda _cell, _inputs, output: shapes.append(tuple(output.shape[1:])))
        for cell in module.cells
    ]
    with torch.no_grad():
        module(images)
    for handle in handles:
        handle.remove()
    return shapes


def test_parts_of_darts_v2_for_cifar_count_as_the_published_code() -> None:
    module = network("darts_v2", auxiliary=True)
    assert count.parameters(module.stem0) == 3_132
    assert [count.parameters(cell) for cell in module.cells] == [
        *(26_532, 27_828, 29_124, 29_124, 29_124, 29_124),
        *(21_024, 97_128, 107_496, 107_496, 107_496, 107_496, 107_496),
        *(83_520, 370_512, 411_984, 411_984, 411_984, 411_984, 411_984),
    ]
    assert count.parameters(module.classifier) == 5_770
    assert module.auxiliary_head is not None
    assert count.parameters(module.auxiliary_head) == 476_426


def test_cells_of_darts_v2_for_cifar_have_the_published_shapes() -> None:
    module = network("darts_v2", auxiliary=True).eval()
    shapes = shapes_of_cells(module, torch.zeros(1, *CIFAR))
    assert shapes == [(144, 32, 32)] * 6 + [(288, 16, 16)] * 7 + [(576, 8, 8)] * 7
    assert module.auxiliary_head is not None
    assert module.auxiliary_head(torch.zeros(3, 576, 8, 8)).shape == (3, 10)


def test_parts_of_darts_v2_for_imagenet_count_as_the_published_code() -> None:
    module = network("darts_v2", style="imagenet", auxiliary=True)
    assert count.parameters(module.stem0) == 11_160
    assert count.parameters(module.stem1) == 20_832
    assert count.parameters(module.classifier) == 769_000
    assert module.auxiliary_head is not None
    assert count.parameters(module.auxiliary_head) == 1_260_776


def test_cells_of_darts_v2_for_imagenet_have_the_published_shapes() -> None:
    module = network("darts_v2", style="imagenet", auxiliary=True).eval()
    shapes = shapes_of_cells(module, torch.zeros(1, *IMAGENET))
    assert shapes == [(192, 28, 28)] * 4 + [(384, 14, 14)] * 5 + [(768, 7, 7)] * 5
    assert module.auxiliary_head is not None
    assert module.auxiliary_head(torch.zeros(3, 768, 7, 7)).shape == (3, 1000)


# C = 16: parameters at stride 1 and at stride 2, each with and without those of the batch normalisation.
OPERATIONS = {
    "none": ((0, 0), (0, 0)),
    "max_pool_3x3": ((0, 0), (0, 0)),
    "avg_pool_3x3": ((0, 0), (0, 0)),
    "skip_connect": ((0, 0), (288, 256)),
    "sep_conv_3x3": ((864, 800), (864, 800)),
    "sep_conv_5x5": ((1376, 1312), (1376, 1312)),
    "sep_conv_7x7": ((2144, 2080), (2144, 2080)),
    "dil_conv_3x3": ((432, 400), (432, 400)),
    "dil_conv_5x5": ((688, 656), (688, 656)),
    "conv_7x1_1x7": ((3616, 3584), (3616, 3584)),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_operations_count_and_shape_as_the_published_code(name: str, stride: int) -> None:
    images = torch.zeros(2, 16, 32, 32)
    for affine, parameters in zip((True, False), OPERATIONS[name][stride - 1], strict=True):
        operation = darts_operation(name, 16, stride, affine=affine)
        assert count.parameters(operation) == parameters
        assert operation(images).shape == (2, 16, 32 // stride, 32 // stride)


# -- values -----------------------------------------------------------------------------------------------------------


def filled(name: str) -> DartsNetwork:
    """C = 4, L = 5 in float64. The k-th parameter in the order of registration is sin(0.7 n + k), scaled as below."""
    module = network(name, channels=4, cells=5).double()
    with torch.no_grad():
        for place, parameter in enumerate(module.parameters()):
            if parameter.dim() > 1:
                wave = torch.sin(0.7 * torch.arange(parameter.numel(), dtype=torch.float64) + place)
                parameter.copy_((wave * math.sqrt(2.0 / parameter[0].numel())).view_as(parameter))
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.fill_(1.0)
                layer.bias.zero_()
        module.classifier.bias.zero_()
    return module


V1_EVALUATION = [
    *(-0.00041225, -0.00081711, -0.0007054, -0.00014773, 0.00050334),
    *(0.00083619, 0.0006404, 3.975e-05, -0.00058603, -0.00084132),
]
V2_EVALUATION = [
    *(-0.00186584, 0.00099017, 0.00322019, 0.0034144, 0.00145002),
    *(-0.00143107, -0.00340743, -0.00322961, -0.00101002, 0.0018481),
]
V2_TRAINING = [
    *(-0.01248747, -0.0084741, 0.00089662, 0.00970049, 0.0123717),
    *(0.00722149, -0.00249416, -0.01063299, -0.01204963, -0.00584846),
]


@pytest.mark.parametrize(
    ("name", "training", "logits"),
    [("darts_v1", False, V1_EVALUATION), ("darts_v2", False, V2_EVALUATION), ("darts_v2", True, V2_TRAINING)],
)
def test_logits_agree_with_the_published_code(name: str, training: bool, logits: list[float]) -> None:
    images = torch.sin(0.37 * torch.arange(2 * 3 * 32 * 32, dtype=torch.float64)).view(2, 3, 32, 32)
    module = filled(name).train(training)
    with torch.no_grad():
        found = module(images)[0]
    torch.testing.assert_close(found, torch.tensor(logits, dtype=torch.float64), rtol=0.0, atol=1e-7)


def test_the_published_sizes_are_the_defaults() -> None:
    # DARTS, train.py and train_imagenet.py.
    assert default_skeleton("darts").channels == 36
    assert default_skeleton("darts").cells == 20
    imagenet = default_skeleton("darts", style="imagenet")
    assert (imagenet.channels, imagenet.cells, imagenet.classes) == (48, 14, 1000)
