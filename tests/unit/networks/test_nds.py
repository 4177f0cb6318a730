from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ogive.catalog import build as part
from ogive.core.errors import SpecError
from ogive.networks import count
from ogive.networks.build import Skeleton, build, default_skeleton, smallest_image
from ogive.networks.darts import DARTS_OPERATIONS, DartsNetwork, darts_operation
from ogive.networks.residual import ResidualBlock, ResidualNetwork
from ogive.spaces import nds, nds_residual

pytestmark = pytest.mark.usefixtures("one_thread")

CELLS = sorted(nds.FAMILIES)
RESIDUAL = sorted(nds_residual.BLOCKS)


@pytest.mark.parametrize("name", sorted({op for family in nds.FAMILIES.values() for op in family.ops}))
@pytest.mark.parametrize("side", [7, 8])
def test_every_operation_keeps_the_channels_and_halves_sides_as_the_others_do(name: str, side: int) -> None:
    assert name in DARTS_OPERATIONS
    x = torch.rand(2, 6, side, side)
    assert darts_operation(name, 6)(x).shape == x.shape
    assert darts_operation(name, 6, stride=2)(x).shape == (2, 6, (side + 1) // 2, (side + 1) // 2)


def test_the_weights_of_the_operations_that_only_nds_has() -> None:
    weights = {
        name: sum(one.weight.numel() for one in darts_operation(name, 6).modules() if isinstance(one, nn.Conv2d))
        for name in ("conv_1x1", "conv_3x3", "conv_3x1_1x3", "dil_sep_conv_3x3", "max_pool_5x5", "max_pool_7x7")
    }
    assert list(weights.values()) == [36, 9 * 36, 6 * 36, 2 * (9 * 6 + 36), 0, 0]
    dilated = [one for one in darts_operation("dil_sep_conv_3x3", 6).modules() if isinstance(one, nn.Conv2d)]
    assert [one.dilation for one in dilated] == [(2, 2), (1, 1), (2, 2), (1, 1)]


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_network_has_the_width_and_depth_of_its_architecture_or_those_that_are_given(name: str) -> None:
    arch = part("space", f"{name}(widths=[24], depths=[8])").sample(np.random.default_rng(0))
    with torch.device("meta"):
        own, given = build(arch, default_skeleton(name)), build(arch, default_skeleton(name, channels=4, cells=5))
    assert isinstance(own, DartsNetwork)
    assert (own.recipe["channels"], own.recipe["layers"], len(own.cells)) == (24, 8, 8)
    assert isinstance(given, DartsNetwork)
    assert (given.recipe["channels"], len(given.cells)) == (4, 5)


def test_a_network_of_any_size_that_a_table_may_hold_can_be_built() -> None:
    for width, depth in ((96, 22), (36, 6)):
        space = part("space", f"nds_enas(widths=[{width}], depths=[{depth}])")
        arch = space.sample(np.random.default_rng(0))
        with torch.device("meta"):
            assert build(arch, default_skeleton("nds_enas")).recipe["channels"] == width


def test_the_least_image_of_a_cell_network_is_that_of_two_reductions() -> None:
    assert smallest_image("nds_pnas", default_skeleton("nds_pnas")) == 4
    assert smallest_image("nds_pnas", default_skeleton("nds_pnas", style="imagenet")) == 32
    arch = part("space", "nds_pnas").sample(np.random.default_rng(0))
    with pytest.raises(SpecError, match="3×3 are too small"):
        build(arch, default_skeleton("nds_pnas", size=3))


@pytest.mark.parametrize("name", RESIDUAL)
def test_closed_forms_count_the_parameters_and_operations_of_any_residual_network(name: str) -> None:
    space, rng = part("space", name), np.random.default_rng(0)
    for _ in range(5):
        arch = space.sample(rng)
        stages = nds_residual.stages_of(arch)
        with torch.device("meta"):
            network = build(arch, default_skeleton(name))
            other = build(arch, default_skeleton(name, classes=100))
        assert count.parameters(network) == nds_residual.parameters_of(stages)
        assert count.parameters(other) == nds_residual.parameters_of(stages, classes=100)
        assert count.macs(network, (3, 32, 32)) == nds_residual.macs_of(stages)


@pytest.mark.parametrize("name", RESIDUAL)
def test_a_residual_network_has_no_size_but_its_own(name: str) -> None:
    arch = part("space", name).sample(np.random.default_rng(0))
    for size in ({"channels": 16}, {"cells": 3}):
        with pytest.raises(SpecError, match="holds its own widths and depths"):
            build(arch, default_skeleton(name, **size))
    with pytest.raises(SpecError, match="auxiliary"):
        build(arch, default_skeleton(name, auxiliary=True))


def test_networks_of_other_spaces_still_need_cells() -> None:
    for space in ("nasbench201", "nasbench101", "natssize", "darts"):
        with pytest.raises(SpecError, match=r"cells.*0"):
            default_skeleton(space, cells=0)
        arch = part("space", space).sample(np.random.default_rng(0))
        with pytest.raises(SpecError, match="cells=0"):
            build(arch, Skeleton(channels=0 if space == "natssize" else 16, cells=0))


def test_a_block_adds_its_input_and_projects_it_only_where_the_shape_differs() -> None:
    for inputs, width, stride in ((8, 8, 1), (8, 16, 1), (8, 8, 2)):
        block = ResidualBlock(inputs, width, stride, middle=4, groups=2).eval()
        for convolution in block.transform:
            if isinstance(convolution, nn.BatchNorm2d):
                nn.init.zeros_(convolution.weight)
        x = torch.rand(2, inputs, 6, 6)
        torch.testing.assert_close(block(x), block.shortcut(x).relu())
        assert isinstance(block.shortcut, nn.Identity) == (inputs == width and stride == 1)


@pytest.mark.parametrize("text", ["nds_nasnet", "nds_amoeba", "nds_resnext(variant=a, max_params=30000)"])
def test_a_network_is_made_again_from_its_recipe(text: str) -> None:
    arch = part("space", text).sample(np.random.default_rng(2))
    small = {} if arch.space in RESIDUAL else {"channels": 4, "cells": 3}
    network = build(arch, default_skeleton(arch.space, **small), seed=0).eval()
    assert isinstance(network, (DartsNetwork, ResidualNetwork))
    again = type(network)(**network.recipe)  # type: ignore[arg-type]  # a recipe is its constructor's arguments
    again.load_state_dict(network.state_dict())
    x = torch.rand(2, 3, 8, 8)
    assert network(x).shape == (2, 10)
    assert torch.equal(again.eval()(x), network(x))
