from __future__ import annotations

import ast
import subprocess
import sys

import pytest
import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.networks.build import Skeleton, WeightSource, build, build_genotype, default_skeleton, smallest_image
from ogive.networks.genotypes import DARTS_V2, Genotype
from ogive.spaces.nasbench101 import nasbench101

CELL = Architecture("nasbench201", (3, 1, 2, 0, 4, 3))
SMALL = Skeleton(channels=4, cells=1)


# -- skeletons --------------------------------------------------------------------------------------------------------


def test_default_skeletons_are_the_published_sizes_and_take_overrides() -> None:
    assert default_skeleton("nasbench201") == Skeleton(channels=16, cells=5)
    assert default_skeleton("nasbench101") == Skeleton(channels=128, cells=3)
    assert default_skeleton("nasbench201", classes=100, inputs=1) == Skeleton(16, 5, classes=100, inputs=1)


def test_an_unknown_space_or_field_offers_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="nasbench201"):
        default_skeleton("nasbench-201")
    with pytest.raises(UnknownName, match="'channels'"):
        default_skeleton("nasbench201", channel=8)


@pytest.mark.parametrize(
    ("field", "value"), [("channels", -1), ("cells", 0), ("classes", 0), ("inputs", 0), ("size", 0), ("drop_path", 1.0)]
)
def test_a_skeleton_that_makes_no_sense_names_the_field_and_the_value(field: str, value: float) -> None:
    with pytest.raises(SpecError, match=rf"{field}.*{value}"):
        default_skeleton("darts", **{field: value})


@pytest.mark.parametrize(("field", "largest"), [("channels", 65_536), ("cells", 1_000)])
def test_a_skeleton_beyond_any_published_network_is_refused(field: str, largest: int) -> None:
    assert getattr(default_skeleton("nasbench201", **{field: largest}), field) == largest
    with pytest.raises(SpecError, match=rf"{field}.*at most {largest:,}, but got.*larger than any published network"):
        default_skeleton("nasbench201", **{field: largest + 1})


def test_an_unknown_style_offers_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="'imagenet'"):
        default_skeleton("darts", style="imagnet")


