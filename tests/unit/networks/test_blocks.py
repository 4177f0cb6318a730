from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ogive.core.errors import SpecError
from ogive.networks.blocks import Block, BlockNetwork, Convolution, network_widths
from ogive.networks.build import build, build_irlas_mobile, default_skeleton, fitted_skeleton
from ogive.networks.count import macs, parameters
from ogive.networks.export import export
from ogive.networks.plain_images import of_images
from ogive.spaces.blockqnn import CONVOLUTIONS, blockqnn, blockqnn_separable

# gmh14/IRLAS, models/IRLAS_mobile.py and its log.txt ("Total params: 9.96M"): parameters of stem, stages, classifier.
PARTS = (864 + 64, 14_816, 231_680, 4_351_488, 3_826_688, 1_537_000)
SMALL = "(1,1,3,0,0)(2,1,1,1,0)(3,5,0,2,0)(4,2,3,1,0)(5,3,3,4,0)(6,6,0,5,3)"


def test_irlas_mobile_has_the_published_cost() -> None:
    with torch.device("meta"):
        network = build_irlas_mobile()
        parts = (network.stem, *network.stages, network.classifier)
        assert tuple(map(parameters, parts)) == PARTS
        assert parameters(network) == 9_962_600
        assert macs(network, (3, 224, 224)) == 1_418_807_296
        grouped = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        assert {m.kernel_size[0] for m in grouped} == {1, 3, 5}


def test_a_block_computes_what_its_code_says() -> None:
    block = Block(
        [("conv", 3, 0, 0), ("max", 3, 1, 0), ("avg", 3, 0, 0), ("add", 0, 2, 1), ("concat", 0, 4, 3)], 4, 4, False
    )
    block.eval()
    x = torch.randn(2, 4, 6, 6)
    convolution = block.layers[0]
    assert isinstance(convolution, Convolution)
    one = convolution[2](F.conv2d(F.relu(x), convolution[1].weight, padding=1))
    two = F.max_pool2d(one, 3, 1, 1)
    three = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(block(x), torch.cat((two + one, three), dim=1))


def test_sums_are_as_wide_as_the_wider_and_separable_convolutions_narrow_first() -> None:
    block = Block([("conv", 1, 0, 0), ("conv", 5, 0, 0), ("add", 0, 2, 0)], 12, 4, True).eval()
    widths = [tuple(m.weight.shape) for m in block.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [(12, 1, 1, 1), (4, 12, 1, 1), (4, 12, 1, 1), (4, 1, 5, 5), (4, 4, 1, 1), (12, 4, 1, 1)]
    x = torch.randn(1, 12, 5, 5)
    total = block.layers[2]
    y = torch.cat((block.layers[0](x), total.first(block.layers[1](x)) + x), dim=1)
    torch.testing.assert_close(block(x), y)


@pytest.mark.parametrize("space", CONVOLUTIONS)
def test_small_images_are_halved_twice_and_large_ones_five_times(space: str) -> None:
    arch = (blockqnn if space == "blockqnn" else blockqnn_separable)(layers=6).parse(SMALL)
    for side, maps, cells in ((32, 8, [2, 2, 2]), (224, 7, [1, 1, 2, 1])):
        network = build(arch, fitted_skeleton(space, (3, side, side), 7, channels=4, cells=2)).eval()
        assert network.stages(network.stem(torch.zeros(1, 3, side, side))).shape[-1] == maps
        assert [sum(isinstance(m, Block) for m in stage) for stage in network.stages] == cells
        assert network(torch.zeros(1, 3, side, side)).shape == (1, 7)


@pytest.mark.parametrize("formats", [("torch",), ("onnx",)])
def test_it_is_taken_away_as_source_and_as_onnx(tmp_path: Path, formats: tuple[str, ...]) -> None:
    arch = blockqnn_separable(layers=6).parse(SMALL)
    network = build(arch, default_skeleton(arch.space, channels=2, cells=1, classes=10), seed=1)
    exported = export(network.eval(), tmp_path, of_images((3, 8, 8)), name="winner", formats=formats)
    assert exported[0].largest_difference < 1e-5


def test_a_recipe_builds_the_same_network_again_and_it_learns() -> None:
    arch = blockqnn(layers=10).sample(np.random.default_rng(3))
    network = build(arch, default_skeleton(arch.space, channels=2, cells=1, classes=3), seed=1)
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    again = BlockNetwork(**network.recipe).eval()
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(again(images), network.eval()(images))


def test_blocks_that_widen_without_end_are_refused() -> None:
    arch = blockqnn(layers=3).parse("(1,4,0,0,0)(2,2,3,0,0)(3,3,3,0,0)")
    assert network_widths([("identity", 0, 0, 0), ("max", 3, 0, 0), ("avg", 3, 0, 0)], 2, 2, False)[-1] == 8 * 9
    with pytest.raises(SpecError, match=r"widen to 10,368 channels, more than 8,192"):
        build(arch, default_skeleton(arch.space))


@pytest.mark.parametrize("asked", [{"cells": 0}, {"auxiliary": True}, {"drop_path": 0.1}, {"channels": 0}])
def test_what_these_networks_have_not_is_refused(asked: dict[str, object]) -> None:
    arch = blockqnn(layers=2).sample(np.random.default_rng(0))
    with pytest.raises(SpecError, match=next(iter(asked))):
        build(arch, default_skeleton(arch.space, **asked))
