from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.capabilities import rehearsed
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.evaluator import Screened
from ogive.core.metric import Metric
from ogive.core.objective import Maximize
from ogive.core.rng import Seed
from ogive.core.study import Study
from ogive.core.trial import Budget, Cost, Measurement, Proposal, Trial
from ogive.evaluators.tabular import Tabular
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.local import RegularizedEvolution
from ogive.strategies.scored import Area, BestEvolved, BestScored
from ogive.tables.store import Table
from ogive.testing import check_strategy

SPACE = nasbench201()


class Sum:
    """The sum of the choices, with a metric nobody should choose by, and a failure here and there."""

    metrics = (Metric("sum"), Metric("test_sum"))

    def __init__(self) -> None:
        self.seen: list[Architecture] = []

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        self.seen += [proposal.arch for proposal in proposals]
        return [self.measured(proposal.arch) for proposal in proposals]

    def measured(self, arch: Architecture) -> Measurement:
        if arch.choices[0] == 4:
            return Measurement(cost=Cost(1.0), error="made up")
        value = -math.inf if arch.choices[0] == 0 else float(sum(arch.choices))
        return Measurement({"sum": value, "test_sum": value}, Cost(1.0))


def rank(arch: Architecture) -> float:
    found = Sum().measured(arch)
    return -math.inf if found.error else found.metrics["sum"]


def told(strategy: BestScored | Area, proposals: Sequence[Proposal], score: float = 1.0) -> None:
    strategy.tell([Trial(i, p, Measurement({"x": score}), "ok", (score,)) for i, p in enumerate(proposals)])


@pytest.mark.parametrize("rounds", [12, 40])
def test_both_keep_the_contract(rounds: int) -> None:
    check_strategy(lambda space, seed: Area(Sum(), space=space, seed=seed), SPACE, rounds=rounds)
    check_strategy(lambda space, seed: BestScored(Sum(), space=space, seed=seed, scored=30), SPACE, rounds=rounds)
    check_strategy(lambda space, seed: BestEvolved(Sum(), space=space, seed=seed, candidates=70), SPACE, rounds=rounds)


def test_naswot_proposes_the_best_of_the_scored_first_and_each_once() -> None:
    scorer = Sum()
    strategy = BestScored(scorer, space=SPACE, seed=Seed(0), scored=60)
    assert scorer.seen == []
    archs = [proposal.arch for proposal in strategy.ask(100)]
    assert sorted(archs) == sorted(set(scorer.seen))
    assert [rank(arch) for arch in archs] == sorted(map(rank, archs), reverse=True)
    assert {arch.choices[0] for arch in archs[-3:]} <= {0, 4}
    assert strategy.ask(1) == []


def test_what_was_scored_is_drawn_from_the_space_as_random_search_would() -> None:
    scorer = Sum()
    BestScored(scorer, space=SPACE, seed=Seed(3), scored=5).ask(1)
    rng = Seed(3).numpy("scored")
    assert scorer.seen == [SPACE.sample(rng) for _ in range(5)]


def test_the_first_proposal_carries_the_cost_of_scoring() -> None:
    strategy = BestScored(Sum(), space=SPACE, seed=Seed(0), scored=7)
    assert [proposal.cost.wall_s for proposal in strategy.ask(3)] == [7.0, 0.0, 0.0]


def test_one_shot_search_proposes_the_best_that_evolution_on_the_scores_finds() -> None:
    scorer = Sum()
    strategy = BestEvolved(scorer, space=SPACE, seed=Seed(0), candidates=200, population=20, tournament=5)
    archs = [proposal.arch for proposal in strategy.ask(300)]
    assert sorted(archs) == sorted(set(archs)) == sorted(scorer.seen)  # nothing is measured twice
    assert [rank(arch) for arch in archs] == sorted(map(rank, archs), reverse=True)
    rng = Seed(0).numpy("random")
    assert rank(archs[0]) > max(rank(SPACE.sample(rng)) for _ in range(200))
    again = RegularizedEvolution(SPACE, Seed(0).child("evolution"), population=20, tournament=5)
    for number in range(200):
        (proposal,) = again.ask()
        assert proposal.arch in archs
        score = (rank(proposal.arch),) if math.isfinite(rank(proposal.arch)) else None
        again.tell([Trial(number, proposal, Measurement(), "failed" if score is None else "ok", score)])


def test_the_published_search_is_a_budget_of_one(table: Table) -> None:
    study = Study(BestScored(Sum(), space=SPACE, seed=Seed(0), scored=50), Tabular(table), Maximize("val_acc"))
    trials = list(study.run(Budget(trials=1)))
    rng = Seed(0).numpy("scored")
    assert [rank(trial.arch) for trial in trials] == [max(rank(SPACE.sample(rng)) for _ in range(50))]


