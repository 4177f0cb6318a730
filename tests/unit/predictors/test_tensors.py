from __future__ import annotations

import numpy as np
import pytest

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.space import Choice, SearchSpace
from ogive.networks.build import build, default_skeleton
from ogive.networks.count import macs, parameters
from ogive.networks.nasbench101 import NasBench101Cell, vertex_channels
from ogive.networks.nasbench201 import NasBench201Cell
from ogive.predictors.tensors import FeatureTensors, vertex_widths
from ogive.spaces import nasbench101 as space_101
from ogive.spaces.nasbench101 import OPS, nasbench101, pruned_cell, read
from ogive.spaces.nasbench201 import nasbench201

CONV3, CONV1, POOL = OPS
CHAIN = read(
    "ModelSpec(matrix=[[0,1,0,0,1],[0,0,1,0,0],[0,0,0,1,0],[0,0,0,0,1],[0,0,0,0,0]], "
    f"ops=['input', '{CONV3}', '{POOL}', '{CONV1}', 'output'])"
)


def some(space: str, number: int = 40) -> list[Architecture]:
    made = catalog.build("space", space)
    rng = np.random.default_rng(0)
    return [made.sample(rng) for _ in range(number)]


# -- NAS-Bench-101 ----------------------------------------------------------------------------------------------------


def test_a_smaller_cell_stands_in_the_first_places_and_its_output_in_the_last() -> None:
    """ReNAS, section 3.1: zeros are inserted before the last row and column. A cell of five vertices here."""
    tensor = FeatureTensors(space=nasbench101())([CHAIN])[0]
    assert tensor.shape == (19, 7, 7)
    used = np.argwhere(tensor.any(axis=0))
    assert used.tolist() == [[0, 1], [0, 6], [1, 2], [2, 3], [3, 6]]
    # An arc carries the type of the node that it leads to.
    assert [tensor[0, i, j] for i, j in used.tolist()] == [2, 5, 4, 3, 5]


def test_work_and_parameters_are_those_of_each_cell() -> None:
    tensor = FeatureTensors(space=nasbench101())([CHAIN])[0]
    work, parameters = tensor[1:10], tensor[10:]
    # The 1x1 convolution, vertex 3, hears no input, so that nothing of it is a projection.
    widths = np.repeat([128, 256, 512], 3)
    assert parameters[:, 2, 3].tolist() == (widths**2 + 2 * widths).tolist()
    assert work[:, 2, 3].tolist() == [128**2 * 32**2] * 9
    # The 3x3 convolution, vertex 1, has a projection of the input, which is as wide as the cell before.
    inputs = np.array([128, 128, 128, 128, 256, 256, 256, 512, 512])
    assert parameters[:, 0, 1].tolist() == (9 * widths**2 + 2 * widths + inputs * widths + 2 * widths).tolist()
    assert (parameters[:, 1, 2] == 0).all()
    # Cells of a stack are equal but for the projection in the first.
    np.testing.assert_array_equal(work[1], work[2])
    np.testing.assert_array_equal(work[0], work[1])
    assert (work[3] != work[4]).any()


