from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.features import OneHot
from ogive.metrics import kendall_tau
from ogive.predictors.comparator import (
    Comparator,
    ComparatorNetwork,
    ComparatorRecipe,
    GraphBody,
    GraphLayer,
    Graphs,
    VectorBody,
)
from ogive.predictors.graphs import GraphBatch, GraphEncoder, folded
from ogive.spaces.darts import darts
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import OPS, nasbench201
from ogive.spaces.ofa_mobilenetv3 import ofa_mobilenetv3

SPACE = nasbench201()
CONV3 = OPS.index("nor_conv_3x3")
SHORT = ComparatorRecipe(epochs=60, width=32, learning_rate=0.003)


def labels(count: int) -> Observed:
    rng = np.random.default_rng(0)
    archs = tuple(SPACE.sample(rng) for _ in range(count))
    return Observed(archs, tuple(float(arch.choices.count(CONV3)) + 0.01 * n for n, arch in enumerate(archs)))


def fitted(count: int = 60, recipe: ComparatorRecipe = SHORT) -> Comparator:
    comparator = Comparator(space=SPACE, seed=Seed(0), recipe=recipe)
    comparator.fit(labels(count))
    return comparator


def network_of(space: SearchSpace) -> ComparatorNetwork:
    encoder = GraphEncoder(space=space)
    return ComparatorNetwork(GraphBody(len(encoder.vocabulary), encoder.graphs, 4, 128))


