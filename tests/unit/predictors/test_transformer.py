from __future__ import annotations

import numpy as np
import pytest
import torch

from ogive.core.errors import SpecError
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.metrics import kendall_tau
from ogive.predictors.graphs import GraphBatch, GraphEncoder
from ogive.predictors.transformer import (
    FAR,
    RELATIONS,
    GraphTransformer,
    TransformerNetwork,
    TransformerRecipe,
    _Inputs,
    relations,
)
from ogive.spaces.nasbench201 import OPS, nasbench201

SPACE = nasbench201()
CONV3 = OPS.index("nor_conv_3x3")
SMALL = TransformerRecipe(width=16, heads=2, layers=2, dropout=0.0)


def labels(count: int) -> Observed:
    rng = np.random.default_rng(0)
    archs = tuple(SPACE.sample(rng) for _ in range(count))
    return Observed(archs, tuple(float(arch.choices.count(CONV3)) for arch in archs))


def with_biases(operations: int, recipe: TransformerRecipe = SMALL) -> TransformerNetwork:
    """A network whose attention is biased: a new one begins without."""
    network = TransformerNetwork(operations, 1, recipe)
    torch.nn.init.normal_(network.relation.weight)
    return network.double().eval()


def test_nodes_are_told_apart_by_the_shortest_way_along_or_against_the_arcs() -> None:
    adjacency = np.zeros((4, 4), bool)
    adjacency[0, 1] = adjacency[1, 3] = adjacency[0, 2] = True
    adjacency[0, 3] = False
    neither = RELATIONS - 1
    assert relations(adjacency).tolist() == [
        [0, 1, 1, 2],
        [FAR + 1, 0, neither, 1],
        [FAR + 1, neither, 0, neither],
        [FAR + 2, FAR + 1, neither, 0],
    ]


def test_what_is_far_is_one_and_a_shorter_way_counts() -> None:
    chain = np.eye(14, k=1, dtype=bool)
    assert relations(chain)[0].tolist() == [*range(FAR + 1), *[FAR] * 5]
    chain[0, 12] = True
    assert relations(chain)[0, 12:].tolist() == [1, 2]


def test_a_number_depends_neither_on_the_order_of_the_nodes_nor_on_the_padding() -> None:
    rng = np.random.default_rng(0)
    operations = rng.integers(1, 6, size=(3, 1, 7))
    adjacency = np.triu(rng.random((3, 1, 7, 7)) < 0.4, 1)
    network = with_biases(6)
    first = network(_Inputs.made(GraphBatch(operations, adjacency, 7)))
    order = rng.permutation(7)
    wide_operations = np.zeros((3, 1, 10), np.int64)
    wide_adjacency = np.zeros((3, 1, 10, 10), bool)
    wide_operations[..., :7], wide_adjacency[..., :7, :7] = operations[..., order], adjacency[..., order, :][..., order]
    second = network(_Inputs.made(GraphBatch(wide_operations, wide_adjacency, 7)))
    torch.testing.assert_close(first, second)
    assert first.std() > 0


def test_the_arcs_tell() -> None:
    operations = np.array([[[1, 2, 3, 4]]])
    adjacency = np.triu(np.ones((1, 1, 4, 4), bool), 1)
    fewer = adjacency.copy()
    fewer[..., 0, 3] = False
    network = with_biases(5)
    one, other = (network(_Inputs.made(GraphBatch(operations, arcs, 4))) for arcs in (adjacency, fewer))
    assert not torch.isclose(one, other)


def test_it_reads_pruned_graphs_so_that_dead_operations_do_not_matter() -> None:
    encoder = GraphEncoder(space=SPACE, pruned=True)
    cell = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|{}~1|none~2|"
    cells = [SPACE.parse(cell.format(last)) for last in ("skip_connect", "none")]
    batch = encoder(cells)
    assert batch.mask.sum(axis=-1).tolist() == [[4], [2]]


def test_unseen_cells_are_ranked_by_what_the_labels_say() -> None:
    predictor = GraphTransformer(space=SPACE, seed=Seed(0), recipe=TransformerRecipe(width=32, layers=2, epochs=60))
    predictor.fit(labels(80))
    live = [arch for arch in list(SPACE)[::7] if OPS.index("none") not in arch.choices]
    assert kendall_tau(predictor.predict(live), [arch.choices.count(CONV3) for arch in live]) > 0.5


def test_impossible_options_are_refused() -> None:
    with pytest.raises(SpecError, match="layers of a graph transformer must be at least 1"):
        TransformerRecipe(layers=0)
    with pytest.raises(SpecError, match="a multiple of them"):
        TransformerRecipe(width=30, heads=4)
    with pytest.raises(SpecError, match="0 <= dropout < 1"):
        TransformerRecipe(dropout=1)