# -- building ---------------------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_weights_and_leave_the_global_stream_alone() -> None:
    state = torch.get_rng_state()
    first, second, other = (build(CELL, SMALL, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_seed_may_have_63_bits() -> None:
    assert isinstance(build(CELL, SMALL, seed=2**63 - 1), nn.Module)


def test_weights_are_the_same_in_another_process() -> None:
    program = (
        "from ogive.core.architecture import Architecture\n"
        "from ogive.networks.build import Skeleton, build\n"
        "network = build(Architecture('nasbench201', (3, 1, 2, 0, 4, 3)), Skeleton(channels=4, cells=1), seed=5)\n"
        "print(network.classifier.weight.tolist())\n"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert build(CELL, SMALL, seed=5).classifier.weight.tolist() == ast.literal_eval(printed)


def test_without_a_seed_weights_come_from_the_global_stream() -> None:
    first, second = build(CELL, SMALL).state_dict(), build(CELL, SMALL).state_dict()
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_a_space_without_networks_offers_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="nasbench201"):
        build(Architecture("nasbench202", (0,) * 6), SMALL)


@pytest.mark.parametrize("space", ["nasbench201", "nasbench101", "natssize", "darts"])
def test_choices_of_another_space_are_refused(space: str) -> None:
    with pytest.raises(InvalidArchitecture):
        build(Architecture(space, (0, 1)), default_skeleton(space))


@pytest.mark.parametrize("overrides", [{"auxiliary": True}, {"drop_path": 0.1}, {"style": "imagenet"}])
@pytest.mark.parametrize("space", ["nasbench201", "nasbench101", "natssize"])
def test_what_only_darts_networks_have_is_refused_elsewhere(space: str, overrides: dict[str, object]) -> None:
    archs = {
        "nasbench201": CELL,
        "nasbench101": Architecture("nasbench101", (0, 0, 0, 0, 0, 1, *(0,) * 20)),
        "natssize": Architecture("natssize", (0,) * 5),
    }
    with pytest.raises(SpecError, match=next(iter(overrides))):
        build(archs[space], default_skeleton(space, **overrides))


def test_widths_of_a_natssize_network_come_from_its_architecture() -> None:
    arch = Architecture("natssize", (0, 1, 2, 3, 4))
    assert build(arch, default_skeleton("natssize")).recipe["widths"] == (8, 16, 24, 32, 40)
    with pytest.raises(SpecError, match="channels at 0, not 16"):
        build(arch, default_skeleton("natssize", channels=16))


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_a_network_without_channels_is_refused(space: str) -> None:
    arch = CELL if space == "nasbench201" else Architecture("darts", (0,) * 24)
    with pytest.raises(SpecError, match="channels=0"):
        build(arch, default_skeleton(space, channels=0))


def test_a_nasbench101_network_needs_a_channel_for_each_vertex_of_its_output() -> None:
    # Input to each of 1, 2, 3, and each of them to the output.
    matrix = [[0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0] * 5]
    bits = [0] * 21
    places = [(row, column) for row in range(7) for column in range(row + 1, 7)]
    for row in range(5):
        for column in range(row + 1, 5):
            bits[places.index((row, 6 if column == 4 else column))] = matrix[row][column]
    arch = nasbench101().check([*bits, 0, 1, 2, 0, 0])
    assert build(arch, default_skeleton("nasbench101", channels=3, cells=1)).recipe["matrix"] == tuple(
        map(tuple, matrix)
    )
    with pytest.raises(SpecError, match="at least 3, but got channels=2"):
        build(arch, default_skeleton("nasbench101", channels=2, cells=1))


# -- genotypes --------------------------------------------------------------------------------------------------------


def test_an_odd_width_for_imagenet_is_refused() -> None:
    with pytest.raises(SpecError, match="even, but got 5"):
        build_genotype(DARTS_V2, default_skeleton("darts", channels=5, style="imagenet"))


def test_an_odd_width_for_cifar_builds_since_nothing_halves_it() -> None:
    assert build_genotype(DARTS_V2, default_skeleton("darts", channels=5, cells=3))(torch.zeros(2, 3, 8, 8)).shape == (
        2,
        10,
    )


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        (DARTS_V2._replace(normal=DARTS_V2.normal[:3]), "two entries for each of its nodes"),
        (DARTS_V2._replace(normal=()), "two entries for each of its nodes"),
        (DARTS_V2._replace(reduce=(("sep_conv_3x3", 2), ("sep_conv_3x3", 0))), r"states 0\.\.1"),
        (DARTS_V2._replace(normal_concat=(1, 2)), r"nodes 2\.\.5"),
        (DARTS_V2._replace(reduce_concat=(6,)), r"nodes 2\.\.5"),
        (DARTS_V2._replace(normal_concat=()), r"nodes 2\.\.5"),
        (DARTS_V2._replace(normal=(("sep_conv3x3", 0), ("sep_conv_3x3", 1))), "'sep_conv_3x3'"),
    ],
)
def test_a_cell_that_makes_no_sense_says_why(genotype: Genotype, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_genotype(genotype, default_skeleton("darts"))


# -- sizes of images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "least"),
    [
        ({}, 4),
        ({"cells": 1}, 2),
        ({"auxiliary": True}, 29),
        ({"style": "imagenet"}, 32),
        ({"style": "imagenet", "auxiliary": True}, 193),
    ],
)
def test_the_least_image_is_one_that_the_network_takes(overrides: dict[str, object], least: int) -> None:
    skeleton = default_skeleton("darts", **{"channels": 2, "cells": 3, **overrides})
    assert smallest_image("darts", skeleton) == least
    network = build_genotype(DARTS_V2, skeleton)
    network(torch.zeros(2, 3, least, least))
    if skeleton.auxiliary:
        with pytest.raises(RuntimeError):
            network(torch.zeros(2, 3, least - 1, least - 1))


def test_images_known_to_be_too_small_are_refused_with_their_size() -> None:
    with pytest.raises(SpecError, match=r"3×3 are too small .* at least 4×4"):
        build_genotype(DARTS_V2, default_skeleton("darts", size=3))
    with pytest.raises(SpecError, match=r"16×16 .* auxiliary head: it needs at least 29×29"):
        build_genotype(DARTS_V2, default_skeleton("darts", size=16, auxiliary=True))
    assert smallest_image("nasbench201", SMALL) == 1


def test_a_weight_source_is_anything_with_a_network_for_an_architecture() -> None:
    class Fresh:
        def network(self, arch: Architecture) -> nn.Module:
            return build(arch, SMALL, seed=0)

    assert isinstance(Fresh(), WeightSource)
    assert not isinstance(SMALL, WeightSource)
