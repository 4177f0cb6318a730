from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ogive import catalog
from ogive.context import Context
from ogive.core.errors import MissingData, SpecError
from ogive.core.evaluator import Evaluator, Screened
from ogive.core.metric import Metric, names_of
from ogive.core.objective import Maximize
from ogive.core.rng import Seed
from ogive.core.study import Study
from ogive.core.trial import Budget, Cost, Measurement, Proposal
from ogive.evaluators.ranked import Ranked, fitted_weights, mean_ranks, rank_share
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.local import RandomSearch
from ogive.testing import check_evaluator
from ogive.training.data import Data, Split

SPACE = nasbench201()


class Digits:
    """Two scores of unlike kinds: the sum of the choices, and minus a power of the first; some of them fail."""

    metrics = (Metric("sum"), Metric("power"))

    def __init__(self, *, failing: bool = False) -> None:
        self.failing, self.asked = failing, 0

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        self.asked += len(proposals)
        return [self.measured(proposal) for proposal in proposals]

    def measured(self, proposal: Proposal) -> Measurement:
        if self.failing or proposal.arch.space != SPACE.name:
            return Measurement(cost=Cost(1.0), error="made up")
        choices = proposal.arch.choices
        power = -math.inf if choices[0] == 0 else -(10.0 ** choices[0])
        return Measurement({"sum": float(sum(choices)), "power": power}, Cost(1.0))


def make(inner: Evaluator | None = None, **options: object) -> Ranked:
    return Ranked(inner or Digits(), **{"space": SPACE, "seed": Seed(0), **options})  # type: ignore[arg-type]


def proposals(count: int) -> list[Proposal]:
    rng = Seed(5).numpy("some")
    return [Proposal(SPACE.sample(rng)) for _ in range(count)]


def test_the_contract_is_kept() -> None:
    check_evaluator(make(), SPACE)


def test_the_standing_is_the_mean_of_the_ranks_among_random_architectures() -> None:
    ranked = make(reference=200)
    found = [m.metrics for m in ranked.evaluate(proposals(40))]
    inner = [m.metrics for m in Digits().evaluate(proposals(40))]
    assert names_of(ranked.metrics) == ("mean_rank", "sum", "power")
    assert all(
        mine["sum"] == theirs["sum"] and mine["power"] == theirs["power"]
        for mine, theirs in zip(found, inner, strict=True)
    )
    rng = Seed(0).numpy("reference")
    reference = [m.metrics for m in Digits().evaluate([Proposal(SPACE.sample(rng)) for _ in range(200)])]
    for metrics in found:
        shares = []
        for name in ("sum", "power"):
            values = np.array([other[name] for other in reference])
            shares.append(((values < metrics[name]).mean() + (values <= metrics[name]).mean()) / 2)
        if metrics["power"] > -math.inf:
            assert metrics["mean_rank"] == pytest.approx(np.mean(shares), abs=0.01)


def test_a_candidate_stands_the_same_in_every_batch() -> None:
    batch = proposals(12)
    together = [m.metrics["mean_rank"] for m in make().evaluate(batch)]
    ranked = make()
    apart = [ranked.evaluate([proposal])[0].metrics["mean_rank"] for proposal in reversed(batch)][::-1]
    assert together == apart


def test_weights_count_the_scores() -> None:
    batch = proposals(12)
    only = make(weights=[1.0, 0.0]).evaluate(batch)
    order = sorted(only, key=lambda m: m.metrics["mean_rank"])
    sums = [m.metrics["sum"] for m in order]
    assert sums == sorted(sums)


def test_by_logarithms_the_last_of_one_score_is_the_last_of_all() -> None:
    found = make(combine="log").evaluate(proposals(40))
    cut_off = [m.metrics["mean_rank"] for m in found if m.metrics["power"] == -math.inf]
    rest = [m.metrics["mean_rank"] for m in found if m.metrics["power"] > -math.inf]
    assert cut_off
    assert set(cut_off) == {0.0} < set(rest) | {0.0}
    assert min(rest) > 0


def test_the_reference_is_scored_once_and_its_cost_is_that_of_the_first_candidate() -> None:
    inner = Digits()
    ranked = make(inner, reference=30)
    assert ranked.evaluate([]) == []
    assert inner.asked == 0
    costs = [m.cost.wall_s for m in (*ranked.evaluate(proposals(2)), *ranked.evaluate(proposals(3)))]
    assert costs == [31.0, 1.0, 1.0, 1.0, 1.0]
    assert inner.asked == 30 + 5


def test_it_screens_and_it_searches() -> None:
    class Accuracy:
        metrics = (Metric("val_acc"),)

        def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
            return [Measurement({"val_acc": float(sum(proposal.arch.choices))}) for proposal in proposals]

    screened = Screened(make(weights=[1.0, 0.0]), Accuracy(), keep=1, pool=10)
    trials = list(Study(RandomSearch(SPACE, Seed(1)), screened, Maximize("val_acc")).run(Budget(trials=3)))
    kept = [trial.metrics["sum"] for trial in trials if trial.status == "ok"]
    assert len(trials) == 30
    assert kept == [max(trial.metrics["sum"] for trial in trials[start : start + 10]) for start in (0, 10, 20)]
    alone = Study(RandomSearch(SPACE, Seed(1)), make(), Maximize("mean_rank")).run(Budget(trials=5))
    assert [trial.status for trial in alone] == ["ok"] * 5