def size_of(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# -- the network, as published ----------------------------------------------------------------------------------------


def test_networks_have_the_published_numbers_of_parameters() -> None:
    """CTNAS's public code: NAS-Bench-101, DARTS, and the perceptron for networks of blocks."""
    assert size_of(network_of(nasbench101())) == 67_073
    assert size_of(network_of(darts())) == 67_969
    assert size_of(ComparatorNetwork(VectorBody(120, 3, 512))) == 588_289


def test_networks_of_mobile_blocks_are_rows_of_120_numbers() -> None:
    """CTNAS's public code: a perceptron of 588,289 parameters, and what is skipped makes no difference."""
    space, rng = ofa_mobilenetv3(), np.random.default_rng(0)
    archs = tuple(space.sample(rng) for _ in range(40))
    comparator = Comparator(space=space, seed=Seed(0), recipe=ComparatorRecipe(epochs=30, learning_rate=0.002))
    assert size_of(comparator._fresh()) == 588_289
    comparator.fit(Observed(archs, tuple(float(sum(arch.choices[:5])) for arch in archs)))
    predicted = comparator.predict(archs)
    assert kendall_tau(predicted, np.array([sum(arch.choices[:5]) for arch in archs])) > 0.8
    assert space.prune is not None
    np.testing.assert_array_equal(comparator.predict([space.prune(arch) for arch in archs]), predicted)


def test_a_layer_without_weights_keeps_its_input_and_one_of_the_identity_doubles_it() -> None:
    layer, none = GraphLayer(6), torch.zeros(0, dtype=torch.int64)
    h = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        torch.testing.assert_close(layer(h, torch.tensor([0, 1]), torch.tensor([2, 2])), torch.relu(h))
        layer.weight.copy_(torch.eye(6))
        torch.testing.assert_close(layer(h, none, none), torch.relu(2 * h))
        heard = layer(h, torch.tensor([0, 1]), torch.tensor([2, 2]))
        torch.testing.assert_close(heard[2], torch.relu(2 * h[2] + h[0] + h[1]))


@pytest.mark.parametrize("space", [nasbench101(), darts(), SPACE], ids=lambda space: space.name)
def test_features_are_those_of_the_published_layers_on_whole_padded_matrices(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    batch = GraphEncoder(space=space)([space.sample(rng) for _ in range(20)])
    network = network_of(space).double()
    body = network.body
    assert isinstance(body, GraphBody)
    h = body.embedding(torch.from_numpy(batch.operations))
    receives = torch.from_numpy(batch.adjacency.copy()).double().transpose(-1, -2)
    for layer in body.layers:
        assert isinstance(layer, GraphLayer)
        h = torch.relu((receives @ h + h) @ layer.weight + h + layer.bias)
    expected = h.mean(dim=-2).flatten(1)
    torch.testing.assert_close(body(Graphs.made(folded(batch), torch.float64)), expected)
    first, second = network(Graphs.made(folded(batch), torch.float64))
    pairs = torch.cat((expected[3].expand(20, -1), expected), dim=1)
    torch.testing.assert_close(first[3] + second, network.head(pairs)[:, 0])


def test_the_order_of_the_nodes_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    batch = GraphEncoder(space=nasbench101())([nasbench101().sample(rng) for _ in range(30)])
    # Two neighbours without an arc between them, neither of them padding, change places.
    place, node = next(
        (b, n)
        for b in range(30)
        for n in range(1, 6)
        if batch.mask[b, 0, n + 1] and not batch.adjacency[b, 0, n, n + 1]
    )
    order = np.arange(7)
    order[[node, node + 1]] = node + 1, node
    one = GraphBatch(batch.operations[[place]], batch.adjacency[[place]], 7)
    other = GraphBatch(one.operations[..., order], one.adjacency[..., order, :][..., order], 7)
    assert (one.operations != other.operations).any() or (one.adjacency != other.adjacency).any()
    body = network_of(nasbench101()).body.double()
    torch.testing.assert_close(*(body(Graphs.made(folded(part), torch.float64)) for part in (one, other)))


# -- pairs and ranks --------------------------------------------------------------------------------------------------


def test_the_additive_head_ranks_as_wins_against_all_do() -> None:
    comparator = fitted()
    archs = list(SPACE)[::300]
    first, second = comparator.sides(archs)
    wins = 1 / (1 + np.exp(-(first[:, None] + second[None])))
    assert (np.argsort(wins.sum(axis=1)) == np.argsort(comparator.predict(archs))).all()
    assert 0.05 < np.mean(wins > 0.5) < 0.95
    assert abs(wins + wins.T - 1).max() > 1e-3  # that one of two wins is learnt, and not built in


def test_tau_is_twice_the_pair_accuracy_less_one() -> None:
    comparator = fitted()
    archs = list(SPACE)[::200]
    true = np.array([arch.choices.count(CONV3) + 1e-6 * place for place, arch in enumerate(archs)])
    first, second = comparator.sides(archs)
    logits = first[:, None] + second[None]
    upper = np.triu_indices(len(archs), 1)
    accuracy = np.mean(((logits > logits.T) == (true[:, None] > true[None]))[upper])
    assert accuracy > 0.7
    assert kendall_tau(first - second, true) == pytest.approx(2 * accuracy - 1, abs=1e-12)


def test_unseen_cells_are_ranked_by_what_the_labels_say() -> None:
    everything = list(SPACE)[::5]
    true = [arch.choices.count(CONV3) for arch in everything]
    assert kendall_tau(fitted(100).predict(everything), true) > 0.6


def test_rows_of_numbers_take_the_place_of_graphs() -> None:
    recipe = ComparatorRecipe(epochs=60, width=32, layers=2, learning_rate=0.003)
    comparator = Comparator(space=SPACE, seed=Seed(0), encoder=OneHot(space=SPACE), recipe=recipe)
    comparator.fit(labels(100))
    everything = list(SPACE)[::5]
    assert kendall_tau(comparator.predict(everything), [arch.choices.count(CONV3) for arch in everything]) > 0.6


def test_small_batches_and_a_last_one_of_a_single_row_train_as_well() -> None:
    recipe = ComparatorRecipe(epochs=30, width=32, batch_size=20, learning_rate=0.003)
    everything = list(SPACE)[::5]
    true = [arch.choices.count(CONV3) for arch in everything]
    assert kendall_tau(fitted(61, recipe).predict(everything), true) > 0.5


# -- what the labels are ----------------------------------------------------------------------------------------------


def test_of_equal_labels_the_first_is_taken_for_the_better_one() -> None:
    """The label of a pair is 1 where the first is at least as good: Chen et al., CVPR 2021, section 3."""
    comparator = Comparator(space=SPACE, seed=Seed(0), recipe=SHORT)
    known = labels(20).archs
    comparator.fit(Observed(known, (50.0,) * len(known)))
    first, second = comparator.sides(known)
    assert (first[:, None] + second > 0).all()


def test_an_architecture_with_several_labels_is_kept_with_each_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    noisy = labels(10)
    noisy = Observed((*noisy.archs, noisy.archs[0]), (*noisy.scores, noisy.scores[0] + 1))
    comparator = Comparator(space=SPACE, seed=Seed(0), recipe=ComparatorRecipe(epochs=2, width=8))
    with caplog.at_level(logging.INFO):
        comparator.fit(noisy)
        comparator.fit(noisy)
    assert [record.message for record in caplog.records] == [
        "1 architecture has labels that differ; they are kept, as noise."
    ]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_labels_make_no_pair(count: int) -> None:
    with pytest.raises(SpecError, match=f"two comparable labels at least, but got {count}"):
        Comparator(space=SPACE, seed=Seed(0)).fit(labels(count))


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SpecError, match="batch_size of a comparator must be at least 2, but got 1"):
        ComparatorRecipe(batch_size=1)
    with pytest.raises(SpecError, match="learning_rate > 0"):
        ComparatorRecipe(learning_rate=0.0)


def test_it_is_written_nac_in_the_catalog() -> None:
    context = Context({"space": lambda: SPACE}, Seed(0))
    built = catalog.build("predictor", "nac(epochs=2, width=8, encoder=one_hot)", context)
    assert isinstance(built, Comparator)
    built.fit(labels(3))
    assert built.predict([Architecture("nasbench201", (0,) * 6)]).shape == (1,)
