from __future__ import annotations

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces import nasbench201 as module
from ogive.spaces.nasbench201 import nasbench201

TEXT = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|"
CHOICES = (4, 2, 1, 2, 0, 3)


def cell(*choices: int) -> Architecture:
    return Architecture("nasbench201", choices)


def test_the_space_has_six_edges_of_five_operations() -> None:
    space = nasbench201()
    assert len(space) == 15_625
    assert [variable.name for variable in space.variables] == ["0>1", "0>2", "1>2", "0>3", "1>3", "2>3"]
    assert nasbench201() is space


def test_the_published_string_is_read_and_written() -> None:
    space = nasbench201()
    assert space.parse(TEXT) == cell(*CHOICES)
    assert space.format(cell(*CHOICES)) == TEXT
    assert space.parse("nasbench201:4,2,1,2,0,3") == cell(*CHOICES)


def test_the_inputs_of_a_node_may_come_in_any_order() -> None:
    shuffled = "|avg_pool_3x3~0|+|skip_connect~1|nor_conv_1x1~0|+|nor_conv_3x3~2|nor_conv_1x1~0|none~1|"
    assert nasbench201().parse(shuffled) == cell(*CHOICES)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is written"),
        (TEXT[:-1], "is written"),
        (TEXT.replace("+", ""), "is written"),
        (TEXT.replace("avg_pool_3x3~0", "avg_pool_3x3~1"), "each of its inputs"),
        (TEXT.replace("none~1|", ""), "each of its inputs"),
        (TEXT.replace("none~1|", "none~1|none~1|"), "each of its inputs"),
        (TEXT.replace("avg_pool_3x3", "avg_pool_3x4"), "Did you mean 'avg_pool_3x3'"),
        ("8:16:24:32:40", "is written"),
    ],
)
def test_a_string_that_is_no_cell_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidArchitecture, match=complaint):
        nasbench201().parse(text)


def test_pruning_sets_edges_without_effect_to_none() -> None:
    # Nothing leaves node 1, so what enters it has no effect; nothing enters node 2, so what leaves it has none either.
    assert module.prune(cell(3, 0, 0, 1, 0, 4)) == cell(0, 0, 0, 1, 0, 0)
    assert module.prune(cell(3, 3, 3, 3, 3, 3)) == cell(3, 3, 3, 3, 3, 3)
    assert module.prune(cell(3, 3, 3, 0, 0, 0)) == cell(0, 0, 0, 0, 0, 0)


def test_the_canonical_cell_does_not_tell_the_inner_nodes_apart() -> None:
    assert module.canonical(cell(4, 2, 0, 1, 3, 2)) == module.canonical(cell(2, 4, 0, 1, 2, 3))
    # An edge between the inner nodes tells them apart.
    assert module.canonical(cell(4, 2, 1, 1, 3, 2)) != module.canonical(cell(2, 4, 1, 1, 2, 3))


def test_the_drawing_shows_operations_as_nodes_and_leaves_none_out() -> None:
    graph = nasbench201().draw(cell(3, 0, 1, 2, 0, 4))
    # 0>1 conv3x3, 1>2 skip, 0>3 conv1x1, 2>3 pool
    assert graph.ops == ("input", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "avg_pool_3x3", "output")
    assert graph.edges == {(0, 1), (0, 3), (1, 2), (2, 4), (3, 5), (4, 5)}


def test_the_drawing_of_a_cell_of_none_is_two_loose_ends() -> None:
    graph = nasbench201().draw(cell(0, 0, 0, 0, 0, 0))
    assert (graph.ops, graph.edges) == (("input", "output"), frozenset())


def test_the_choices_of_an_index_are_those_that_it_is_the_index_of() -> None:
    choices = np.random.default_rng(0).integers(0, 5, (500, 6))
    np.testing.assert_array_equal(module.choices_of(module.index_of(choices)), choices)


def test_the_index_is_the_place_in_the_listing() -> None:
    listed = np.array([arch.choices for arch in nasbench201()])
    np.testing.assert_array_equal(module.index_of(listed), np.arange(15_625))


@pytest.mark.parametrize("choices", [[[0, 0, 0, 0, 0, 5]], [[0, 0, 0, 0, 0, -1]], [[0, 0]], [[0.0] * 6], [0] * 6])
def test_arrays_that_hold_no_cells_are_refused(choices: list[object]) -> None:
    with pytest.raises(InvalidArchitecture, match="nasbench201"):
        module.index_of(choices)


@pytest.mark.parametrize("indices", [[-1], [15_625], [0.5]])
def test_numbers_that_are_no_indices_are_refused(indices: list[float]) -> None:
    with pytest.raises(InvalidArchitecture, match=r"0\.\.15624"):
        module.choices_of(indices)


def test_official_numbers_are_a_shuffle_that_nobody_can_change() -> None:
    official = module.official_indices()
    np.testing.assert_array_equal(np.sort(official), np.arange(15_625))
    with pytest.raises(ValueError, match="read-only"):
        official[0] = 1