def test_nothing_to_rank_among_is_an_error() -> None:
    with pytest.raises(MissingData, match="50 of 50 random ones could not be scored: made up"):
        make(Digits(failing=True)).evaluate(proposals(1))


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(SpecError, match="reference=1"):
        make(reference=1)
    for weights in ([1.0], [0.7, 0.7], [1.5, -0.5]):
        with pytest.raises(SpecError, match="2 numbers from 0 to 1 with the sum 1"):
            make(weights=weights)
    with pytest.raises(SpecError, match="ranks of ranks"):
        make(make())


# -- standing ----------------------------------------------------------------------------------------------------------

finite = st.floats(-1e6, 1e6)


@given(
    st.lists(st.one_of(finite, st.just(-math.inf)), min_size=2, max_size=12), st.lists(finite, min_size=2, max_size=8)
)
def test_different_scores_stand_differently_and_in_their_order(reference: list[float], values: list[float]) -> None:
    ordered = sorted({round(value, 2) for value in values})
    places = [rank_share(value, sorted(round(r, 2) for r in reference)) for value in ordered]
    assert places == sorted(places)
    if any(map(math.isfinite, reference)):
        assert len(set(places)) == len(places)
    assert all(0 < place <= 1 for place in places)


def test_the_middle_of_the_reference_stands_in_the_middle() -> None:
    assert rank_share(3.0, [1.0, 2.0, 3.0, 4.0, 5.0]) == 0.5
    assert rank_share(2.0, [1.0, 2.0, 2.0, 2.0, 9.0]) == 0.5
    assert rank_share(2.5, [1.0, 2.0, 3.0, 4.0]) == 0.5
    assert rank_share(1.0, [1.0, 1.0]) == 0.5


def test_minus_infinity_and_nan_stand_at_zero() -> None:
    assert rank_share(-math.inf, [-math.inf, 1.0]) == rank_share(math.nan, [1.0, 2.0]) == 0.0
    assert rank_share(-1e9, [-math.inf, 1.0]) > 1 / 3


# -- the fitted combination --------------------------------------------------------------------------------------------


def test_the_fit_finds_the_score_that_tells_and_leaves_out_the_one_that_misleads() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(300)
    standings = np.stack([truth + 0.05 * rng.random(300), rng.random(300), 1 - truth], axis=1)
    weights = fitted_weights(standings, 50 + 40 * truth)
    assert weights[0] > 0.9
    assert weights[2] == 0.0
    assert sum(weights) == pytest.approx(1.0)
    make(weights=[weights[0], 1 - weights[0]])


def test_a_fit_that_cannot_be_is_refused() -> None:
    with pytest.raises(SpecError, match="more architectures than scores"):
        fitted_weights([[0.1, 0.2]], [1.0])
    with pytest.raises(SpecError, match="nothing to fit"):
        fitted_weights([[0.1], [0.2], [0.3]], [3.0, 2.0, 1.0])
    with pytest.raises(SpecError, match="finite"):
        fitted_weights([[0.1], [0.2], [math.nan]], [3.0, 2.0, 1.0])


def test_ranking_does_not_import_torch() -> None:
    code = "import sys, ogive.evaluators.ranked; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_az_nas_is_a_ranking_by_logarithms_of_ranks() -> None:
    draw = np.random.default_rng(0)
    images = [torch.from_numpy(draw.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)) for count in (8, 4, 4)]
    splits = [Split(part, torch.zeros(len(part), dtype=torch.int64)) for part in images]
    data = Data("noise", *splits, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    text = "ranked(training_free([az_expressivity, az_progressivity, az_trainability, macs]), combine=log, reference=8)"
    makers = {
        "space": lambda: SPACE,
        "data": lambda: data,
        "device": lambda: "cpu",
        "threads": lambda: 1,
        "channels": lambda: 4,
        "cells": lambda: 1,
    }
    ranked = catalog.build("evaluator", text, Context(makers, Seed(0)))
    archs = [SPACE.parse(f"nasbench201:{choices}") for choices in ("0,0,0,0,0,0", "3,1,2,3,0,4", "3,3,2,1,2,3")]
    found = [measurement.metrics for measurement in ranked.evaluate([Proposal(arch) for arch in archs])]
    assert found[0]["mean_rank"] == 0  # cut off: last by three scores
    # The total is the sum of log(rank / number): the standing is its fourth part, exponentiated.
    references = ranked._scored_references()[0]
    for metrics in found[1:]:
        ranks = [
            rank_share(metrics[name], reference)
            for name, reference in zip(names_of(ranked.parts[0].metrics), references, strict=True)
        ]
        assert metrics["mean_rank"] == pytest.approx(math.exp(sum(map(math.log, ranks)) / 4))


def test_among_themselves_networks_stand_by_the_mean_of_their_ranks_or_of_the_logarithms() -> None:
    scores = [[1.0, 30.0], [2.0, 20.0], [3.0, 20.0], [-math.inf, 10.0]]
    assert mean_ranks(scores).tolist() == pytest.approx([(2 + 4) / 8, (3 + 2.5) / 8, (4 + 2.5) / 8, (0 + 1) / 8])
    found = mean_ranks(scores, "log")
    # AZ-NAS adds log(rank / 4).
    assert (2 * np.log(found[:3])).tolist() == pytest.approx(
        [math.log(2 / 4) + math.log(4 / 4), math.log(3 / 4) + math.log(2.5 / 4), math.log(4 / 4) + math.log(2.5 / 4)]
    )
    assert found[3] == 0


def test_scores_that_are_no_numbers_do_not_stand() -> None:
    with pytest.raises(SpecError, match="scores that are numbers"):
        mean_ranks([[1.0, math.nan]])
    with pytest.raises(SpecError, match=r"got the shape \(0,\)"):
        mean_ranks([])
