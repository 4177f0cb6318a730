from __future__ import annotations

import pytest
import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.networks.build import Skeleton, build, default_skeleton, fitted_skeleton
from ogive.networks.count import macs, parameters
from ogive.networks.mobile import InvertedResidual, MobileNetworkV3, SqueezeExcite, divisible
from ogive.spaces.ofa_mobilenetv3 import NAME, ofa_mobilenetv3

SMALL = Architecture(NAME, (0,) * 45)
# Rows of the results that IntelLabs/DyNAS-T publishes (ofa_mbv3_d234_e346_k357_w1.0, 224 pixels, 1,000 classes).
PUBLISHED = [
    ("k57553337553773335555 e43444634434336664344 d23243", 5_029_656, 255_502_624),
    ("k55553777757333555755 e43636633644634364434 d33343", 4_761_632, 297_261_792),
    ("k35757555333555735733 e43664663646643346634 d32234", 5_215_592, 261_675_008),
    ("k55557755553553573357 e34634444436433443434 d23342", 4_148_784, 228_096_016),
]


@pytest.mark.parametrize(("text", "published_parameters", "published_macs"), PUBLISHED)
def test_published_networks_have_their_published_cost(
    text: str, published_parameters: int, published_macs: int
) -> None:
    skeleton = fitted_skeleton(NAME, (3, 224, 224), 1000)
    with torch.device("meta"):
        network = build(ofa_mobilenetv3().parse(text), skeleton)
        assert parameters(network) == published_parameters
        assert macs(network, (3, 224, 224)) == published_macs


@pytest.mark.parametrize("squeezed", [0, 8])
def test_a_block_has_as_many_parameters_as_its_shapes_say(squeezed: int) -> None:
    inputs, width, middle, kernel = 16, 24, 64, 5
    block = InvertedResidual(inputs, width, middle, kernel, stride=2, squeezed=squeezed)
    convolutions = inputs * middle + kernel**2 * middle + middle * width
    normalisations = 2 * (middle + middle + width)
    excitation = (2 * middle * squeezed + squeezed + middle) if squeezed else 0
    assert parameters(block) == convolutions + normalisations + excitation
    assert block(torch.zeros(2, inputs, 9, 9)).shape == (2, width, 5, 5)


def test_a_block_adds_its_input_where_the_shapes_agree() -> None:
    block = InvertedResidual(8, 8, 24).eval()
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(block(x), x + block.transform(x))
    assert not InvertedResidual(8, 8, 24, stride=2).residual
    assert not InvertedResidual(8, 16, 24).residual


def test_squeeze_and_excitation_gates_whole_channels() -> None:
    gate = SqueezeExcite(8, 8)
    x = torch.rand(2, 8, 3, 3) + 1
    ratio = gate(x) / x
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    assert 0 < float(ratio.detach().min()) <= float(ratio.detach().max()) < 1


@pytest.mark.parametrize(("width", "rounded"), [(3, 8), (19.2, 24), (16, 16), (28.8, 32), (134.4, 136), (12, 16)])
def test_widths_are_multiples_of_eight_and_lose_a_tenth_at_most(width: float, rounded: int) -> None:
    assert divisible(width) == rounded


def test_width_follows_the_stem_and_large_images_are_halved_five_times() -> None:
    wide = build(SMALL, default_skeleton(NAME, channels=32))
    assert wide.recipe["stem"] == 32
    assert (wide.expansion[0].out_channels, wide.classifier.in_features) == (1920, 2560)
    for side, maps in ((32, 8), (224, 7)):
        network = build(SMALL, fitted_skeleton(NAME, (3, side, side), 10, channels=2)).eval()
        assert network.blocks(network.stem(torch.zeros(1, 3, side, side))).shape[-1] == maps


def test_a_recipe_builds_the_same_network_again() -> None:
    network = build(SMALL, Skeleton(channels=2, cells=0, classes=3), seed=1).eval()
    again = MobileNetworkV3(**network.recipe).eval()
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(again(images), network(images))


@pytest.mark.parametrize("asked", [{"cells": 1}, {"auxiliary": True}, {"drop_path": 0.1}, {"channels": 0}])
def test_what_these_networks_have_not_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=next(iter(asked))):
        build(SMALL, default_skeleton(NAME, **asked))
