from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.live_graphs import LiveGraphs
from ogive.metrics import kendall_tau
from ogive.spaces.nasbench201 import OPS, nasbench201
from ogive.structure import PASSING, LiveWeight, Structure, structure, weight_of

NONE, SKIP, CONV1, CONV3, POOL = range(5)
CELLS = nasbench201()
STRUCTURE = structure(space=CELLS)
KINDS = ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def cell(*choices: int) -> Architecture:
    return CELLS.check(choices)


def columns(arch: Architecture) -> dict[str, float]:
    """By name, before scaling and logarithm."""
    (row,) = STRUCTURE([arch])
    logs = row * STRUCTURE._deviation + STRUCTURE._mean
    return dict(zip(STRUCTURE.columns, np.round(np.sign(logs) * np.expm1(np.abs(logs)), 4).tolist(), strict=True))


def paths(graph: Graph) -> Iterator[tuple[str, ...]]:
    """The operations on each path, those that pass on left out: one by one, as a check of the sums over them."""
    open_paths: list[tuple[int, tuple[str, ...]]] = [(node, ()) for node, op in enumerate(graph.ops) if op == "input"]
    while open_paths:
        node, ops = open_paths.pop()
        for target in graph.successors(node):
            op = graph.ops[target]
            if op == "output":
                yield ops
            else:
                open_paths.append((target, ops if op in PASSING else (*ops, op)))


def test_a_cell_is_told_by_what_lies_on_its_paths() -> None:
    # 0 -> 1 by 3x3, 1 -> 3 by 3x3; 0 -> 2 by 1x1, 2 -> 3 by skip; 0 -> 3 by skip; nothing on 1 -> 2.
    found = columns(cell(CONV3, CONV1, NONE, SKIP, CONV3, SKIP))
    assert found["paths"] == 3
    assert found["all weights"] == 19
    assert (found["least weighted"], found["mean weighted"], found["most weighted"]) == (0, 1, 2)
    assert [found[f"paths with {number} weighted"] for number in range(4)] == [1, 1, 1, 0]
    assert (found["through"], found["first nor_conv_1x1"], found["last nor_conv_1x1"]) == (1, 1, 1)
    assert (found["nor_conv_3x3 > nor_conv_3x3"], found["nor_conv_3x3 > nor_conv_1x1"]) == (1, 0)
    assert (found["longest 1 nor_conv_3x3"], found["longest 2 nor_conv_3x3"]) == (1, 1)
    assert found["all avg_pool_3x3"] == 0


def test_what_is_computed_alike_has_equal_numbers() -> None:
    one = cell(SKIP, NONE, NONE, NONE, CONV3, NONE)
    same = [cell(NONE, NONE, NONE, CONV3, NONE, NONE), cell(NONE, SKIP, NONE, NONE, NONE, CONV3)]
    same.append(cell(SKIP, CONV1, NONE, NONE, CONV3, NONE))  # a 1x1 that leads nowhere
    np.testing.assert_array_equal(STRUCTURE(same), np.repeat(STRUCTURE([one]), 3, axis=0))
    mirrored = STRUCTURE([cell(CONV3, CONV1, NONE, SKIP, POOL, CONV1), cell(CONV1, CONV3, NONE, SKIP, CONV1, POOL)])
    np.testing.assert_array_equal(*mirrored)
    doubled = STRUCTURE([cell(SKIP, NONE, NONE, CONV3, CONV3, NONE), cell(NONE, NONE, NONE, CONV3, NONE, NONE)])
    assert (doubled[0] != doubled[1]).any()


def test_all_cells_fall_into_5341_kinds() -> None:
    rows = STRUCTURE(list(CELLS))
    assert rows.shape == (15_625, STRUCTURE.width)
    assert len(np.unique(rows, axis=0)) == 5_341


def test_a_dead_cell_has_no_path_and_no_weights() -> None:
    found = columns(cell(CONV3, NONE, NONE, NONE, NONE, CONV3))
    assert (found["alive"], found["paths"], found["all weights"], found["most weighted"]) == (0, 0, 0, -1)


