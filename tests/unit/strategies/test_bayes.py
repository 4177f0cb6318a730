from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ogive
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.metric import Metric
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.space import Choice, Draw, Real, SearchSpace
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.predictors.gp import GaussianProcess
from ogive.predictors.improvement import ExpectedImprovement, log_improvement
from ogive.predictors.kernels import Matern, WeisfeilerLehman
from ogive.predictors.trees import BoostedTrees
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.bayes import bayes, usual_kernel
from ogive.testing import check_strategy

SPACE = nasbench201()


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


MIXED = SearchSpace("mixed", (Choice("kind", tuple("abcd")), Real("rate", 0.0, 1.0), Real("size", 0.0, 10.0)), draw)
DRAWN = SearchSpace("drawn", (Real("x", 0.0, 1.0), Draw("which", 1000)), draw)
NOTHING = SearchSpace("nothing", (Draw("which", 1000),), draw)


class Mixed:
    """Best at kind c, rate 0.3, size 7, where it is 0."""

    metrics = (Metric("val"),)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({"val": self.value(proposal.arch)}) for proposal in proposals]

    def value(self, arch: Architecture) -> float:
        kind, rate, size = arch.choices
        return -float(kind != 2) - 4 * (rate - 0.3) ** 2 - (size - 7) ** 2 / 25


def told(proposal: Proposal, score: float | None, number: int = 0) -> Trial:
    if score is None:
        return Trial(number, proposal, Measurement(error="made up"), "failed")
    return Trial(number, proposal, Measurement({"val": score}), "ok", (score,))


# -- expected improvement ---------------------------------------------------------------------------------------------


def test_the_improvement_is_the_mean_of_what_a_normal_variable_exceeds_zero_by() -> None:
    rng = np.random.default_rng(0)
    above, deviation = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 0.5, 0.1])
    drawn = np.maximum(above + deviation * rng.normal(size=(400_000, 3)), 0).mean(axis=0)
    assert np.exp(log_improvement(above, deviation)) == pytest.approx(drawn, rel=0.02)


def test_far_below_the_best_it_is_finite_and_still_rises() -> None:
    found = log_improvement(np.linspace(-50, -1, 200), np.full(200, 1.0))
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    assert np.isfinite(log_improvement(np.array([-1.0, 0.0, 1.0]), np.zeros(3))).all()


def test_what_is_being_measured_promises_nothing_more() -> None:
    rng = np.random.default_rng(0)
    archs = tuple(MIXED.sample(rng) for _ in range(12))
    improvement = ExpectedImprovement(GaussianProcess(space=MIXED))
    improvement.fit(Observed(archs, tuple(map(Mixed().value, archs))))
    offers = [MIXED.sample(rng) for _ in range(300)]
    before = improvement.predict(offers)
    best = offers[int(np.argmax(before))]
    improvement.believe([best])
    after = improvement.predict(offers)
    assert after[offers.index(best)] < before.max() - 0.5
    assert offers[int(np.argmax(after))] != best


def test_a_predictor_without_a_deviation_is_refused() -> None:
    with pytest.raises(SpecError, match="needs a predictor with a deviation, such as gp, but BoostedTrees has none"):
        ExpectedImprovement(BoostedTrees(space=MIXED, seed=Seed(0)))


# -- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [MIXED, SPACE, DRAWN], ids=lambda it: it.name)
def test_the_contract(space: SearchSpace) -> None:
    check_strategy(lambda within, seed: bayes(space=within, seed=seed, start=4, offered=30), space, rounds=3, batch=3)


def test_graphs_are_compared_as_graphs_and_numbers_as_numbers() -> None:
    assert isinstance(usual_kernel(SPACE), WeisfeilerLehman)
    assert isinstance(usual_kernel(MIXED), Matern)


def test_a_mixed_space_is_searched_to_near_its_best() -> None:
    """Mean over four seeds, each to within 0.03; random search with as many trials is told apart."""
    ends: dict[str, list[float]] = {"bayes": [], "random": []}
    for seed in range(4):
        for name, values in ends.items():
            found = ogive.search(space=MIXED, strategy=name, evaluator=Mixed(), budget=30, seed=seed)
            values.append(found.best.metrics["val"])
    assert np.mean(ends["bayes"]) > -0.03
    assert np.mean(ends["random"]) < -0.05


@pytest.mark.slow  # of the import of the table and of 75 fits
def test_in_the_table_it_is_ahead_of_random_search(shared_data: Path, tmp_path: Path) -> None:
    from ogive.tables.importers import import_table

    table = import_table(shared_data / "nb201.parquet", tmp_path / "table", name="nasbench201")
    ends: dict[str, list[float]] = {"bayes": [], "random": []}
    for seed in range(3):
        for name, values in ends.items():
            found = ogive.search(space=SPACE, table=table, strategy=name, budget=35, seed=seed)
            values.append(found.best.metrics["val_acc"])
    assert np.mean(ends["bayes"]) > np.mean(ends["random"]) + 0.2


