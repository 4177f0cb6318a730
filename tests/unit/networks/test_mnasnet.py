from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ogive.core.errors import SpecError, UnknownName
from ogive.networks.build import build, build_mobile, default_skeleton, fitted_skeleton
from ogive.networks.count import macs, parameters
from ogive.networks.export import export
from ogive.networks.mnasnet import MnasLayer, MnasNetwork
from ogive.networks.mobile import SameConv2d
from ogive.networks.plain_images import of_images
from ogive.spaces.mnasnet import NAME, mnasnet

SIDES = (224, 192, 160, 128, 96)
# Layers and counts of tensorflow/tpu, models/official/mnasnet/mnasnet_models.py, by hand and by timm's networks of the
# same tables (semnasnet_100, mnasnet_100, mnasnet_small, mobilenetv2_100).
NETWORKS = [
    ("mnasnet_a1", 3_887_038, 311_579_072),
    ("mnasnet_b1", 4_383_312, 314_415_872),
    ("mnasnet_small", 2_030_264, 68_339_184),
    ("mobilenet_v2", 3_504_872, 300_774_272),
]
# A1 at every width multiplier and image size of the same folder's README.
SCALED = [
    (1.4, 6_105_992, (586_317_952, 431_237_312, 300_015_232, 192_651_712, 109_146_752)),
    (1.0, 3_887_038, (311_579_072, 229_322_144, 159_720_128, 102_773_024, 58_480_832)),
    (0.75, 2_912_278, (223_448_480, 164_545_376, 114_704_288, 73_925_216, 42_208_160)),
    (0.5, 2_082_006, (103_162_992, 76_149_824, 53_292_528, 34_591_104, 20_045_552)),
    (0.35, 1_747_018, (61_681_920, 45_665_504, 32_113_152, 21_024_864, 12_400_640)),
]
# Every block alike: the smallest, the largest, the largest of plain convolutions, and MobileNetV2 (whose first block is
# depthwise and pointwise).
ALIKE = [
    ("/".join(["sepk3se0idf75n-1"] * 7), 1_668_816, 46_027_192),
    ("/".join(["mb6k5se25idf125n+1"] * 7), 8_883_812, 1_079_062_768),
    ("/".join(["convk5se25idf125n+1"] * 7), 13_939_364, 1_669_104_736),
    ("/".join(["sepk3se0idf100n+0"] + ["mb6k3se0idf100n+0"] * 6), 3_504_872, 300_774_272),
]


@pytest.mark.parametrize(("name", "weights", "multiplications"), NETWORKS)
def test_published_networks_have_their_published_cost(name: str, weights: int, multiplications: int) -> None:
    with torch.device("meta"):
        network = build_mobile(name)
        assert (parameters(network), macs(network, (3, 224, 224))) == (weights, multiplications)


@pytest.mark.parametrize(("multiplier", "weights", "multiplications"), SCALED)
def test_a1_has_its_cost_at_every_width_and_image_size(
    multiplier: float, weights: int, multiplications: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        network = build_mobile("mnasnet_a1", multiplier=multiplier)
        assert parameters(network) == weights
        assert tuple(macs(network, (3, side, side)) for side in SIDES) == multiplications


def test_blocks_of_a1_cost_what_its_table_says() -> None:
    """Its depthwise-separable first block: H · W · M · (K² + N) (section 4.1), at 112, 112, 32, 3 and 16."""
    with torch.device("meta"):
        first = build_mobile("mnasnet_a1").blocks[0]
        assert macs(first, (32, 112, 112)) == 112 * 112 * 32 * (3 * 3 + 16) == 10_035_200
        assert parameters(first) == 896


@pytest.mark.parametrize(("text", "weights", "multiplications"), ALIKE)
def test_ends_of_the_space_have_their_cost(text: str, weights: int, multiplications: int) -> None:
    with torch.device("meta"):
        network = build(mnasnet().parse(text), fitted_skeleton(NAME, (3, 224, 224), 1000))
        assert (parameters(network), macs(network, (3, 224, 224))) == (weights, multiplications)


def test_skips_are_an_identity_a_pooling_or_none() -> None:
    x = torch.randn(2, 8, 6, 6)
    for skip, added in (("id", x), ("pool", F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)), ("none", 0 * x)):
        layer = MnasLayer("mb3", 8, 8, 3, 1, skip=skip).eval()
        torch.testing.assert_close(layer(x), layer.transform(x) + added)
    strided = MnasLayer("sep", 8, 8, 3, 2, skip="pool").eval()
    torch.testing.assert_close(strided(x), strided.transform(x) + F.avg_pool2d(x, 3, 2, 1, count_include_pad=False))
    wider = MnasLayer("conv", 8, 16, 3, 1, skip="pool").eval()
    torch.testing.assert_close(wider(x), wider.transform(x))


