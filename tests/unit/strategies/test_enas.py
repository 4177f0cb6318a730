from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError
from ogive.core.rng import Seed
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.few_shot import FewShot, Splitting
from ogive.strategies.supernet import SupernetStrategy
from ogive.supernets.controlled import ControlledSearch
from ogive.supernets.controller import controlled_paths
from ogive.supernets.search import shared_score
from ogive.training.data import Data, Split

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
        "candidates": 5, "final_candidates": 20, "controller_steps": 10, "controller_samples": 5,
        "controller_learning_rate": 0.02,
    }  # fmt: skip
    found: SupernetStrategy = catalog.build("strategy", "enas", **{**plain, **options})
    return found


def controlled(search: SupernetStrategy) -> ControlledSearch:
    made = search.search
    assert isinstance(made, ControlledSearch)
    return made


def state(search: SupernetStrategy) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in search.search.tensors().items()}


def test_one_ask_trains_weights_and_controller_and_the_best_sample_is_proposed() -> None:
    search = strategy()
    before = state(search)
    proposals = search.ask(4)
    assert len(proposals) == 4
    assert search.ask() == []
    made = controlled(search)
    after = state(search)
    for kind in ("supernet.", "alphas."):
        changed = [not torch.equal(before[name], after[name]) for name in before if name.startswith(kind)]
        assert sum(changed) > len(changed) / 2
    best = shared_score(made.supernet, made.supernet.path(proposals[-1].arch), made.alphas_task)
    none = shared_score(made.supernet, made.supernet.path(Architecture("nasbench201", (0,) * 6)), made.alphas_task)
    assert best > 90 > none
    assert made.baseline is not None
    assert 0.5 < made.baseline < 1


def test_the_controller_comes_to_prefer_paths_that_answer_right() -> None:
    search = strategy(
        epochs=4, controller_steps=30, controller_learning_rate=0.05, entropy_weight=0.0, final_candidates=1
    )
    accuracies = []
    for _ in range(4):
        search.ask()
        accuracies.append(controlled(search).reward)
    with torch.no_grad():
        draw = torch.Generator().manual_seed(0)
        learnt = controlled(search).paths.controller.sample(500, draw)
        fresh = controlled_paths(search.search.supernet, seed=1).controller.sample(500, draw)
    assert float(learnt.entropies.mean()) < float(fresh.entropies.mean()) - 1
    assert accuracies[-1] > accuracies[0]


def test_cells_of_darts_are_proposed_too() -> None:
    search = strategy(space=darts(), cells=3, epochs=1, controller_steps=2, final_candidates=3)
    (proposal,) = search.ask()
    darts().admit(proposal.arch)


def test_an_interrupted_search_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, begun, resumed = strategy(), strategy(), strategy()
    expected = [proposal.arch for proposal in whole.ask(4)]
    begun.ask(2)
    begun.save(tmp_path)
    resumed.load(tmp_path)
    assert [proposal.arch for proposal in resumed.ask(2)] == expected[2:]
    there, here = state(whole), state(resumed)
    assert there.keys() == here.keys()
    assert {"baseline", "alphas.0", "architect.0.exp_avg_sq"} <= there.keys()
    assert [name for name in there if not torch.equal(there[name], here[name])] == []
    losses, again = ([epoch.train_loss for epoch in search.search.history] for search in (whole, resumed))
    assert losses == again


def test_a_state_of_another_controller_is_refused(tmp_path: Path) -> None:
    search = strategy(epochs=1)
    search.ask()
    search.save(tmp_path)
    with pytest.raises(StoreError, match="belongs to another training: its options is"):
        strategy(epochs=1, controller_steps=9).load(tmp_path)


def test_it_searches_the_parts_of_a_supernet_and_is_resumed_in_one(tmp_path: Path) -> None:
    def few_shot() -> FewShot:
        searcher = strategy(epochs=2, controller_steps=3, final_candidates=5)
        return FewShot(searcher, space=nasbench201(), seed=Seed(0), splitting=Splitting(split=3, part_epochs=2))

    whole, begun, resumed = few_shot(), few_shot(), few_shot()
    expected = [proposal.arch for proposal in whole.ask(12)]
    assert len(expected) == 2 + 5 * 2
    assert whole.ask() == []
    assert [found.arch.choices[3] for found in whole.found[1:]] == [0, 1, 2, 3, 4]
    begun.ask(5)  # in the middle of the second part
    begun.save(tmp_path)
    resumed.load(tmp_path)
    assert [proposal.arch for proposal in resumed.ask(7)] == expected[5:]
    assert resumed.found == whole.found


# -- numbers that are none --------------------------------------------------------------------------------------------


def spoilt(search: SupernetStrategy, half: str, rows: list[int]) -> None:
    """Some images of one half become infinite."""
    batches = getattr(search.search, half)
    images = batches.data.train.images.float()
    images[rows] = torch.inf
    batches.data = replace(batches.data, train=Split(images, batches.data.train.labels))


def test_a_step_of_the_weights_without_a_finite_loss_is_undone_and_counted() -> None:
    search = strategy(epochs=1)
    spoilt(search, "train_batches", [0])  # one of six batches
    search.ask()
    assert all(tensor.isfinite().all() for tensor in state(search).values())
    assert search.rolled_back == 1


def test_three_such_steps_in_a_row_end_the_search_and_leave_the_controller_alone() -> None:
    search = strategy(epochs=9)
    search.ask()
    before = state(search)
    spoilt(search, "train_batches", list(range(48)))
    assert len(search.ask(5)) == 1
    assert search.ask() == []
    assert search.rolled_back >= 3
    after = state(search)
    assert [
        name
        for name in before
        if name.startswith(("alphas.", "architect.")) and not torch.equal(before[name], after[name])
    ] == []
    assert torch.equal(before["baseline"], after["baseline"])


def test_answers_that_are_no_numbers_are_wrong_and_do_not_spoil_the_controller() -> None:
    search = strategy(epochs=2)
    spoilt(search, "valid_batches", list(range(48)))
    search.ask()
    assert all(tensor.isfinite().all() for tensor in state(search).values())
    assert controlled(search).reward == 0.0


# -- options ----------------------------------------------------------------------------------------------------------


def test_the_learning_rate_falls_and_rises_in_turn() -> None:
    rates = [controlled(strategy(epochs=310)).rate(epoch) for epoch in (0, 5, 10, 15, 20)]
    assert rates == pytest.approx([0.05, 0.02525, 0.0005, 0.02525, 0.05])
    once = controlled(strategy(epochs=310, swing_epochs=None))
    assert [once.rate(epoch) for epoch in (0, 155, 310)] == pytest.approx([0.05, 0.02525, 0.0005])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": 0}, "candidates must be at least 1, but got 0"),
        ({"controller_samples": 0}, "controller_samples must be at least 1"),
        ({"swing_epochs": 0}, "swing_epochs must be at least 1"),
        ({"baseline_decay": 1.0}, r"baseline_decay must be in \[0, 1\), but got 1.0"),
        ({"entropy_weight": -1.0}, "entropy_weight must be 0 or a positive number"),
        ({"controller_learning_rate": 0.0}, "controller_learning_rate must be a positive number"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        strategy(**options)


def test_a_rehearsal_counts_what_it_leaves_out_and_changes_nothing() -> None:
    few, many = strategy(), strategy(controller_steps=400)
    # Many times as much beside the training; a busy machine may make one of them several times slower.
    assert 0 < 2 * few.rehearse() < many.rehearse()
    assert [one.arch for one in few.ask(4)] == [one.arch for one in strategy().ask(4)]
