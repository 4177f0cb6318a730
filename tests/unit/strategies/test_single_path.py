from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.build import Skeleton
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.supernet import SupernetStrategy
from ogive.supernets.search import shared_score
from ogive.supernets.sharing import supernet
from ogive.training.data import Data, Split
from ogive.training.tasks.classification import Classification

pytestmark = pytest.mark.usefixtures("one_thread")


def split(seed: int, count: int) -> Split:
    """Images whose class shows: the second is brighter."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(noise + 100 * labels.byte()[:, None, None, None], labels)


DATA = Data("bright", split(0, 96), split(1, 8), split(2, 8), ("dark", "bright"), (0.4,) * 3, (0.25,) * 3)


def strategy(**options: Any) -> SupernetStrategy:
    plain: dict[str, Any] = {
        "space": nasbench201(), "data": DATA, "seed": Seed(0), "channels": 4, "cells": 1, "epochs": 4, "batch_size": 8,
        "candidates": 20, "population": 6, "tournament": 3,
    }  # fmt: skip
    found: SupernetStrategy = catalog.build("strategy", "spos", **{**plain, **options})
    return found


def test_the_best_path_is_proposed_and_works_with_the_shared_weights() -> None:
    search = strategy()
    proposals = search.ask(4)
    assert len(proposals) == 4
    made = search.search
    best = shared_score(made.supernet, made.supernet.path(proposals[-1].arch), made.alphas_task)
    none = shared_score(made.supernet, made.supernet.path(Architecture("nasbench201", (0,) * 6)), made.alphas_task)
    assert best > 90 > none
    assert search.ask() == []


def test_single_paths_train_weights_and_no_architecture() -> None:
    search = strategy(epochs=1)
    alphas = search.search.alphas.groups[0].detach().clone()
    weights = [weight.detach().clone() for weight in search.search.weights]
    search.ask()
    assert torch.equal(alphas, search.search.alphas.groups[0])
    changed = [not torch.equal(one, other) for one, other in zip(weights, search.search.weights, strict=True)]
    assert sum(changed) > len(changed) / 2


def test_a_search_of_single_paths_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    whole, begun, resumed = strategy(), strategy(), strategy()
    expected = [proposal.arch for proposal in whole.ask(3)]
    begun.ask(1)
    begun.save(tmp_path)
    resumed.load(tmp_path)
    assert [proposal.arch for proposal in resumed.ask(2)] == expected[1:]


def test_an_accuracy_leaves_the_supernet_as_it_was_and_is_that_of_the_part() -> None:
    network = supernet("darts", Skeleton(4, 3, classes=2), seed=0).eval()
    arch = Architecture("darts", (0,) * 24)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = shared_score(network, network.path(arch), Classification(DATA), size=20)
    assert network.training is False
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert found == shared_score(network.network(arch), network.path(arch), Classification(DATA), size=20)


def test_a_part_refuses_an_architecture_that_is_not_its_own() -> None:
    part = supernet("nasbench201", Skeleton(4, 1), seed=0, choices={"cell": ((3,), *[tuple(range(5))] * 5)})
    part.path(Architecture("nasbench201", (3, 0, 0, 0, 0, 0)))
    with pytest.raises(SpecError, match=r"Edge 0 of this supernet holds the operations \(3,\)"):
        part.path(Architecture("nasbench201", (2, 0, 0, 0, 0, 0)))


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SpecError, match="candidates must be at least 1"):
        strategy(candidates=0)
    with pytest.raises(SpecError, match="held within the population of 2, but got 3"):
        strategy(population=2, tournament=3)


def test_a_rehearsal_counts_what_it_leaves_out_and_changes_nothing() -> None:
    few, many = strategy(), strategy(candidates=400)
    # Many times as much beside the training; a busy machine may make one of them several times slower.
    assert 0 < 2 * few.rehearse() < many.rehearse()
    assert [one.arch for one in few.ask(4)] == [one.arch for one in strategy().ask(4)]
