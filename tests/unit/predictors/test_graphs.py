from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.space import SearchSpace
from ogive.predictors.graphs import PADDING, GraphBatch, GraphEncoder, folded
from ogive.spaces.accel_nasbench import accel_nasbench
from ogive.spaces.darts import darts
from ogive.spaces.mlp import mlp
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201

ARCS_201 = {(0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (2, 6), (3, 7), (4, 6), (5, 7), (6, 7)}


def sampled(space: SearchSpace, count: int) -> list[Architecture]:
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(count)]


def as_graph(encoder: GraphEncoder, batch: GraphBatch, place: int, graph: int = 0) -> Graph:
    """The graph that an entry of a batch describes."""
    ops = [encoder.vocabulary[row] for row in batch.operations[place, graph] if row != PADDING]
    return Graph(tuple(ops), frozenset(map(tuple, np.argwhere(batch.adjacency[place, graph]).tolist())))


def test_cells_of_nasbench101_are_pruned_and_padded_at_the_end() -> None:
    space = nasbench101()
    encoder = GraphEncoder(space=space)
    assert (encoder.nodes, encoder.graphs, len(encoder.vocabulary)) == (7, 1, 6)
    archs = sampled(space, 60)
    batch = encoder(archs)
    assert batch.operations.shape == (60, 1, 7)
    for place, arch in enumerate(archs):
        assert as_graph(encoder, batch, place) == space.draw(arch).pruned()
        assert list(batch.mask[place, 0]) == sorted(batch.mask[place, 0], reverse=True)
    assert len(set(batch.mask.sum(axis=-1).ravel().tolist())) > 1
    assert (batch.slots == 7).all()


def test_cells_of_nasbench201_have_a_node_for_every_edge_whatever_it_holds() -> None:
    space = nasbench201()
    encoder = GraphEncoder(space=space)
    arch = space.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|")
    drawn = as_graph(encoder, encoder([arch]), 0)
    # By the node that an edge leaves: 0>1, 0>2, 0>3, 1>2, 1>3, 2>3.
    between = ("nor_conv_3x3", "none", "avg_pool_3x3", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
    assert drawn.ops == ("input", *between, "output")
    assert drawn.edges == ARCS_201
    assert encoder.vocabulary == ("", "input", *space.variables[0].options, "output")


def test_an_architecture_of_darts_is_two_graphs_of_ten_nodes() -> None:
    space = darts()
    encoder = GraphEncoder(space=space)
    assert (encoder.nodes, encoder.graphs, len(encoder.vocabulary)) == (10, 2, 11)
    normal = "('sep_conv_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 2), "
    normal += "('dil_conv_3x3', 1), ('avg_pool_3x3', 3), ('dil_conv_5x5', 2), ('sep_conv_3x3', 4)"
    reduce = "('sep_conv_3x3', 0), ('sep_conv_3x3', 1), " * 4
    concat = "[2, 3, 4, 5]"
    text = f"Genotype(normal=[{normal}], normal_concat={concat}, reduce=[{reduce}], reduce_concat={concat})"
    batch = encoder([space.parse(text)])
    first, second = as_graph(encoder, batch, 0), as_graph(encoder, batch, 0, 1)
    assert first.ops[:6] == ("input_0", "input_1", "sep_conv_3x3", "skip_connect", "max_pool_3x3", "sep_conv_5x5")
    # The second operation of node 3 reads node 2, which is the operations in places 2 and 3.
    assert first.predecessors(5) == [2, 3]
    assert [first.predecessors(place) for place in range(2, 10)] == [[0], [1], [0], [2, 3], [1], [4, 5], [2, 3], [6, 7]]
    assert [second.predecessors(place) for place in range(2, 10)] == [[0], [1]] * 4


@pytest.mark.parametrize("space", [accel_nasbench(), mlp()], ids=lambda space: space.name)
def test_any_other_space_gives_its_pruned_drawing(space: SearchSpace) -> None:
    encoder = GraphEncoder(space=space)
    archs = sampled(space, 20)
    batch = encoder(archs)
    for place, arch in enumerate(archs):
        assert as_graph(encoder, batch, place) == space.draw(arch).pruned()


def test_each_architecture_is_drawn_once() -> None:
    drawn: list[Architecture] = []
    space = accel_nasbench()

    def draw(arch: Architecture) -> Graph:
        drawn.append(arch)
        return space.draw(arch)

    encoder = GraphEncoder(space=replace(space, draw=draw))
    archs = list(dict.fromkeys(sampled(space, 5)))
    drawn.clear()
    encoder(archs + archs)
    encoder(archs)
    assert drawn == archs


def test_a_graph_larger_than_any_that_was_seen_leaves_the_others_as_they_are() -> None:
    def draw(arch: Architecture) -> Graph:
        length = 3 + (9 if arch.choices[:5] == (3,) * 5 else 0)
        return Graph(("input", *["op"] * length, "output"), frozenset((n, n + 1) for n in range(length + 1)))

    space = replace(accel_nasbench(), draw=draw)
    encoder = GraphEncoder(space=space)
    small = next(arch for arch in sampled(space, 5) if arch.choices[:5] != (3,) * 5)
    large = Architecture(space.name, (3,) * len(space.variables))
    assert encoder.nodes == 5
    together = encoder([small, large])
    assert together.operations.shape == (2, 1, 14)
    assert together.slots.tolist() == [[5], [14]]
    shares = folded(together).shares
    np.testing.assert_allclose(shares[0, 0], [0.2] * 5 + [0] * 9)
    np.testing.assert_allclose(shares[1, 0], 1 / 14)


def test_nodes_that_hear_the_same_are_one() -> None:
    space = nasbench201()
    batch = GraphEncoder(space=space)(list(space))
    found = folded(batch)
    # The input; 5 that hear it; 25 and 625 further on; every output hears something else.
    assert len(found.operations) == 1 + 5 + 25 + 625 + 15_625
    assert (found.operations[found.places] == batch.operations).all()


@pytest.mark.parametrize("space", [nasbench101(), darts(), mlp()], ids=lambda space: space.name)
def test_a_folded_batch_unfolds_to_the_batch(space: SearchSpace) -> None:
    batch = GraphEncoder(space=space)(sampled(space, 50))
    rows = np.array([3, 30, 7])
    for part, chosen in ((folded(batch), np.arange(50)), (folded(batch).of(rows), rows)):
        hears: dict[int, list[int]] = {}
        for sender, receiver in zip(part.senders.tolist(), part.receivers.tolist(), strict=True):
            hears.setdefault(receiver, []).append(sender)
        for b, original in enumerate(chosen.tolist()):
            for g, n in np.argwhere(batch.mask[original]).tolist():
                assert part.operations[part.places[b, g, n]] == batch.operations[original, g, n]
                heard = part.places[b, g][batch.adjacency[original, g, :, n]]
                assert sorted(heard.tolist()) == sorted(hears.get(int(part.places[b, g, n]), []))


def test_architectures_of_another_space_and_spaces_without_graphs_are_refused() -> None:
    with pytest.raises(InvalidArchitecture, match="no architecture of nasbench201"):
        GraphEncoder(space=nasbench201())(sampled(darts(), 1))
    empty = replace(mlp(), draw=lambda arch: Graph((), frozenset()))
    with pytest.raises(SpecError, match="not drawn as graphs: encode them with one_hot"):
        GraphEncoder(space=empty)
