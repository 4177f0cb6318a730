from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Self

import numpy as np
import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.capabilities import Lasting, Rehearsed, rehearsed
from ogive.core.metric import Metric
from ogive.core.predictor import Observed, Predictor
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.core.trial import Budget, Measurement, Proposal, Trial
from ogive.evaluators.predicted import Predicted
from ogive.predictors.ranks import Ranks
from ogive.predictors.rehearsal import extrapolated, rehearsed_fit, rehearsed_labels
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.guided import Guided
from ogive.strategies.proposers import RandomOffers

SPACE = nasbench201()


class Sleeping:
    """A predictor whose fit takes as long as it says, whatever else the machine does: 20 µs a label and epoch."""

    def __init__(self, epochs: int) -> None:
        self.rounds, self.slept_s = epochs, 0.0

    def lasting(self, rounds: int) -> Self:
        other = copy.copy(self)
        other.rounds = rounds
        return other

    def fit(self, observed: Observed) -> None:
        seconds = 2e-5 * len(observed.archs) * self.rounds
        time.sleep(seconds)
        self.slept_s += seconds

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return np.zeros(len(archs))


class Counting:
    """Measures how many edges of a cell are convolutions of 3x3."""

    metrics = (Metric("convolutions"),)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({"convolutions": float(one.arch.choices.count(3))}) for one in proposals]


def test_the_fits_of_a_search_are_told_beforehand_from_a_few_short_ones() -> None:
    """450 epochs on 20, 30, … 60 labels: 1.8 s, of which a rehearsal waits for less than a half."""
    predictor = Sleeping(450)
    search = Guided(
        predictor,
        RandomOffers(space=SPACE),
        space=SPACE,
        seed=Seed(0),
        budget=Budget(trials=70),
        start=20,
        refit=10,
        offered=20,
    )
    total_s = sum(2e-5 * labels * 450 for labels in range(20, 70, 10))
    assert predictor.slept_s == 0
    assert search.rehearse() == pytest.approx(total_s, rel=0.5)
    assert predictor.slept_s == 0  # its own fits begin with the search


def test_few_fits_and_none_are_told_as_they_are() -> None:
    def told(trials: int | None) -> float:
        budget = Budget(wall_s=60) if trials is None else Budget(trials=trials)
        offers = RandomOffers(space=SPACE)
        sizes = {"start": 50, "refit": 50, "offered": 20}
        return Guided(Sleeping(400), offers, space=SPACE, seed=Seed(0), budget=budget, **sizes).rehearse()

    assert told(50) == 0
    assert told(None) == pytest.approx(0.4, rel=0.5)
    assert told(60) == pytest.approx(0.4, rel=0.5)
    assert told(150) == pytest.approx(0.4 + 0.8, rel=0.5)


def test_predictions_in_the_place_of_measurements_are_fitted_once() -> None:
    made = Predicted(Sleeping(500), Counting(), space=SPACE, seed=Seed(0), sample=100)
    assert isinstance(made, Rehearsed)
    assert made.rehearse() == pytest.approx(2e-5 * 100 * 500, rel=0.5)


def test_rounds_that_take_alike_are_told_from_a_few_and_a_slow_first_one_does_not_count() -> None:
    done: list[int] = []

    def work(rounds: int) -> None:
        time.sleep(0.01 * rounds + (0.5 if not done else 0))
        done.append(rounds)

    assert extrapolated(work, 1000) == pytest.approx(10, rel=0.5)
    assert sum(done) < 100
    assert extrapolated(work, 3) == pytest.approx(0.03, rel=0.9)
    assert done[-1] == 3


@pytest.mark.parametrize("text", ["nac", "renas", "nao", "nao(preset=semi_nas)", "bananas", "graph_transformer"])
def test_networks_are_fitted_as_shortly_as_they_are_asked_to(text: str) -> None:
    built = catalog.build("predictor", text, Context({"space": lambda: SPACE}, Seed(0)))
    assert isinstance(built, Lasting)
    whole = built.rounds
    assert whole > 10
    short = built.lasting(1)
    assert (short.rounds, built.rounds) == (1, whole)
    inside = Ranks(short) if isinstance(short, Predictor) else None
    assert inside is not None
    assert inside.rounds == 1


def test_labels_are_as_many_as_a_space_has() -> None:
    few = SearchSpace("few", (Choice("x", ("a", "b", "c")),), draw=SPACE.draw)
    assert len(rehearsed_labels(few, 30, np.random.default_rng(0)).archs) == 3
    labels = rehearsed_labels(SPACE, 30, np.random.default_rng(0))
    assert len(set(labels.archs)) == 30
    whole = Ranks(Sleeping(1))
    assert rehearsed_fit(whole, labels)[0] > 0


def run(strategy: Guided) -> None:
    """A search of 50 trials, in which many weights are good."""
    for number in range(50):
        (proposal,) = strategy.ask(1)
        score = float(proposal.arch.choices.count(3)) + 0.01 * proposal.arch.choices[0]
        strategy.tell([Trial(number, proposal, Measurement({"val_acc": score}), "ok", (score,))])


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "ctnas(nac(epochs=200, width=32), start=30, refit=10, iterations=1000)",
        "nao(start=30, refit=10, epochs=60, seeds=10, largest_step=5)",
        "renas(start=30, epochs=60)",
    ],
)
def test_what_a_search_by_a_predictor_takes_is_told_within_a_factor_of_two(text: str) -> None:
    """One of three times: other programs of the machine come and go."""
    found = []
    for attempt in range(3):
        context = Context({"space": lambda: SPACE, "budget": lambda: Budget(trials=50)}, Seed(attempt))
        told_s = rehearsed(catalog.build("strategy", text, context))
        started = time.perf_counter()
        run(catalog.build("strategy", text, context))
        found.append(told_s / (time.perf_counter() - started))
        if 0.5 <= found[-1] <= 2:
            return
    pytest.fail(f"{text}: told / taken = {found}")
