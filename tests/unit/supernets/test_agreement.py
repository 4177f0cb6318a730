from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.build import Skeleton
from ogive.supernets.agreement import Compared, agreement, chosen_levels, edges_with_choice, mean_agreement, two_groups
from ogive.supernets.gates import Mix
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Edge, partition
from ogive.supernets.plan import DARTS
from ogive.supernets.sequential import Level
from ogive.supernets.sharing import supernet

pytestmark = pytest.mark.usefixtures("one_thread")

EDGE = Edge("cell", 3)


def network() -> Supernet:
    return supernet("nasbench201", Skeleton(channels=4, cells=1), seed=0)


def batches(count: int) -> Compared:
    draw = torch.Generator().manual_seed(0)
    drawn = [(torch.randn(6, 3, 8, 8, generator=draw), torch.randint(10, (6,), generator=draw)) for _ in range(count)]
    return Compared(drawn, F.cross_entropy)


def test_agreement_is_the_cosine_of_gradients_on_what_the_operations_share() -> None:
    # All other edges are fixed, so that there is one path for each operation.
    rows = ((3,), (1,), (2,), (0, 1, 2, 3, 4), (3,), (1,))
    whole = network().restricted([rows] * 3)
    ((images, labels),) = batches(1).batches
    ops, found_OO = agreement(whole, EDGE, batches(1), Seed(0))
    assert ops == (0, 1, 2, 3, 4)
    shared = [weight for name, weight in whole.named_parameters() if ".operations.3." not in name]
    vectors = []
    for op in ops:
        loss = F.cross_entropy(whole(images, (Mix(None, ((op,),)),) * 3), labels)
        gradients = torch.autograd.grad(loss, shared, allow_unused=True)
        full = [torch.zeros_like(w) if g is None else g for w, g in zip(shared, gradients, strict=True)]
        vectors.append(torch.cat([gradient.flatten() for gradient in full]))
    for one, other in itertools.product(range(5), repeat=2):
        expected = float(F.cosine_similarity(vectors[one], vectors[other], dim=0))
        assert float(found_OO[one, other]) == pytest.approx(expected, abs=1e-5)
    assert float(found_OO[2, 3]) < 0.999


def test_agreement_leaves_the_supernet_as_it_was() -> None:
    whole = network()
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    first = agreement(whole, EDGE, batches(2), Seed(0))[1]
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.state_dict().items())
    assert all(weight.grad is None for weight in whole.parameters())
    assert torch.equal(agreement(whole, EDGE, batches(2), Seed(0))[1], first)


def test_operations_of_darts_agree_without_none() -> None:
    few = ((0, 1, 3, 4),) * len(DARTS.edges)
    whole = supernet("darts", Skeleton(channels=2, cells=3), seed=0, choices={"normal": few, "reduce": few})
    ops, found_OO = agreement(whole, Edge("reduce", 7), batches(1), Seed(0))
    assert ops == (1, 3, 4)
    torch.testing.assert_close(found_OO.diagonal(), torch.ones(3, dtype=torch.float64))
    assert len(edges_with_choice(whole)) == 28


def test_the_edge_with_the_least_agreement_is_chosen() -> None:
    whole = network()
    means = {edge: mean_agreement(agreement(whole, edge, batches(2), Seed(0))[1]) for edge in edges_with_choice(whole)}
    assert len(set(means.values())) == 6
    levels = chosen_levels(whole, "agreement", count=2, grouped=False, batches=lambda: batches(2), seed=Seed(0))
    assert [level.edge for level in levels] == sorted(means, key=means.__getitem__)[:2]


def test_edges_are_drawn_by_the_seed_without_a_gradient() -> None:
    def none() -> Compared:
        raise AssertionError("no batches are needed")

    whole = network()
    drawn = [
        chosen_levels(whole, "random", count=6, grouped=False, batches=none, seed=Seed(seed)) for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert {level.edge for level in drawn[0]} == set(edges_with_choice(whole))
    assert chosen_levels(whole, [EDGE], count=1, grouped=False, batches=none, seed=Seed(0)) == [Level(EDGE)]
    with pytest.raises(SpecError, match="has 6 edges to split, but 7"):
        chosen_levels(whole, "random", count=7, grouped=False, batches=none, seed=Seed(0))
    with pytest.raises(UnknownName, match="Did you mean 'random'"):
        chosen_levels(whole, "randm", count=1, grouped=False, batches=none, seed=Seed(0))


def test_groups_cut_the_least_similarity() -> None:
    similarity = torch.tensor(
        [
            [1, 0.9, 0.1, 0.2, 0.8],
            [0.9, 1, 0, 0.1, 0.7],
            [0.1, 0, 1, 0.9, 0],
            [0.2, 0.1, 0.9, 1, 0],
            [0.8, 0.7, 0, 0, 1],
        ]
    )
    assert two_groups((0, 1, 2, 3, 4), similarity) == ((2, 3), (0, 1, 4))
    assert two_groups((1, 4), torch.eye(2)) == ((1,), (4,))
    with pytest.raises(SpecError, match="two operations at least"):
        two_groups((1,), torch.eye(1))


def test_groups_that_agree_split_an_edge_in_two() -> None:
    whole = network()
    (level,) = chosen_levels(whole, [EDGE], count=1, grouped=True, batches=lambda: batches(1), seed=Seed(0))
    assert level.groups is not None
    assert sorted(len(group) for group in level.groups) == [2, 3]
    assert len(partition(whole, level.edge, groups=level.groups)) == 2
