from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.networks.build import Skeleton, WeightSource
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.supernets.gates import Softmax
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Edge, Partition, partition, read_edge, transfer
from ogive.supernets.plan import DARTS, NASBENCH201
from ogive.supernets.sharing import supernet

pytestmark = pytest.mark.usefixtures("one_thread")

EDGE = Edge("cell", 0)
SPLITS = {
    "nasbench201": [(EDGE,), (Edge("cell", 3), Edge("cell", 1))],
    "darts": [(Edge("normal", 3),), (Edge("normal", 0), Edge("reduce", 4))],
}
CASES = [(space, edges) for space, all_edges in SPLITS.items() for edges in all_edges]


# none, max_pool_3x3, skip_connect and dil_conv_3x3: the supernet of darts is copied many times.
FEW = (0, 1, 3, 6)


def parent(space: str) -> Supernet:
    if space == "nasbench201":
        return supernet(space, Skeleton(channels=4, cells=1), seed=0)
    few = (FEW,) * len(DARTS.edges)
    return supernet(space, Skeleton(channels=2, cells=3), seed=0, choices={"normal": few, "reduce": few})


def sample(space: str, rng: np.random.Generator) -> Architecture:
    if space == "nasbench201":
        return nasbench201().sample(rng)
    choices = list(darts().sample(rng).choices)
    for node in range(0, len(choices), 3):
        choices[node + 1 : node + 3] = [FEW[1 + int(op)] - 1 for op in rng.integers(3, size=2)]
    return Architecture("darts", tuple(choices))


@functools.cache
def split(space: str, edges: tuple[Edge, ...]) -> tuple[Supernet, Partition]:
    """A supernet and its parts, for tests that change neither."""
    whole = parent(space)
    return whole, partition(whole, edges)


def images() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("space", "edges"), CASES)
def test_an_architecture_right_after_the_split_computes_what_it_did_in_the_parent(
    space: str, edges: tuple[Edge, ...]
) -> None:
    whole, parts = split(space, edges)
    rng = np.random.default_rng(0)
    for _ in range(12):
        arch = sample(space, rng)
        part = parts.part(arch)
        assert (whole.training, part.training) == (True, True)  # every batch normalised by itself
        expected = whole(images(), whole.path(arch))
        assert torch.equal(part(images(), part.path(arch)), expected)
        assert torch.equal(parts.network(arch)(images()), expected)


@pytest.mark.parametrize(("space", "edges"), CASES)
def test_tensors_of_a_part_are_equal_copies_level_by_level(space: str, edges: tuple[Edge, ...]) -> None:
    whole = parent(space)
    with torch.no_grad():
        for name, tensor in whole.state_dict().items():
            if tensor.is_floating_point():
                tensor.add_(len(name) / 100)  # running statistics that are no longer the initial ones
    given = whole.state_dict()
    (first, *rest) = edges
    for part in list(partition(whole, first).parts.values())[:2]:
        levels = [part, *(list(partition(part, rest).parts.values())[:2] if rest else [])]
        for level in levels:
            own = level.state_dict()
            assert set(own) < set(given)
            assert all(torch.equal(tensor, given[name]) for name, tensor in own.items())
            assert own.keys() >= {"stem.0.weight", "classifier.bias"}
            assert not {t.data_ptr() for t in own.values()} & {t.data_ptr() for t in given.values()}


def test_the_parts_of_an_edge_divide_the_space() -> None:
    _, parts = split("nasbench201", (EDGE,))
    pools: dict[object, set[Architecture]] = {key: set() for key in parts.parts}
    for arch in nasbench201():
        pools[parts.route(arch)].add(arch)
    assert [len(pool) for pool in pools.values()] == [3_125] * 5
    assert len(set().union(*pools.values())) == 15_625


def test_several_edges_have_a_part_for_each_combination() -> None:
    assert len(split("nasbench201", (Edge("cell", 3), Edge("cell", 1)))[1]) == 25
    few = ((0, 1, 3),) * len(DARTS.edges)
    whole = supernet("darts", Skeleton(channels=2, cells=3), seed=0, choices={"normal": few, "reduce": few})
    # A node of darts with two inputs uses both, so that the two operations of such an edge are all there is.
    assert len(partition(whole, Edge("normal", 0))) == 2
    assert len(partition(whole, Edge("normal", 2))) == 3
    # Of three edges of one node exactly two are in a cell: one is absent, and the two others have two operations.
    assert len(partition(whole, [Edge("normal", 2), Edge("normal", 3)])) == 3 * 3 - 1
    assert len(partition(whole, [Edge("normal", number) for number in (2, 3, 4)])) == 3 * 2 * 2


@pytest.mark.parametrize(("space", "edges"), CASES)
def test_an_architecture_of_another_part_is_refused(space: str, edges: tuple[Edge, ...]) -> None:
    _, parts = split(space, edges)
    rng = np.random.default_rng(0)
    for _ in range(4):
        arch = sample(space, rng)
        for key, part in parts:
            if key != parts.route(arch):
                with pytest.raises(SpecError, match="holds the operations"):
                    part.path(arch)
                with pytest.raises(SpecError, match="holds the operations"):
                    part.network(arch)