@pytest.mark.parametrize("name", ["nasbench101", "nasbench_graph", "darts", "autogan"])
def test_sums_over_paths_are_those_of_the_paths_one_by_one(name: str) -> None:
    space: SearchSpace = catalog.build("space", name)
    rng = Seed(0).numpy("graphs")
    graphs = [space.draw(space.sample(rng)) for _ in range(4)]
    ops = sorted({op for graph in graphs for op in graph.ops} - PASSING - {"input", "output"})
    live = LiveGraphs.of(graphs, ops, PASSING)
    listed = [list(paths(graph)) for graph in graphs]
    np.testing.assert_allclose(live.paths(), list(map(len, listed)))
    counts = [np.array([[path.count(op) for op in ops] for path in some]) for some in listed]
    np.testing.assert_allclose(live.mean_on_paths(live.ops), [some.mean(axis=0) for some in counts])
    most = live.at_outputs(live.most_on_a_path(live.ops), -1)
    np.testing.assert_allclose(most, [some.max(axis=0) for some in counts])
    lengths = live.paths_by_length(live.ops.sum(axis=2) > 0, 6)
    expected = [np.bincount(np.minimum(some.sum(axis=1), 6), minlength=7) for some in counts]
    np.testing.assert_allclose(lengths, expected)
    for longest in (False, True):
        wanted = [max(map(len, some)) if longest else min(map(len, some)) for some in listed]
        extreme = [[path for path in some if len(path) == size] for some, size in zip(listed, wanted, strict=True)]
        first = [[np.mean([path[:1] == (op,) for path in some]) for op in ops] for some in extreme]
        np.testing.assert_allclose(live.along(1, longest=longest)[:, 0], first)


def test_weights_of_operations_are_read_off_their_names() -> None:
    assert list(map(weight_of, ("nor_conv_3x3", "nor_conv_1x1", "conv3x3-bn-relu"))) == [9, 1, 9]
    assert (
        list(map(weight_of, ("avg_pool_3x3", "skip_connect", "maxpool3x3", "concat", "fc", "gcn"))) == [0] * 4 + [1] * 2
    )
    assert weight_of("sep_conv_3x3") == 2 * weight_of("dil_conv_3x3") == 3.125


def test_live_weights_are_ranks_that_order_cells_as_their_weights_do() -> None:
    prior = LiveWeight(space=CELLS)
    archs = list(CELLS)[::7]
    found = prior(archs)[:, 0]
    weights = [columns(arch)["all weights"] for arch in archs[:100]]
    assert kendall_tau(found[:100], weights) > 0.97
    assert abs(found.mean()) < 0.1
    assert 0.9 < found.std() < 1.1
    assert len(OPS) == 5


def test_a_chain_is_told_by_its_variables_too() -> None:
    space: SearchSpace = catalog.build("space", "natssize")
    encoder = Structure(space=space)
    assert {variable.name for variable in space.variables} <= set(encoder.columns)


def test_a_row_is_the_same_alone_and_among_others() -> None:
    archs = list(CELLS)[::500]
    alone = np.concatenate([Structure(space=CELLS)([arch]) for arch in archs[:3]])
    np.testing.assert_array_equal(Structure(space=CELLS)(archs)[:3], alone)
    assert Structure(space=CELLS)([]).shape == (0, STRUCTURE.width)


def test_other_spaces_and_spaces_without_graphs_are_refused() -> None:
    with pytest.raises(InvalidArchitecture, match="darts:0"):
        STRUCTURE([Architecture("darts", (0,) * 6)])
    bare = SearchSpace("bare", (Choice("op", ("a", "b")),), lambda _: Graph((), frozenset()))
    with pytest.raises(SpecError, match="encode them with one_hot"):
        Structure(space=bare)
    np.testing.assert_array_equal(LiveWeight(space=bare)([Architecture("bare", (1,))]), [[0]])
    alike = SearchSpace(
        "alike", (Choice("op", ("a", "b")),), lambda _: Graph(("input", "x", "y"), frozenset({(0, 1), (0, 2)}))
    )
    with pytest.raises(SpecError, match="all alike"):
        Structure(space=alike)