def test_padding_as_in_tensorflow_puts_more_at_the_end_and_changes_no_count() -> None:
    """TensorFlow pads a 3×3 window with stride 2 by 0 and 1 over an even side, by 1 and 1 over an odd one."""
    convolution = SameConv2d(1, 1, 3, stride=2, bias=False)
    x = torch.randn(1, 1, 8, 7)
    torch.testing.assert_close(
        convolution(x), F.conv2d(F.pad(x, (1, 1, 0, 1)), convolution.weight, stride=2), rtol=0, atol=0
    )
    with torch.device("meta"):
        same = build_mobile("mnasnet_a1", same=True)
        assert (parameters(same), macs(same, (3, 224, 224))) == NETWORKS[0][1:]
    networks = [build_mobile("mnasnet_small", same=kind, classes=5, seed=0).eval() for kind in (False, True)]
    networks[1].load_state_dict(networks[0].state_dict())
    image = torch.randn(1, 3, 64, 64)
    plain, other = (network(image) for network in networks)
    assert plain.shape == other.shape == (1, 5)
    assert not torch.allclose(plain, other)


def test_small_images_are_halved_twice_and_the_head_is_not_widened() -> None:
    arch = mnasnet().sample(np.random.default_rng(0))
    for side, maps in ((32, 8), (224, 7)):
        network = build(arch, fitted_skeleton(NAME, (3, side, side), 10, channels=2)).eval()
        assert network.blocks(network.stem(torch.zeros(1, 3, side, side))).shape[-1] == maps
        assert network.classifier.in_features == 1280


def test_weights_and_normalisation_are_those_of_the_public_code() -> None:
    network = build_mobile("mnasnet_a1", seed=0)
    depthwise = network.blocks[5].transform[3]
    assert isinstance(depthwise, nn.Conv2d)
    assert depthwise.groups == depthwise.out_channels
    spread = float(depthwise.weight.detach().std())
    assert spread == pytest.approx((2 / depthwise.kernel_size[0] ** 2) ** 0.5, rel=0.1)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.01, 1e-3)}


def test_the_source_is_written_without_ogive(tmp_path: Path) -> None:
    network = build(mnasnet().sample(np.random.default_rng(1)), default_skeleton(NAME, channels=2, classes=10), seed=1)
    exported = export(network.eval(), tmp_path, of_images((3, 8, 8)), name="winner", formats=("torch",))
    assert exported[0].largest_difference == 0.0


def test_a_recipe_builds_the_same_network_again() -> None:
    arch = mnasnet().sample(np.random.default_rng(1))
    network = build(arch, default_skeleton(NAME, channels=2, classes=3), seed=1).eval()
    again = MnasNetwork(**network.recipe).eval()
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(again(images), network(images))


@pytest.mark.parametrize("asked", [{"cells": 1}, {"auxiliary": True}, {"drop_path": 0.1}, {"channels": 0}])
def test_what_these_networks_have_not_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=next(iter(asked))):
        build(mnasnet().sample(np.random.default_rng(0)), default_skeleton(NAME, **asked))


def test_other_names_and_multipliers_are_refused() -> None:
    with pytest.raises(UnknownName, match="mnasnet_a2"):
        build_mobile("mnasnet_a2")
    with pytest.raises(SpecError, match=r"multiplier of a mobile network is in \(0, 16\]"):
        build_mobile("mnasnet_a1", multiplier=0)