def test_an_architecture_without_a_part_is_refused() -> None:
    _, parts = split("nasbench201", (EDGE,))
    few = Partition(parts.plan, parts.edges, {((1,),): parts.parts[((1,),)]})
    with pytest.raises(SpecError, match="No part of the supernet holds"):
        few.route(Architecture("nasbench201", (0,) * 6))


def test_parts_have_no_parameters_of_operations_that_they_lack() -> None:
    _, parts = split("nasbench201", (Edge("cell", 3), Edge("cell", 1)))
    for key, part in parts:
        for cell in part.mixed:
            for edge, row in zip((3, 1), key, strict=True):
                held = {NASBENCH201.operations[op] for op in row} & {"nor_conv_1x1", "nor_conv_3x3"}
                assert set(cell.operations[edge].keys()) == held  # type: ignore[operator]
            assert set(cell.operations[2].keys()) == {"nor_conv_1x1", "nor_conv_3x3"}  # type: ignore[operator]


def test_architecture_parameters_are_those_of_the_edges_that_are_not_split() -> None:
    draw = torch.Generator().manual_seed(0)
    for key, part in split("nasbench201", (EDGE,))[1]:
        alphas = part.alphas(draw, scale=1.0)
        assert [tuple(group.shape) for group in alphas.groups] == [(5, 5)]
        assert part.plan.derive(alphas.strengths(Softmax())).choices[0] == key[0][0]
    for key, part in partition(parent("darts"), Edge("normal", 4)):
        alphas = part.alphas(draw, scale=1.0)
        assert [tuple(group.shape) for group in alphas.groups] == [(13, 8), (14, 8)]
        assert DARTS.choices(part.plan.derive(alphas.strengths(Softmax())))["normal"][4] == key[0]


def test_operations_may_stay_together_in_groups() -> None:
    whole = parent("nasbench201")
    parts = partition(whole, EDGE, groups=[(0, 1, 4), (3, 2)])
    assert list(parts.parts) == [((0, 1, 4),), ((2, 3),)]
    for choices in itertools.product(range(5), (3,), (1,), (2,), (4,), (0,)):
        arch = Architecture("nasbench201", choices)
        part = parts.part(arch)
        assert torch.equal(part(images(), part.path(arch)), whole(images(), whole.path(arch)))
    with pytest.raises(SpecError, match="each operation of the edge once"):
        partition(whole, EDGE, groups=[(0, 1), (1, 2, 3, 4)])
    with pytest.raises(SpecError, match="every edge is used"):
        partition(parent("darts"), Edge("normal", 0), groups=[(1, 2, 3), (4, 5, 6, 7)])
    with pytest.raises(SpecError, match="one edge at a time"):
        partition(whole, [EDGE, Edge("cell", 1)], groups=[(0, 1), (2, 3, 4)])


def test_parts_of_partial_channels_may_be_made_anew_with_whole_split_edges() -> None:
    skeleton = Skeleton(channels=4, cells=1)
    whole = supernet("nasbench201", skeleton, seed=0, partial=2)
    made = partition(
        whole, EDGE, make=lambda choices: supernet("nasbench201", skeleton, seed=1, partial=2, choices=choices)
    )
    part = made.parts[((3,),)]
    assert part.state_dict()["cells.0.operations.0.nor_conv_3x3.1.weight"].shape == (4, 4, 3, 3)
    fresh = supernet("nasbench201", skeleton, seed=1, partial=2, choices=part.choices)
    left = transfer(whole, fresh)
    assert len(left) == 3
    assert all(".operations.0." in name for name in left)
    given = whole.state_dict()
    assert all(torch.equal(tensor, given[name]) for name, tensor in part.state_dict().items() if name not in left)
    with pytest.raises(SpecError, match="its maker made another"):
        partition(whole, EDGE, make=lambda choices: supernet("nasbench201", skeleton, seed=1))


def test_a_partition_is_a_source_of_weights_and_names_its_parts() -> None:
    _, parts = split("nasbench201", (EDGE,))
    assert isinstance(parts, WeightSource)
    assert [parts.name(key) for key in parts.parts] == list(NASBENCH201.operations)
    assert split("darts", (Edge("normal", 3),))[1].name(((),)) == "absent"


def test_edges_that_cannot_be_split_are_refused() -> None:
    whole = parent("nasbench201")
    for edges in ([], [EDGE, EDGE]):
        with pytest.raises(SpecError, match="different edges, one at least"):
            partition(whole, edges)
    for edge in (Edge("cell", 6), Edge("normal", 0)):
        with pytest.raises(SpecError, match="no cell"):
            partition(whole, edge)
    part = partition(whole, EDGE).parts[((1,),)]
    with pytest.raises(SpecError, match=r"cell:0 has \[\(1,\)\]"):
        partition(part, EDGE)


def test_edges_are_read_by_number_or_with_the_kind_of_their_cells() -> None:
    assert read_edge(NASBENCH201, 3) == Edge("cell", 3)
    assert read_edge(NASBENCH201, "cell:3") == Edge("cell", 3)
    assert str(read_edge(DARTS, "reduce:13")) == "reduce:13"
    with pytest.raises(SpecError, match="written normal:0, but got 3"):
        read_edge(DARTS, 3)
    with pytest.raises(UnknownName, match="Did you mean 'normal'"):
        read_edge(DARTS, "normall:1")
    for text in ("14", "-1", "x"):
        with pytest.raises(SpecError, match="are 0 to 5, but got"):
            read_edge(NASBENCH201, text)