@pytest.fixture(scope="module")
def table(invented_table: Path) -> Table:
    return Table.open(invented_table)


def test_area_begins_with_the_best_ten_of_twenty_and_then_forgets_by_age(table: Table) -> None:
    strategy = Area(Sum(), space=SPACE, seed=Seed(0))
    trials = list(Study(strategy, Tabular(table), Maximize("val_acc")).run(Budget(trials=60)))
    rng = Seed(0).numpy("scored")
    twenty = [SPACE.sample(rng) for _ in range(20)]
    best = sorted(twenty, key=rank, reverse=True)[:10]
    assert [trial.arch for trial in trials[:10]] == best
    # Whatever their accuracy, the members are always the last ten.
    assert [arch for _, arch in strategy._members] == [trial.arch for trial in trials[-10:]]
    for number, trial in enumerate(trials[10:], start=10):
        parents = [earlier.arch for earlier in trials[number - 10 : number]]
        assert any(differing(parent, trial.arch) <= 1 for parent in parents)


def differing(a: Architecture, b: Architecture) -> int:
    return sum(x != y for x, y in zip(a.choices, b.choices, strict=True))


def test_a_tournament_of_the_whole_population_always_takes_its_best() -> None:
    # Drawn without replacement, ten of ten are all of them.
    strategy = Area(Sum(), space=SPACE, seed=Seed(0), tournament=10)
    first = strategy.ask(10)
    for number, proposal in enumerate(first):
        told(strategy, [proposal], score=100.0 if number == 4 else 1.0)
    for _ in range(20):
        assert differing(strategy.ask(1)[0].arch, first[4].arch) == 1


def test_failures_are_made_up_for_by_the_next_best_and_then_at_random() -> None:
    strategy = Area(Sum(), space=SPACE, seed=Seed(0), population=2, scored=4, tournament=1)
    proposals = strategy.ask(2)
    failed = [Trial(i, p, Measurement(error="made up"), "failed") for i, p in enumerate(proposals)]
    strategy.tell(failed)
    rng = Seed(0).numpy("scored")
    four = sorted((SPACE.sample(rng) for _ in range(4)), key=rank, reverse=True)
    assert [p.arch for p in (*proposals, *strategy.ask(2))] == four
    assert len(strategy.ask(3)) == 3


def test_a_saved_search_does_not_score_again(tmp_path: Path) -> None:
    strategy = Area(Sum(), space=SPACE, seed=Seed(0))
    told(strategy, strategy.ask(3))
    strategy.save(tmp_path)
    scorer = Sum()
    again = Area(scorer, space=SPACE, seed=Seed(0))
    again.load(tmp_path)
    assert again.ask(12) == strategy.ask(12)
    assert scorer.seen == []
    with pytest.raises(StoreError, match="scored"):
        Area(Sum(), space=SPACE, seed=Seed(0), scored=30).load(tmp_path)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(SpecError, match="scored=5, population=10"):
        Area(Sum(), space=SPACE, seed=Seed(0), scored=5)
    with pytest.raises(SpecError, match="scored=0"):
        BestScored(Sum(), space=SPACE, seed=Seed(0), scored=0)
    with pytest.raises(UnknownName, match="Did you mean 'sum'"):
        BestScored(Sum(), space=SPACE, seed=Seed(0), by="summ")
    with pytest.raises(SpecError, match="would have seen the test set"):
        BestScored(Sum(), space=SPACE, seed=Seed(0), by="test_sum")
    with pytest.raises(SpecError, match="Screened screens proposals"):
        BestScored(Screened(Sum(), Other()), space=SPACE, seed=Seed(0))


class Other(Sum):
    metrics = (Metric("other"), Metric("test_other"))


@pytest.mark.parametrize("name", ["naswot", "area"])
def test_a_strategy_without_its_scorer_says_how_to_write_it(name: str) -> None:
    context = Context({"space": lambda: SPACE}, Seed(0))
    with pytest.raises(SpecError, match=rf"write {name}\(training_free\(naswot\)\)"):
        catalog.build("strategy", name, context)


class Slow(Sum):
    """Takes at least 3 ms for each architecture, after it was prepared."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared = False

    def rehearse(self) -> float:
        self.prepared = True
        return 100.0

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        assert self.prepared
        time.sleep(0.003 * len(proposals))
        return super().evaluate(proposals)


@pytest.mark.parametrize("kind", [BestScored, Area])
def test_a_rehearsal_counts_all_that_is_scored_and_what_the_scorer_prepares(kind: type[BestScored | Area]) -> None:
    search = kind(Slow(), space=SPACE, seed=Seed(0), scored=200)
    assert rehearsed(search) >= 100.6
    assert search.ask(3) == kind(Sum(), space=SPACE, seed=Seed(0), scored=200).ask(3)
