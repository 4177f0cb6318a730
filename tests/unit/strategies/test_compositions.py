"""Strategies that train a supernet, with every pair of their options and in every kind of space that has one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Proposal
from ogive.evaluators.inherited import Inherited
from ogive.spaces.ddarts import dartopti, ddarts
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.unrestricted import ddarts_dense
from ogive.strategies.few_shot import FewShot, Splitting
from ogive.strategies.supernet import SupernetStrategy
from ogive.training.data import Data, Split
from ogive.training.tasks.classification import Classification
from ogive.weights.cells import CellSplitting, CellTraining
from ogive.weights.shared import parts, supernet

pytestmark = pytest.mark.usefixtures("one_thread")

REMEDIES: tuple[dict[str, Any], ...] = (
    {"order": 2},
    {"gate": "sigmoid", "zero_one": 10.0},
    {"gate": "gumbel"},
    {"partial": 2},
    {"edge_normalisation": True},
    {"most_skips": 1},
    {"settled": 1},
    {"select": "perturbation", "tune_epochs": 1},
    {"eigenvalue_ratio": 1.3, "eigenvalue_from": 1},
    {"warm_epochs": 1},
)
PAIRS = [(one, other) for one, other in itertools.combinations(REMEDIES, 2) if not ("gate" in one and "gate" in other)]
PATHS: dict[str, Any] = {"candidates": 4}
FEW: dict[str, Any] = {"candidates": 2, "final_candidates": 2, "controller_steps": 1, "controller_samples": 2}


def split(seed: int, count: int) -> Split:
    """Images whose class shows: the second is brighter."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(noise + 100 * labels.byte()[:, None, None, None], labels)


DATA = Data("bright", split(0, 24), split(1, 8), split(2, 8), ("dark", "bright"), (0.4,) * 3, (0.25,) * 3)


def made(kind: str, space: SearchSpace, **options: Any) -> SupernetStrategy:
    plain = {"data": DATA, "seed": Seed(0), "channels": 4, "epochs": 2, "batch_size": 12, "threads": 1}
    found: SupernetStrategy = catalog.build("strategy", kind, space=space, **{**plain, **options})
    return found


def found(search: SupernetStrategy | FewShot) -> list[Architecture]:
    proposals = search.ask(60)
    assert proposals
    return [search.space.admit(proposal.arch) for proposal in proposals]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=str)
def test_any_two_remedies_go_together(one: dict[str, Any], other: dict[str, Any]) -> None:
    archs = found(made("darts", nasbench201(), cells=1, **one, **other))
    # All epochs but where a rule may stop earlier, and six decisions after them.
    decided = 6 if "select" in one or "select" in other else 0
    least = 1 if any(rule in {**one, **other} for rule in ("most_skips", "settled", "eigenvalue_ratio")) else 2
    assert least + decided <= len(archs) <= 2 + decided


@pytest.mark.parametrize(
    "space", [ddarts(distinct=2), dartopti(distinct=2), ddarts_dense(distinct=2)], ids=lambda s: s.name
)
@pytest.mark.parametrize("options", [{}, *REMEDIES[1:5]], ids=str)
def test_remedies_reach_cells_that_all_differ(space: SearchSpace, options: dict[str, Any]) -> None:
    search = made("darts", space, epochs=1, **options)
    assert len(found(search)) == 1
    assert len(search.search.alphas.groups) == 2


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ddarts", {}),
        ("darts", {"gate": "sigmoid"}),
        ("spos", {**PATHS, "population": 2, "tournament": 2}),
        ("enas", FEW),
    ],
)
def test_every_search_of_nested_cells_runs_inside_parts(kind: str, options: dict[str, Any]) -> None:
    space = ddarts(distinct=2)
    search = FewShot(
        made(kind, space, epochs=1, **options), space=space, seed=Seed(0), splitting=Splitting(part_epochs=1)
    )
    # The whole for an epoch; then a part for each of seven operations on the first edge, and one without that edge.
    assert len(found(search)) == 1 + 8
    held = [one.name for one in search.found if one.level == 1]
    assert len(held) == len(set(held)) == 8
    assert "cell 0:0 absent" in held


def test_fairdarts_with_its_threshold_runs_inside_parts_too() -> None:
    space = ddarts(distinct=3)
    searcher = made("darts", space, gate="sigmoid", threshold=0.5, epochs=1)
    search = FewShot(searcher, space=space, seed=Seed(0), splitting=Splitting(split="normal:0"))
    assert len(found(search)) == 1 + 7  # the first node of darts has both of its edges


@pytest.mark.parametrize("split", [False, True])
def test_nested_cells_inherit_weights(split: bool) -> None:
    space = ddarts(distinct=2)
    about: dict[str, Any] = {"space": space, "seed": Seed(0), "threads": 1}
    one = CellTraining(epochs=1, batch_size=12)
    few = CellSplitting(epochs=1, batch_size=12, split="cell 0:0", part_epochs=1)
    weights = (
        parts(task=Classification(DATA), channels=4, training=few, **about)
        if split
        else supernet(task=Classification(DATA), channels=4, training=one, **about)
    )
    evaluator = Inherited(weights, task=Classification(DATA), **about)
    rng = Seed(1).numpy("architectures")
    measured = evaluator.evaluate([Proposal(space.sample(rng)) for _ in range(12)])
    assert [one.error for one in measured] == [None] * 12
    assert len({one.metrics["val_acc"] for one in measured}) > 1


def test_where_an_edge_holds_several_operations_there_are_no_paths_and_no_parts() -> None:
    space = ddarts_dense(distinct=2)
    for kind, options in (("spos", {}), ("enas", FEW)):
        with pytest.raises(SpecError, match="A path runs one operation of an edge, but in ddarts_dense"):
            made(kind, space, **options)
    with pytest.raises(SpecError, match="A path runs one operation of an edge, but in ddarts_dense"):
        supernet(space=space, task=Classification(DATA), seed=Seed(0))
    search = FewShot(made("ddarts", space), space=space, seed=Seed(0))
    with pytest.raises(SpecError, match="Parts of a supernet hold one operation on an edge, but in ddarts_dense"):
        search.ask()