@pytest.mark.parametrize(("space", "inputs"), [("nasbench101", 128), ("nasbench201", 16)])
def test_the_nodes_of_a_cell_are_together_what_its_module_is(space: str, inputs: int) -> None:
    tensors = FeatureTensors(space=catalog.build("space", space))
    for arch in some(space, 3):
        tensor = tensors([arch])[0]
        # A node is counted once, not for every arc that leads to it.
        _, *nodes = tensor.max(axis=1).astype(np.int64).sum(axis=1).tolist()
        network = build(arch, default_skeleton(space))
        cells = [one for one in network.modules() if isinstance(one, (NasBench101Cell, NasBench201Cell))]
        assert nodes[len(cells) :] == [parameters(cell) for cell in cells]
        stages = [place // (len(cells) // 3) for place in range(len(cells))]
        first = [
            space == "nasbench101" and place > 0 and stages[place - 1] < stages[place] for place in range(len(cells))
        ]
        shapes = [
            (inputs * 2 ** (stage - after), 32 // 2**stage, 32 // 2**stage)
            for stage, after in zip(stages, first, strict=True)
        ]
        assert nodes[: len(cells)] == [macs(cell, shape) for cell, shape in zip(cells, shapes, strict=True)]


def test_widths_are_those_of_the_networks() -> None:
    archs = some("nasbench101", 200)
    for inputs, outputs in ((128, 128), (128, 256), (100, 101)):
        for arch in archs:
            matrix = pruned_cell(arch).matrix
            found = vertex_widths(np.array(matrix, bool)[None], inputs, outputs)[0]
            assert found.tolist() == vertex_channels(matrix, inputs, outputs)


# -- NAS-Bench-201 and others -----------------------------------------------------------------------------------------


def test_cells_of_nasbench201_have_fifteen_channels_of_work_and_of_parameters() -> None:
    space = nasbench201()
    tensor = FeatureTensors(space=space)([Architecture("nasbench201", (3, 0, 2, 1, 4, 3))])[0]
    assert tensor.shape == (31, 8, 8)
    # in; 0>1, 0>2, 0>3; 1>2, 1>3; 2>3; out
    arcs = [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (2, 6), (3, 7), (4, 6), (5, 7), (6, 7)]
    assert np.argwhere(tensor[0]).tolist() == [list(arc) for arc in arcs]
    assert (tensor[1:16, 0, 1] == 9 * 16**2 * 32**2).all()
    assert tensor[16:, 0, 1].tolist() == np.repeat([9 * w**2 + 2 * w for w in (16, 32, 64)], 5).tolist()
    assert tensor[16:, 1, 4].tolist() == np.repeat([w**2 + 2 * w for w in (16, 32, 64)], 5).tolist()
    assert not tensor[1:, 0, 2:4].any()


@pytest.mark.parametrize("space", ["nasbench101", "nasbench201", "darts", "nasbench_graph"])
def test_channels_that_are_equal_are_written_once(space: str) -> None:
    tensors = FeatureTensors(space=catalog.build("space", space))
    archs = some(space)
    whole, different = tensors(archs), tensors.distinct(archs)
    np.testing.assert_array_equal(whole, different[:, tensors.channels])
    assert sorted(set(tensors.channels.tolist())) == list(range(different.shape[1]))
    one_by_one = np.concatenate([tensors([arch]) for arch in archs])
    np.testing.assert_array_equal(whole, one_by_one)


def test_another_space_has_a_channel_for_each_operation() -> None:
    space = catalog.build("space", "nasbench_graph")
    tensors, archs = FeatureTensors(space=space), some("nasbench_graph")
    for arch, tensor in zip(archs, tensors(archs), strict=True):
        graph = space.draw(arch).pruned()
        assert tensor.sum() == len(graph.edges)
        last = len(graph) - 1
        places = {node: tensors.nodes - 1 if node == last else node for node in range(len(graph))}
        assert {(i, j) for _, i, j in np.argwhere(tensor).tolist()} == {(places[i], places[j]) for i, j in graph.edges}


def test_what_is_no_graph_or_too_large_a_one_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="at most 64 channels of 80 nodes, but one of dartopti_from would have 19 of"):
        FeatureTensors(space=catalog.build("space", "dartopti_from"))
    blank = SearchSpace("blank", (Choice("a", ("x", "y")),), draw=lambda arch: Graph((), frozenset()))
    with pytest.raises(SpecError, match="of blank are not drawn as graphs"):
        FeatureTensors(space=blank)
    with pytest.raises(InvalidArchitecture, match="no architecture of nasbench201"):
        FeatureTensors(space=nasbench201())(some(space_101.NAME, 1))
