"""Searches in the parts of a supernet, judged from outside: by the plain search, by hand, and in closed worlds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ogive import catalog
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.spaces.darts import OPS, darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.closed_world import in_closed_world
from ogive.strategies.few_shot import FewShot, Splitting
from ogive.strategies.supernet import SupernetStrategy
from ogive.supernets.plan import DARTS
from ogive.tables.keys import SortedDigests
from ogive.tables.store import Column, write_table
from ogive.tables.world import ClosedWorld
from ogive.training.data import Data, Split

pytestmark = pytest.mark.usefixtures("one_thread")

PATHS = "spos(candidates=6, population=3, tournament=2)"
CONTROLLED = "enas(candidates=3, final_candidates=3, controller_steps=2, controller_samples=3)"


def split(seed: int, count: int) -> Split:
    """Images whose class shows: the second is brighter."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(noise + 100 * labels.byte()[:, None, None, None], labels)


DATA = Data("bright", split(0, 48), split(1, 8), split(2, 8), ("dark", "bright"), (0.4,) * 3, (0.25,) * 3)


def searcher(space: SearchSpace, kind: str = "darts", **options: Any) -> SupernetStrategy:
    plain: dict[str, Any] = {"channels": 4, "cells": 1, "epochs": 2, "batch_size": 8, "seed": Seed(0)}
    if kind == "darts":
        plain["alpha_learning_rate"] = 0.1
    made: SupernetStrategy = catalog.build("strategy", kind, space=space, data=DATA, **{**plain, **options})
    return made


def few_shot(inner: SupernetStrategy, **options: Any) -> FewShot:
    return FewShot(inner, space=inner.space, seed=Seed(0), splitting=Splitting(**{"part_epochs": 1, **options}))


def part_of(search: FewShot) -> SupernetStrategy:
    """The search of the part that is being searched."""
    assert search._now is not None
    return search._now[1]


def test_the_whole_supernet_is_searched_as_the_strategy_alone_would() -> None:
    alone = searcher(nasbench201())
    expected = [proposal.arch for proposal in alone.ask(2)]
    search = few_shot(searcher(nasbench201()))
    assert [proposal.arch for proposal in search.ask(2)] == expected
    found, there = part_of(search).search.tensors(), alone.search.tensors()
    assert all(torch.equal(there[name], found[name]) for name in there)


def test_the_loss_that_decides_is_that_of_the_mixture_on_the_images_of_the_architecture() -> None:
    search = few_shot(searcher(nasbench201()))
    search.ask(3)
    made = part_of(search).search
    images, labels = made.alphas_task.data.train.images, made.alphas_task.data.train.labels
    x_NCHW = (images / 255 - 0.4) / 0.25
    made.supernet.train()
    with torch.no_grad():
        mixture = made.alphas.mixture(made.gate, torch.Generator())
        expected = float(F.cross_entropy(made.supernet(x_NCHW, mixture), labels))
    assert search.found[-1].loss == pytest.approx(expected, rel=1e-5)
    assert expected < 0.69


@pytest.mark.parametrize("kind", [PATHS, CONTROLLED], ids=["spos", "enas"])
def test_where_one_path_runs_it_is_the_loss_of_what_is_derived(kind: Any) -> None:
    search = few_shot(searcher(nasbench201(), kind), split=2)
    search.ask(4)
    found, made = search.found[-1], part_of(search).search
    assert found.arch.choices[2] == 1
    x_NCHW = (made.alphas_task.data.train.images / 255 - 0.4) / 0.25
    network = made.supernet.network(found.arch).train()
    with torch.no_grad():
        assert found.loss == pytest.approx(
            float(F.cross_entropy(network(x_NCHW), made.alphas_task.data.train.labels)), 1e-5
        )


def test_a_controller_writes_paths_of_its_part_alone_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    whole, stopped, resumed = (few_shot(searcher(nasbench201(), CONTROLLED, epochs=1), split=4) for _ in range(3))
    whole.ask(6)
    assert [found.arch.choices[4] for found in whole.found[1:]] == [0, 1, 2, 3, 4]
    stopped.ask(3)
    stopped.save(tmp_path)
    resumed.load(tmp_path)
    resumed.ask(3)
    assert resumed.found == whole.found


def test_an_edge_that_weighs_nothing_still_holds_the_operation_of_its_part() -> None:
    inner = searcher(darts(), partial=2, edge_normalisation=True, epochs=1, batch_size=24)
    search = few_shot(inner, split="reduce:12", transfer=False)
    search.ask(2)
    part = part_of(search)
    assert search.found[-1].name == "reduce:12 max_pool_3x3"
    with torch.no_grad():
        part.search.alphas.edges[1][12] = -20.0
    assert DARTS.choices(part.derived())["reduce"][12] == (OPS.index("max_pool_3x3"),)


def test_every_part_of_a_closed_world_is_searched_though_the_world_has_none_of_it(tmp_path: Path) -> None:
    rows = np.array([[4, 1, 2, 3, 0, 1], [4, 2, 2, 2, 2, 2], [4, 3, 3, 0, 1, 3]])
    key, _ = SortedDigests.of("nasbench201", rows)
    columns = {"val": (Column("%", "", "float64"), np.arange(3.0))}
    about = {"space": "nasbench201", "source": "", "licence": "", "importer": ""}
    world = ClosedWorld.of(
        nasbench201(), write_table(tmp_path / "some", columns, name="some", key=key, complete=False, **about)
    )
    search = few_shot(searcher(world, PATHS, epochs=1))
    proposals = in_closed_world(search, world).ask(6)
    assert [found.arch.choices[0] for found in search.found[1:]] == [0, 1, 2, 3, 4]
    assert all(proposal.arch in world for proposal in proposals)
