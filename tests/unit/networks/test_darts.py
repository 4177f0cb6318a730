from __future__ import annotations

import pytest
import torch
from torch import nn

from ogive.networks.build import build_genotype, default_skeleton
from ogive.networks.darts import DARTS_OPERATIONS, AuxiliaryHead, DartsCell, DartsNetwork, darts_operation
from ogive.networks.genotypes import AMOEBANET, DARTS_V2, NASNET, Genotype
from ogive.networks.ops import FactorizedReduce


def small(genotype: Genotype = DARTS_V2, **overrides: object) -> DartsNetwork:
    return build_genotype(genotype, default_skeleton("darts", **{"channels": 4, "cells": 3, **overrides}))


def test_reductions_stand_a_third_and_two_thirds_of_the_way_down() -> None:
    network = small(cells=8)
    widths = [cell.preprocess1[1].out_channels for cell in network.cells]
    assert widths == [4, 4, 8, 8, 8, 16, 16, 16]
    # The cell after a reduction, and only that, halves what comes from the cell before the last.
    reduced = [isinstance(cell.preprocess0, FactorizedReduce) for cell in network.cells]
    assert reduced == [False, False, False, True, False, False, True, False]


def test_only_operations_on_the_inputs_of_a_reducing_cell_have_a_stride() -> None:
    cell = DartsCell(DARTS_V2.reduce, (2, 3, 4, 5), 4, 4, 4, reduction=True, reduced_before=False)
    strides = [getattr(operation, "stride", 1) for operation in cell.operations]
    assert strides == [2, 2, 1, 2, 2, 1, 1, 2]


def test_pooling_of_evaluation_networks_is_bare() -> None:
    assert type(darts_operation("max_pool_3x3", 4)) is nn.MaxPool2d
    assert type(darts_operation("avg_pool_3x3", 4)) is nn.AvgPool2d


def test_every_operation_named_is_one_and_no_other() -> None:
    for name in DARTS_OPERATIONS:
        assert darts_operation(name, 4)(torch.zeros(1, 4, 3, 3)).shape == (1, 4, 3, 3)
    with pytest.raises(ValueError, match="sep_conv_9x9"):
        darts_operation("sep_conv_9x9", 4)


@pytest.mark.parametrize("genotype", [NASNET, AMOEBANET], ids=["nasnet", "amoebanet"])
def test_cells_with_five_nodes_and_other_outputs_build(genotype: Genotype) -> None:
    assert small(genotype)(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_a_cell_may_have_any_number_of_operations_on_a_node() -> None:
    entries = (("skip_connect", 0), ("skip_connect", 1), ("skip_connect", 1))
    cell = DartsCell(entries, (2,), 4, 4, 4, reduction=False, reduced_before=False, inputs_per_node=3).eval()
    before, last = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 6, 6)
    expected = cell.preprocess0(before) + 2 * cell.preprocess1(last)
    torch.testing.assert_close(cell(before, last), expected)


# -- auxiliary head and drop-path -------------------------------------------------------------------------------------


def test_the_auxiliary_head_speaks_in_training_only() -> None:
    network = small(auxiliary=True)
    images = torch.randn(2, 3, 32, 32)
    logits, auxiliary = network(images)
    assert logits.shape == auxiliary.shape == (2, 10)
    assert network.eval()(images).shape == (2, 10)


def test_without_an_auxiliary_head_training_gives_logits_too() -> None:
    assert small()(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_the_auxiliary_head_for_imagenet_lacks_the_second_normalisation() -> None:
    counts = [
        sum(isinstance(layer, nn.BatchNorm2d) for layer in AuxiliaryHead(8, 10, style).modules())
        for style in ("cifar", "imagenet")
    ]
    assert counts == [2, 1]


def test_drop_path_starts_at_nothing_and_acts_in_training_only() -> None:
    network = small(drop_path=0.3)
    images = torch.randn(4, 3, 8, 8)
    assert (network.drop_path, network.drop_path_prob) == (0.3, 0.0)
    assert torch.equal(network(images), network(images))
    network.drop_path_prob = 0.3
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_drop_path_drops_everything_but_the_plain_skips() -> None:
    entries = (("skip_connect", 0), ("max_pool_3x3", 1))
    cell = DartsCell(entries, (2,), 4, 4, 4, reduction=False, reduced_before=False)
    images = torch.randn(64, 4, 6, 6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        output = cell(images, images, drop_path_prob=0.5)
    skip, pooled = cell.preprocess0(images), cell.operations[1](cell.preprocess1(images))
    dropped = [torch.equal(output[place], skip[place]) for place in range(64)]
    assert 0 < sum(dropped) < 64
    for place in range(64):
        if not dropped[place]:
            torch.testing.assert_close(output[place], (skip + 2 * pooled)[place])


def test_skips_that_halve_the_image_are_dropped() -> None:
    entries = (("skip_connect", 0), ("skip_connect", 1))
    cell = DartsCell(entries, (2,), 4, 4, 4, reduction=True, reduced_before=False)
    images = torch.randn(64, 4, 6, 6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        output = cell(images, images, drop_path_prob=0.5)
    # With probability 1/4 an image loses both.
    assert any(not features.any() for features in output)


# -- form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [4, 9, 32])
def test_small_and_odd_images_are_taken(side: int) -> None:
    assert small(inputs=1, classes=7)(torch.randn(2, 1, side, side)).shape == (2, 7)


def test_the_imagenet_stem_halves_three_times() -> None:
    network = small(style="imagenet", classes=5).eval()
    images = torch.randn(1, 3, 65, 64)
    assert network.stem0(images).shape == (1, 4, 17, 16)
    assert network.stem1(network.stem0(images)).shape == (1, 4, 9, 8)
    assert network(images).shape == (1, 5)


def test_a_recipe_builds_the_same_network_again() -> None:
    network = small(auxiliary=True, drop_path=0.1).eval()
    again = DartsNetwork(**network.recipe).eval()  # type: ignore[arg-type]
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(images), network(images))
    assert again.recipe == network.recipe