def test_it_searches_by_real_trainings_and_goes_on_as_it_would_have(tmp_path: Path) -> None:
    parts = {"space": "nasbench201", "data": "digits(limit=24)", "channels": 4, "cells": 1, "threads": 1}
    strategy, evaluator = "bayes(start=2, offered=20)", "trained(epochs=1, batch_size=16)"
    whole = ogive.search(**parts, strategy=strategy, evaluator=evaluator, budget=4)
    ogive.search(**parts, strategy=strategy, evaluator=evaluator, budget=3, out=tmp_path / "run")
    again = ogive.resume(tmp_path / "run", budget=4)
    assert [trial.status for trial in again.trials] == ["ok"] * 4
    assert [trial.arch for trial in again.trials] == [trial.arch for trial in whole.trials]


def test_several_in_flight_lie_apart() -> None:
    strategy = bayes(space=MIXED, seed=Seed(0), start=8)
    first = strategy.ask(8)
    strategy.tell([told(one, Mixed().value(one.arch)) for one in first])
    rows = Matern(space=MIXED).described([one.arch for one in strategy.ask(4)])
    apart = [np.linalg.norm(a - b) for place, a in enumerate(rows) for b in rows[:place]]
    assert min(apart) > 0.01


def test_equal_scores_are_told_once_in_a_line_and_cost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    strategy = bayes(space=MIXED, seed=Seed(0), start=3)
    with caplog.at_level(logging.WARNING):
        for number in range(6):
            (proposal,) = strategy.ask()
            strategy.tell([told(proposal, 5.0, number)])
    (record,) = caplog.records
    assert record.message.startswith("All 3 trials so far have the same score, 5: nothing can be learnt of them")


def test_several_draws_of_one_point_are_noise(caplog: pytest.LogCaptureFixture) -> None:
    """Observations that are one to the model and differ; what failed is none."""
    strategy = bayes(space=DRAWN, seed=Seed(0), start=2)
    rng = np.random.default_rng(0)
    for number in range(30):
        proposal = Proposal(Architecture("drawn", (0.25 * (number % 5), number)))
        noisy = -((0.25 * (number % 5) - 0.5) ** 2) + 0.05 * float(rng.normal())
        strategy.tell([told(proposal, None if number % 7 == 3 else noisy, number)])
    (proposal,) = strategy.ask()
    assert abs(proposal.arch.choices[0] - 0.5) < 0.2


def test_a_space_that_has_nothing_to_model_is_one_line() -> None:
    with pytest.raises(SpecError, match="bayes models variables, and nothing has none"):
        bayes(space=NOTHING, seed=Seed(0))


# -- a run on other data ----------------------------------------------------------------------------------------------


class Shifted(Mixed):
    """Another data set: on another scale, and with its best somewhat elsewhere."""

    def value(self, arch: Architecture) -> float:
        kind, rate, size = arch.choices
        return 500.0 - 90 * float(kind != 2) - 300 * (rate - 0.35) ** 2 - 4 * (size - 6.5) ** 2


def warmed(folder: Path, evaluator: Any, budget: int, seed: int) -> float:
    strategy = f"bayes(start=3, warm='{folder}')" if folder.is_dir() else "bayes(start=3)"
    found = ogive.search(space=MIXED, strategy=strategy, evaluator=evaluator, budget=budget, seed=seed)
    return float(found.best.metrics["val"])


def test_a_search_begins_with_what_a_run_on_other_data_found(tmp_path: Path) -> None:
    ogive.search(space=MIXED, strategy="random", evaluator=Shifted(), budget=60, seed=9, out=tmp_path / "other")
    cold = [warmed(tmp_path / "nothing", Mixed(), 6, seed) for seed in range(4)]
    warm = [warmed(tmp_path / "other", Mixed(), 6, seed) for seed in range(4)]
    assert np.mean(warm) > np.mean(cold) + 0.1


def test_a_run_in_another_space_and_one_without_trials_are_refused(tmp_path: Path) -> None:
    ogive.search(space=MIXED, strategy="random", evaluator=Mixed(), budget=1, out=tmp_path / "one")
    with pytest.raises(SpecError, match=r"a run in the same space, but .* is one in mixed, not in nasbench201"):
        bayes(space=SPACE, seed=Seed(0), warm=tmp_path / "one")
    with pytest.raises(SpecError, match=r"two trials at least, but .* has 1 that worked"):
        bayes(space=MIXED, seed=Seed(0), warm=tmp_path / "one")
