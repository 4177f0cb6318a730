from __future__ import annotations

import itertools

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces.ofa_mobilenetv3 import NAME, ofa_mobilenetv3, units_of

TEXT = "k57553337553773335555 e43444634434336664344 d23243"


def test_blocks_are_read_from_the_published_digits() -> None:
    units = units_of(ofa_mobilenetv3().parse(TEXT))
    assert units.kernels == ((5, 7), (3, 3, 3), (5, 5), (7, 3, 3, 3), (5, 5, 5))
    assert units.expansions == ((4, 3), (4, 6, 3), (4, 3), (3, 6, 6, 6), (4, 3, 4))


def test_text_keeps_the_layers_that_are_skipped() -> None:
    space = ofa_mobilenetv3()
    assert space.format(space.parse(TEXT)) == TEXT
    assert len(space.variables) == 45
    assert space.size == 3**45


def test_the_graph_is_a_chain_of_the_blocks_that_there_are() -> None:
    graph = ofa_mobilenetv3().draw(ofa_mobilenetv3().parse(TEXT))
    assert len(graph) == 2 + 3 + 4 + 2 + 4 + 3
    assert graph.ops[:5] == ("input", "stem", "unit0_mbconv_5x5_e4", "unit0_mbconv_7x7_e3", "unit1_mbconv_3x3_e4")
    assert graph.edges == frozenset((node, node + 1) for node in range(len(graph) - 1))


def test_architectures_that_differ_in_a_skipped_layer_only_are_one_network() -> None:
    space = ofa_mobilenetv3()
    assert space.prune is not None
    arch, twin = space.parse(TEXT), space.parse("k57" + "33" + TEXT[5:])
    assert arch != twin
    assert space.draw(arch) == space.draw(twin)
    assert space.prune(arch) == space.prune(twin)
    assert space.draw(space.prune(arch)) == space.draw(arch)


def test_pruned_architectures_are_as_many_as_networks() -> None:
    """A unit has 9^2 + 9^3 + 9^4 networks, which 3 * 9^4 architectures stand for."""
    space = ofa_mobilenetv3()
    assert space.prune is not None
    pruned, networks = set(), set()
    for depth, *layers in itertools.product(range(3), *[range(9)] * 4):
        kernels, expansions = ([layer // 3 for layer in layers], [layer % 3 for layer in layers])
        arch = Architecture(NAME, (depth, 0, 0, 0, 0, *kernels, *[0] * 16, *expansions, *[0] * 16))
        pruned.add(space.prune(arch))
        networks.add(units_of(arch))
    assert len(pruned) == len(networks) == 9**2 + 9**3 + 9**4


def test_neighbours_in_skipped_layers_are_the_same_network() -> None:
    space, rng = ofa_mobilenetv3(), np.random.default_rng(0)
    assert space.prune is not None
    for _ in range(5):
        arch = space.sample(rng)
        skipped = 20 - sum(len(unit) for unit in units_of(arch).kernels)
        same = sum(space.prune(other) == space.prune(arch) for other in space.neighbours(arch))
        assert same == 4 * skipped  # two other kernels and two other expansions


@pytest.mark.parametrize("text", ["", TEXT[:-1], TEXT.replace("k5", "k4"), TEXT.replace("d2", "d5"), "8:16:24:32:40"])
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match="such as k5755"):
        ofa_mobilenetv3().parse(text)


def test_neighbours_move_one_of_45_choices() -> None:
    assert len(ofa_mobilenetv3().neighbours(Architecture(NAME, (0,) * 45))) == 90
