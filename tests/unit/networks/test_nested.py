from __future__ import annotations

import pytest
import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.rng import Seed
from ogive.networks.build import build, build_nested, default_skeleton, smallest_image
from ogive.networks.darts import darts_operation
from ogive.networks.nested import NestedCell, NestedNetwork
from ogive.networks.nested_genotypes import DDARTS_CIFAR10, DDARTS_CIFAR100, HANDCRAFTED, PUBLISHED_NESTED, RESNET18
from ogive.networks.ops import FactorizedReduce
from ogive.spaces.ddarts import ddarts
from ogive.spaces.nested import DARTOPTI_OPERATIONS, NestedGenotype

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = {**HANDCRAFTED, **PUBLISHED_NESTED}


def small(genotype: NestedGenotype = DDARTS_CIFAR10, **overrides: object) -> NestedNetwork:
    fields = {"channels": 4, "cells": len(genotype.layers), **overrides}
    return build_nested(genotype, default_skeleton("ddarts", **fields), seed=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_that_is_given_as_data_builds_and_runs(name: str) -> None:
    assert small(NETWORKS[name])(torch.randn(2, 3, 16, 16)).shape == (2, 10)


@pytest.mark.parametrize("name", DARTOPTI_OPERATIONS)
@pytest.mark.parametrize(("stride", "side"), [(1, 7), (2, 4)])
def test_operations_keep_or_halve_odd_images(name: str, stride: int, side: int) -> None:
    assert darts_operation(name, 4, stride)(torch.randn(1, 4, 7, 7)).shape == (1, 4, side, side)


# -- cells ------------------------------------------------------------------------------------------------------------


def test_a_node_adds_all_its_operations_and_the_output_joins_the_nodes_that_exist() -> None:
    entries = [("skip_connect", 5, 3), ("skip_connect", 3, 0), ("skip_connect", 3, 1), ("max_pool_3x3", 3, 1)]
    cell = NestedCell(entries, 4, 4, 4, reduction=False, reduced_before=False).eval()
    before, last = torch.randn(2, 4, 6, 6), torch.randn(2, 4, 6, 6)
    first, second = cell.preprocess0(before), cell.preprocess1(last)
    total = first + second + cell.operations[3](second)
    torch.testing.assert_close(cell(before, last), torch.cat([total, total], dim=1))


def test_the_width_of_a_cell_follows_the_number_of_its_nodes() -> None:
    network = small(DDARTS_CIFAR100)
    widths = [len(cell.nodes) for cell in network.cells]
    assert widths == [4] * 8
    assert [len(cell.nodes) for cell in small(HANDCRAFTED["resnet50"]).cells] == [3, 4, 6, 3]
    assert [len(cell.nodes) for cell in small(HANDCRAFTED["xception"]).cells] == [3] * 12 + [2]


def test_drop_path_drops_the_whole_sum_of_a_node_even_of_plain_skips() -> None:
    cell = NestedCell([("skip_connect", 2, 0), ("skip_connect", 2, 1)], 4, 4, 4, False, False)
    before, last = torch.randn(64, 4, 6, 6), torch.randn(64, 4, 6, 6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        output = cell(before, last, drop_path_prob=0.5)
    total = cell.preprocess0(before) + cell.preprocess1(last)
    dropped = [not features.any() for features in output]
    assert 16 < sum(dropped) < 48
    for place in range(64):
        if not dropped[place]:
            torch.testing.assert_close(output[place], 2 * total[place])


# -- networks ---------------------------------------------------------------------------------------------------------


def test_reductions_are_the_genotypes_own_and_recomputed_for_another_depth() -> None:
    def halved_after(network: NestedNetwork) -> list[int]:
        return [layer - 1 for layer, cell in enumerate(network.cells) if isinstance(cell.preprocess0, FactorizedReduce)]

    assert halved_after(small()) == [2, 6]
    assert halved_after(small(cells=14)) == [4, 9]
    assert halved_after(small(RESNET18)) == [1, 2]  # nothing comes after the third


def test_an_architecture_is_deepened_by_the_cells_of_its_skeleton() -> None:
    space = ddarts(distinct=5)
    arch = space.sample(Seed(0).numpy("arch"))
    network = build(arch, default_skeleton("ddarts", channels=2))
    assert isinstance(network, NestedNetwork)
    assert network.recipe["layers"] == (0, 0, 1, 2, 2, 3, 4, 4)
    assert network.recipe["reductions"] == (2, 5)


def test_a_skeleton_with_fewer_cells_than_the_architecture_is_refused() -> None:
    arch = ddarts().sample(Seed(0).numpy("arch"))
    with pytest.raises(SpecError, match="ask for 8 or more"):
        build(arch, default_skeleton("ddarts", cells=7))


def test_choices_of_no_whole_number_of_cells_are_refused() -> None:
    for choices in ((), (0,) * 5, (0,) * 13):
        with pytest.raises(InvalidArchitecture, match="variables"):
            build(Architecture("ddarts", choices), default_skeleton("ddarts"))


def test_the_auxiliary_head_stands_behind_the_last_reduction_and_speaks_in_training_only() -> None:
    network = small(auxiliary=True)
    assert network.auxiliary_after == 6
    images = torch.randn(2, 3, 32, 32)
    logits, auxiliary = network(images)
    assert logits.shape == auxiliary.shape == (2, 10)
    assert network.eval()(images).shape == (2, 10)


def test_the_auxiliary_head_for_imagenet_has_the_second_normalisation() -> None:
    head = small(auxiliary=True, style="imagenet", classes=5).auxiliary_head
    assert head is not None
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in head.modules()) == 2


@pytest.mark.parametrize(("genotype", "stem"), [(DDARTS_CIFAR10, 8), (RESNET18, 4)], ids=["two", "three"])
def test_the_imagenet_stem_leaves_maps_of_seven_for_two_reductions_or_three(
    genotype: NestedGenotype, stem: int
) -> None:
    network = small(genotype, style="imagenet", channels=2).eval()
    images = torch.randn(1, 3, 224, 224)
    last = network.stem1(network.stem0(images))
    assert last.shape[2:] == (224 // stem, 224 // stem)
    assert last.shape[2] // 2 ** len(genotype.halving) == 7
    assert network(images).shape == (1, 10)


def test_too_small_images_are_refused() -> None:
    assert smallest_image("ddarts", default_skeleton("ddarts")) == 4
    assert smallest_image("dartopti", default_skeleton("dartopti", auxiliary=True)) == 29
    with pytest.raises(SpecError, match="at least 8×8"):
        small(RESNET18, size=7)
    with pytest.raises(SpecError, match="must be even"):
        small(channels=5, style="imagenet")
    assert small(RESNET18, size=8)(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_a_recipe_builds_the_same_network_again() -> None:
    network = small(auxiliary=True, drop_path=0.1).eval()
    again = NestedNetwork(**network.recipe).eval()  # type: ignore[arg-type]
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(images), network(images))
    assert again.recipe == network.recipe
