from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError
from ogive.core.evaluator import Evaluator
from ogive.core.objective import Maximize
from ogive.core.predictor import Observed, Predictor
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.strategy import Strategy
from ogive.core.study import Study
from ogive.core.trial import Budget, Measurement, Proposal, Trial
from ogive.evaluators.tabular import Tabular
from ogive.predictors.trees import ExtraTrees
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.guided import Guided
from ogive.strategies.local import RegularizedEvolution
from ogive.strategies.proposers import Exhaustive, RandomOffers
from ogive.tables.importers import import_table
from ogive.tables.store import Table

SPACE = nasbench201()


class Sum:
    """Prefers later options, and remembers what it was fitted on."""

    def __init__(self) -> None:
        self.fits: list[Observed] = []

    def fit(self, observed: Observed) -> None:
        self.fits.append(observed)

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return np.array([float(sum(arch.choices)) for arch in archs])


def guided(predictor: Predictor, *, seed: int = 0, start: int = 4, refit: int = 3) -> Guided:
    return Guided(predictor, Exhaustive(space=SPACE), space=SPACE, seed=Seed(seed), start=start, refit=refit)


def told(number: int, proposal: Proposal, score: float | None) -> Trial:
    if score is None:
        return Trial(number, proposal, Measurement(error="made up"), "failed")
    return Trial(number, proposal, Measurement({"val_acc": score}), "ok", (score,))


def tell(strategy: Strategy, proposals: Sequence[Proposal], *, fails: bool = False) -> None:
    strategy.tell([told(n, p, None if fails else float(p.arch.choices[0])) for n, p in enumerate(proposals)])


# -- what is proposed -------------------------------------------------------------------------------------------------


def test_after_a_random_start_come_the_best_predicted_that_nobody_proposed() -> None:
    predictor = Sum()
    strategy = guided(predictor)
    first = strategy.ask(4)
    tell(strategy, first)
    assert predictor.fits == []
    second = [sum(proposal.arch.choices) for proposal in strategy.ask(3)]
    assert second == [24, 23, 23]
    assert [len(observed) for observed in predictor.fits] == [4]
    assert predictor.fits[0].scores == tuple(float(proposal.arch.choices[0]) for proposal in first)
    third = [sum(proposal.arch.choices) for proposal in strategy.ask(3)]
    assert third == [23, 23, 23]
    assert [len(observed) for observed in predictor.fits] == [4, 4]


def test_it_is_fitted_again_after_so_many_proposals() -> None:
    predictor = Sum()
    strategy = guided(predictor, refit=2)
    for _ in range(10):
        tell(strategy, strategy.ask(1))
    assert [len(observed) for observed in predictor.fits] == [4, 6, 8]


def test_what_failed_is_no_label_and_is_not_proposed_again() -> None:
    predictor = Sum()
    strategy = guided(predictor)
    failing = strategy.ask(4)
    tell(strategy, failing, fails=True)
    more = strategy.ask(2)  # nothing to fit on: these are random too
    tell(strategy, more)
    assert predictor.fits == []
    asked = [*failing, *more]
    for _ in range(20):
        asked += strategy.ask(1)
    assert {arch for observed in predictor.fits for arch in observed.archs} == {proposal.arch for proposal in more}
    assert len({proposal.arch for proposal in asked}) == len(asked)


def test_equal_predictions_are_no_preference_for_the_first_of_the_space() -> None:
    class Flat(Sum):
        def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
            return np.zeros(len(archs))

    strategy = guided(Flat(), refit=60)
    tell(strategy, strategy.ask(4))
    edges = [proposal.arch.choices[0] for proposal in strategy.ask(60)]
    assert set(edges) == set(range(5))


def test_labels_of_others_are_learnt_from_and_shorten_the_random_start() -> None:
    predictor = Sum()
    strategy = guided(predictor)
    best = Architecture("nasbench201", (4,) * 6)
    tell(strategy, [Proposal(best), *(Proposal(Architecture("nasbench201", (k,) * 6)) for k in range(3))])
    assert sum(strategy.ask(1)[0].arch.choices) == 23
    assert predictor.fits[0].archs[0] == best


