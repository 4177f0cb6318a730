from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.graph import Graph
from ogive.features import adjacency, nasbench201_macs, nasbench201_parameters, one_hot

DIAMOND = Graph(("input", "conv", "pool", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))
NONE, SKIP, CONV1, CONV3, POOL = range(5)


def test_the_adjacency_matrix_has_a_one_for_each_edge() -> None:
    expected = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(adjacency(DIAMOND), expected)
    np.testing.assert_array_equal(adjacency(Graph(("input", "output"), frozenset())), np.zeros((2, 2)))


def test_operations_become_rows_with_a_single_one() -> None:
    expected = [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(one_hot(DIAMOND, ("input", "pool", "conv", "output")), expected)


def test_an_operation_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(UnknownName, match="'pool'"):
        one_hot(DIAMOND, ("input", "conv", "output"))


def layers(
    ops: list[int], channels: int, cells: int, classes: int, inputs: int
) -> list[tuple[int, int, int, bool, int]]:
    """(channels in, channels out, kernel, BatchNorm, stage) of every convolution of a network, one by one."""
    found = [(inputs, channels, 3, True, 0)]
    for stage, (before, width) in enumerate(pairwise([channels, channels, 2 * channels, 4 * channels])):
        if stage:
            found += [(before, width, 3, True, stage), (width, width, 3, True, stage), (before, width, 1, False, stage)]
        for _ in range(cells):
            found += [(width, width, {CONV1: 1, CONV3: 3}[op], True, stage) for op in ops if op in (CONV1, CONV3)]
    return found


@pytest.mark.parametrize("ops", [[0] * 6, [3] * 6, [2, 1, 4, 3, 2, 0], [4, 3, 3, 1, 2, 2]])
@pytest.mark.parametrize(("channels", "cells", "classes", "inputs"), [(16, 5, 10, 3), (8, 1, 100, 1), (3, 2, 2, 4)])
def test_the_closed_forms_equal_a_walk_over_the_layers(
    ops: list[int], channels: int, cells: int, classes: int, inputs: int
) -> None:
    every = layers(ops, channels, cells, classes, inputs)
    head = 4 * channels
    parameters = sum(i * o * k * k + 2 * o * norm for i, o, k, norm, _ in every) + 2 * head + (head + 1) * classes
    macs = sum(i * o * k * k * (16 // 2**stage) * (24 // 2**stage) for i, o, k, _, stage in every) + head * classes
    sizes = {"channels": channels, "cells": cells, "classes": classes, "inputs": inputs}
    assert nasbench201_parameters([ops], **sizes).tolist() == [parameters]
    assert nasbench201_macs([ops], **sizes, size=(16, 24)).tolist() == [macs]


def test_whole_arrays_of_cells_are_counted_at_once() -> None:
    counted = nasbench201_parameters([[0] * 6, [3] * 6])
    assert counted.tolist() == [nasbench201_parameters([row])[0] for row in ([0] * 6, [3] * 6)]
    assert nasbench201_macs(np.zeros((0, 6), int)).shape == (0,)


def test_sizes_that_no_network_has_are_refused() -> None:
    with pytest.raises(SpecError, match="channels must be at least 1, but got 0"):
        nasbench201_parameters([[0] * 6], channels=0)
    with pytest.raises(SpecError, match="multiples of 4"):
        nasbench201_macs([[0] * 6], size=(30, 32))
    with pytest.raises(InvalidArchitecture):
        nasbench201_parameters([[5] * 6])
