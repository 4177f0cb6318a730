"""Supernets train through the loss of their task, whatever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.trial import Proposal
from ogive.networks.plain_rows import Target
from ogive.spaces.ddarts import ddarts
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.few_shot import FewShot, Splitting
from ogive.strategies.supernet import SupernetStrategy
from ogive.supernets.search import shared_score
from ogive.training.data import Data, Split
from ogive.training.recipe import Recipe
from ogive.training.tasks.classification import Classification
from ogive.training.tasks.prediction import Prediction
from ogive.training.tasks.regression import Regression

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE: dict[str, Any] = {"channels": 4, "batch_size": 12, "threads": 1}
PATHS: dict[str, Any] = {"candidates": 3}
CONTROLLER: dict[str, Any] = {**PATHS, "final_candidates": 3, "controller_steps": 2, "controller_samples": 2}
SEARCHES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("darts", {}),
    ("darts", {"order": 2}),
    ("spos", {**PATHS, "population": 2, "tournament": 2}),
    ("enas", CONTROLLER),
    ("ddarts", {"form": "weighted"}),
)


def images(seed: int, count: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    bright = torch.linspace(20, 200, count)[torch.randperm(count, generator=draw)]
    return (bright[:, None, None, None] + 40 * torch.rand(count, 3, 8, 8, generator=draw)).byte()


def labelled(seed: int, count: int) -> Split:
    found = images(seed, count)
    return Split(found, (found.float().mean((1, 2, 3)) > 128).long())


def measured(seed: int, count: int) -> Split:
    found = images(seed, count)
    return Split(found, (found.float().mean((1, 2, 3)) - 128) / 50)


FIXED = ((0.5,) * 3, (0.25,) * 3)
CLASSES = Data("bright", labelled(0, 48), labelled(1, 24), labelled(2, 8), ("dark", "bright"), *FIXED)
QUANTITY = Data("brightness", measured(0, 48), measured(1, 24), measured(2, 8), ("brightness",), *FIXED)


class Threefold(Classification):
    """Three times the usual loss."""

    def loss(self, outputs: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
        return 3 * super().loss(outputs, targets, recipe)


class Brightness(Regression):
    """How bright an image is."""

    def __init__(self, data: Data) -> None:
        Prediction.__init__(self, data)
        self.target = Target("brightness", mean=128.0, deviation=50.0)


def made(kind: str, task: Prediction, **options: Any) -> SupernetStrategy:
    space = ddarts(cells=2, distinct=2) if kind == "ddarts" else nasbench201()
    cells = {} if kind == "ddarts" else {"cells": 1}
    found: SupernetStrategy = catalog.build(
        "strategy", kind, space=space, task=task, seed=Seed(0), **{**SIZE, **cells, "epochs": 1, **options}
    )
    return found


@pytest.mark.parametrize(("kind", "options"), SEARCHES, ids=str)
def test_a_loss_of_ones_own_is_what_a_supernet_is_trained_with(kind: str, options: dict[str, Any]) -> None:
    still = {"learning_rate": 1e-9, "final_learning_rate": 1e-9, **options}  # so that both stay at the same weights
    plain, own = (made(kind, task(CLASSES), **still) for task in (Classification, Threefold))
    for search in (plain, own):
        search.ask()
    (usual,), (found,) = plain.search.history, own.search.history
    assert found.train_loss == pytest.approx(3 * usual.train_loss, rel=1e-4)
    assert found.train_score == pytest.approx(usual.train_score)
    assert own.validation_loss(own.derived()) == pytest.approx(3 * own_loss(own), rel=1e-6)


def own_loss(search: SupernetStrategy) -> float:
    """The validation loss of the same weights by the usual loss."""
    made = search.search
    before, made.alphas_task = made.alphas_task, Classification(made.alphas_task.data)  # type: ignore[attr-defined]
    found = search.validation_loss(search.derived())
    made.alphas_task = before
    return found


def test_a_loss_of_ones_own_changes_inherited_weights_and_has_a_file_of_its_own(tmp_path: Path) -> None:
    archs = [nasbench201().sample(Seed(seed).numpy("arch")) for seed in range(3)]
    found = []
    for task in (Classification(CLASSES), Threefold(CLASSES), Classification(CLASSES)):
        context = Context({"channels": lambda: 4, "cells": lambda: 1, "folder": lambda: tmp_path}, Seed(0))
        given: dict[str, Any] = {"task": task, "space": nasbench201()}
        evaluator = catalog.build("evaluator", "inherited(supernet(epochs=2, batch_size=12))", context, **given)
        evaluator.evaluate([Proposal(arch) for arch in archs])
        found.append([tensor.clone() for tensor in evaluator.weights.source.state_dict().values()])
    assert all(torch.equal(one, other) for one, other in zip(found[0], found[2], strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(found[0], found[1], strict=True))
    assert len(list(tmp_path.glob("supernet-*"))) == 2


@pytest.mark.parametrize(("kind", "options"), SEARCHES, ids=str)
def test_a_supernet_learns_a_quantity(kind: str, options: dict[str, Any]) -> None:
    epochs = {"darts": 4, "ddarts": 2}.get(kind, 8)  # paths differ from step to step
    search = made(kind, Brightness(QUANTITY), **{"learning_rate": 0.02, **options, "epochs": epochs})
    proposals = search.ask(epochs)
    first, *later = [epoch.train_score for epoch in search.search.history]  # root mean squared errors
    assert min(later) < 0.85 * first
    if kind in ("spos", "enas"):  # of the paths that were compared, the one with the least error
        supernet, task = search.search.supernet, search.search.alphas_task
        best = shared_score(supernet, supernet.path(proposals[-1].arch), task)
        nothing = shared_score(supernet, supernet.path(Architecture("nasbench201", (0,) * 6)), task)
        assert nothing < best < 0


def test_parts_of_a_supernet_learn_a_quantity_and_are_measured_by_its_metric() -> None:
    task = Brightness(QUANTITY)
    search = FewShot(
        made("darts", task), space=nasbench201(), seed=Seed(0), splitting=Splitting(split="agreement", part_epochs=1)
    )
    assert len(search.ask(60)) == 6
    context = Context({"channels": lambda: 4, "cells": lambda: 1}, Seed(0))
    given: dict[str, Any] = {"task": task, "space": nasbench201()}
    options = "epochs=2, part_epochs=1, batch_size=12, split=agreement, groups=true, calibration=parent, reference=2"
    evaluator = catalog.build("evaluator", f"inherited(parts({options}))", context, **given)
    found = evaluator.evaluate([Proposal(nasbench201().sample(Seed(0).numpy("arch")))])[0]
    assert found.error is None
    assert found.metrics.keys() == {"val_rmse"}


@pytest.mark.parametrize("kind", ["darts", "spos", "enas", "ddarts", "few_shot(darts)"])
def test_generators_have_no_loss_that_a_supernet_could_train_through(kind: str) -> None:
    with pytest.raises(SpecError, match="the task generation has none"):
        catalog.build("strategy", kind, space=catalog.build("space", "autogan"), data=CLASSES, seed=Seed(0))