def test_the_search_is_over_with_the_space() -> None:
    space = catalog.build("space", "natssize")
    small = SearchSpace("natssize", space.variables[:2], space.draw)
    strategy = Guided(Sum(), RandomOffers(space=small), space=small, seed=Seed(0), start=4, refit=3, offered=5)
    asked: list[Proposal] = []
    while proposals := strategy.ask(1):
        tell(strategy, proposals)
        asked += proposals
    assert len({proposal.arch for proposal in asked}) == len(asked) == 64


def test_impossible_options_are_refused() -> None:
    with pytest.raises(SpecError, match="start of a guided search must be at least 2, but got 1"):
        guided(Sum(), start=1)
    with pytest.raises(SpecError, match="refit of a guided search"):
        guided(Sum(), refit=0)


def test_both_parts_are_named_where_one_is_missing() -> None:
    context = Context({"space": nasbench201}, Seed(0))
    with pytest.raises(SpecError, match=r"guided needs predictor: write guided\(trees, "):
        catalog.build("strategy", "guided", context)
    with pytest.raises(SpecError, match=r"guided needs proposer: write guided\(predictor, exhaustive\)"):
        catalog.build("strategy", "guided(trees)", context)
    with pytest.raises(SpecError, match="needs a predictor with a deviation"):
        catalog.build("strategy", "guided(upper_confidence_bound(boosted_trees), random)", context)
    built = catalog.build("strategy", "guided(trees(encoder=paths(columns=9), trees=7), evolution, refit=2)", context)
    assert (built.predictor.trees, built.predictor.encoder.width, built.refit) == (7, 9, 2)


def test_a_saved_state_of_other_parts_is_refused(tmp_path: Path) -> None:
    guided(Sum()).save(tmp_path)
    with pytest.raises(StoreError, match="ExtraTrees"):
        guided(ExtraTrees(space=SPACE, seed=Seed(0))).load(tmp_path)


# -- what it is good for ----------------------------------------------------------------------------------------------


class Turned:
    """A predictor whose predictions are put in another order."""

    def __init__(self, predictor: Predictor, order: Callable[[np.ndarray], np.ndarray]) -> None:
        self.predictor, self.order = predictor, order

    def fit(self, observed: Observed) -> None:
        self.predictor.fit(observed)

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return self.order(self.predictor.predict(archs))


def shuffled(values: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permutation(values)


def level(strategy: Strategy, evaluator: Evaluator) -> float:
    """The mean validation accuracy of the last 60 of 100 queries."""
    trials = list(Study(strategy, evaluator, Maximize("val_acc")).run(Budget(trials=100)))
    return float(np.mean([trial.metrics["val_acc"] for trial in trials[40:]]))


def test_predictions_lead_to_better_cells_than_evolution_and_turned_ones_do_not(
    shared_data: Path, tmp_path: Path
) -> None:
    """What a search finds differs between seeds by more than a few show; what it looks at does not."""
    import_table(shared_data / "nb201.parquet", tmp_path / "nasbench201", name="nasbench201")
    evaluator = Tabular(Table.open(tmp_path / "nasbench201"))

    def levels(order: Callable[[np.ndarray], np.ndarray]) -> list[float]:
        trees = [Turned(ExtraTrees(space=SPACE, seed=Seed(seed), trees=50), order) for seed in range(3)]
        return [level(guided(one, seed=seed, start=20, refit=20), evaluator) for seed, one in enumerate(trees)]

    evolution = [level(RegularizedEvolution(SPACE, Seed(seed)), evaluator) for seed in range(3)]
    assert min(levels(lambda values: values)) > max(evolution) + 0.5
    assert max(levels(shuffled)) < min(evolution)
    assert max(levels(np.negative)) < min(evolution) - 10
