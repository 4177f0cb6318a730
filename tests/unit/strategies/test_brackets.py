"""Hyperband and ASHA: their rungs, who goes on, and that nobody waits or is drawn twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ogive
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.metric import Metric
from ogive.core.objective import Maximize
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.core.study import Study
from ogive.core.trial import Budget, Fidelity, Measurement, Proposal, Trial
from ogive.evaluators.tabular import Tabular
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.asha import ASHA
from ogive.strategies.hyperband import Hyperband
from ogive.strategies.ladder import ladder, promoted, started
from ogive.strategies.parzen import Parzen, bohb
from ogive.strategies.unseen import Unseen
from ogive.tables.importers import import_table
from ogive.testing import check_strategy

SPACE = nasbench201()
KINDS = {"hyperband": Hyperband, "asha": ASHA}
ALL = {**KINDS, "bohb": bohb}
EPOCHS = Fidelity("epochs", 81, continued=True)


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


FEW = SearchSpace("few", (Choice("kind", tuple("abcdefghij")),), draw)


class Summed:
    """The sum of the choices, whatever the fidelity; what was asked for, in order."""

    metrics = (Metric("sum"),)

    def __init__(self, fidelity: Fidelity | None = EPOCHS) -> None:
        self.fidelity = fidelity
        self.seen: list[Proposal] = []

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        self.seen += proposals
        return [Measurement({"sum": float(sum(proposal.arch.choices))}) for proposal in proposals]


def played(strategy: Any, units: int, in_flight: int = 1, fidelity: Fidelity = EPOCHS) -> list[Trial]:
    study = Study(strategy, Summed(fidelity), Maximize("sum"))
    return list(study.run(Budget(units=units, unit="epochs"), in_flight=in_flight))


def heights(trials: Sequence[Trial]) -> Counter[int | None]:
    return Counter(trial.proposal.fidelity for trial in trials)


# -- rungs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fidelity", "eta", "lowest", "rungs"),
    [
        (Fidelity("epochs", 81), 3, 1, (1, 3, 9, 27, 81)),
        (Fidelity("epochs", 81), 3, None, (3, 9, 27, 81)),
        (Fidelity("epochs", 600), 3, 20, (22, 67, 200, 600)),
        (Fidelity("epochs", 120), 2, 30, (30, 60, 120)),
        (Fidelity("epochs", 2), 3, None, (1, 2)),
        (Fidelity("epochs", 1), 3, None, (1,)),
        (Fidelity("epochs", 5), 1.1, 1, (1, 2, 3, 4, 5)),
        (Fidelity("epochs", 108, rungs=(4, 12, 36, 108)), 3, None, (4, 12, 36, 108)),
        (Fidelity("epochs", 108, rungs=(4, 12, 36, 108)), 3, 10, (12, 36, 108)),
        (Fidelity("epochs", 108, rungs=(4, 12, 36, 108)), 9, None, (12, 108)),
        (Fidelity("epochs", 200, rungs=(12, 200)), 3, None, (12, 200)),
    ],
)
def test_rungs(fidelity: Fidelity, eta: float, lowest: int | None, rungs: tuple[int, ...]) -> None:
    found = ladder(fidelity, eta, lowest, "hyperband")
    assert found[-1] == fidelity.full
    assert len(set(found)) == len(found)
    if eta != 1.1:
        assert found == rungs


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fidelity": None}, r"evaluator has one only: take trained\(epochs=\.\.\.\)"),
        ({"fidelity": EPOCHS, "eta": 1.0}, "eta > 1 times the one below, but got eta=1.0"),
        ({"fidelity": EPOCHS, "lowest": 82}, "from 1 to the 81 epochs of a whole measurement, but got lowest=82"),
        ({"fidelity": EPOCHS, "lowest": 0}, "got lowest=0"),
    ],
)
def test_numbers_that_make_no_rungs_are_one_line(kind: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        kind(SPACE, Seed(0), **options)


def test_brackets_have_the_sizes_of_the_algorithm() -> None:
    """n = ceil((s_max + 1) / (s + 1) * eta^s), of which floor(n / eta^i) are measured at the i-th rung."""
    rungs = (1, 3, 9, 27, 81)
    sizes = [
        [started(rungs, low), *(max(1, promoted(rungs, low, up, started(rungs, low))) for up in range(low + 1, 5))]
        for low in range(5)
    ]
    assert sizes == [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]


# -- hyperband --------------------------------------------------------------------------------------------------------


def test_a_bracket_of_eta_2_is_that_of_the_published_code() -> None:
    """NAGO's released search has brackets of 4, 2 and 1 candidates at 30, 60 and 120 epochs (vega, bohb.py)."""
    fidelity = Fidelity("epochs", 120, continued=True)
    strategy = Hyperband(SPACE, Seed(0), fidelity=fidelity, eta=2, lowest=30)
    trials = played(strategy, 4 * 30 + 2 * 30 + 60, fidelity=fidelity)
    assert [trial.proposal.fidelity for trial in trials] == [30] * 4 + [60] * 2 + [None]
    by_score = sorted(trials[:4], key=lambda trial: trial.scores or (), reverse=True)
    assert [trial.arch for trial in trials[4:6]] == [trial.arch for trial in by_score[:2]]
    assert trials[6].arch == by_score[0].arch


def test_brackets_begin_at_every_rung_in_turn_and_cost_about_the_same() -> None:
    strategy = Hyperband(SPACE, Seed(0), fidelity=EPOCHS, lowest=9)
    trials = played(strategy, 10_000)
    begun = [trial.proposal.fidelity for trial in trials if trial.arch not in {t.arch for t in trials[: trial.number]}]
    assert begun[: 9 + 5 + 3 + 1] == [9] * 9 + [27] * 5 + [None] * 3 + [9]
    assert len({trial.arch for trial in trials if trial.proposal.fidelity == 9}) == heights(trials)[9]


def test_results_that_are_missing_do_not_keep_the_next_bracket_waiting() -> None:
    strategy = Hyperband(SPACE, Seed(0), fidelity=EPOCHS, lowest=27)
    first = strategy.ask(3)
    assert [one.fidelity for one in first] == [27] * 3
    second = strategy.ask(4)
    assert [one.fidelity for one in second] == [None, None, 27, 27]
    strategy.tell([told(one, 1.0 + place) for place, one in enumerate(first)])
    (best,) = strategy.ask()
    assert (best.arch, best.fidelity) == (first[2].arch, None)


def test_what_failed_goes_no_further_and_a_rung_of_failures_ends_its_bracket() -> None:
    strategy = Hyperband(SPACE, Seed(0), fidelity=EPOCHS, lowest=27)
    first = strategy.ask(3)
    strategy.tell([told(first[0], None), told(first[1], -5.0), told(first[2], None)])
    assert strategy.ask()[0] == Proposal(first[1].arch)
    second = strategy.ask(2)
    strategy.tell([told(one, None) for one in second])
    assert [one.fidelity for one in strategy.ask(3)] == [27] * 3


def test_it_knows_what_may_go_on() -> None:
    strategy = Hyperband(SPACE, Seed(0), fidelity=EPOCHS, lowest=27)
    first = strategy.ask(3)
    strategy.tell([told(first[0], 1.0), told(first[1], None)])
    assert [strategy.promotes(one.arch) for one in first] == [True, False, False]
    strategy.tell([told(first[2], 2.0)])
    assert [strategy.promotes(one.arch) for one in first] == [False, False, True]
    strategy.tell([told(strategy.ask()[0], 2.0)])
    assert not any(strategy.promotes(one.arch) for one in first)


# -- asha -------------------------------------------------------------------------------------------------------------


def test_the_best_third_of_what_is_known_goes_on_at_once() -> None:
    strategy = ASHA(SPACE, Seed(0), fidelity=EPOCHS, lowest=9)
    first = strategy.ask(4)
    assert {one.fidelity for one in first} == {9}
    strategy.tell([told(first[0], 1.0), told(first[1], 3.0)])
    assert strategy.ask()[0].fidelity == 9  # a third of two is none
    strategy.tell([told(first[2], 2.0)])
    assert strategy.ask()[0] == Proposal(first[1].arch, 27)
    assert strategy.ask()[0].fidelity == 9
    strategy.tell([told(first[3], None)])
    assert strategy.ask()[0].fidelity == 9
    assert [strategy.promotes(one.arch) for one in first] == [True, False, True, False]


def test_each_rung_costs_about_as_much_as_the_others() -> None:
    trials = played(ASHA(SPACE, Seed(0), fidelity=EPOCHS), 20_000)
    count = heights(trials)
    for low, high in ((3, 9), (9, 27), (27, None)):
        # A few more go on than a third: those that were among the best once, and are not any more.
        assert count[low] // 3 - 2 <= count[high] <= 1.1 * count[low] / 3


def test_of_a_table_the_rungs_are_its_own() -> None:
    fidelity = Fidelity("epochs", 200, rungs=(12, 200))
    trials = played(ASHA(SPACE, Seed(0), fidelity=fidelity), 12 * 100 + 200 * 6, fidelity=fidelity)
    assert heights(trials) == {12: 100, None: 6}


# -- both -------------------------------------------------------------------------------------------------------------


def made(name: str) -> Callable[[SearchSpace, Seed], Any]:
    return lambda space, seed: ALL[name](space, seed, fidelity=EPOCHS, lowest=9)


@pytest.mark.parametrize("space", [SPACE, FEW], ids=["nasbench201", "ten"])
@pytest.mark.parametrize("name", ALL)
def test_the_contract_also_where_the_space_is_exhausted(name: str, space: SearchSpace) -> None:
    check_strategy(made(name), space, rounds=12 if name == "bohb" else 40)


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("name", ALL)
def test_an_exhausted_space_is_measured_once_a_rung_and_its_best_in_whole(name: str, in_flight: int) -> None:
    trials = played(made(name)(FEW, Seed(0)), 100_000, in_flight)
    asked = [(trial.arch, trial.proposal.fidelity) for trial in trials]
    assert len(set(asked)) == len(asked)
    assert len({arch for arch, _ in asked}) == 10
    assert any(trial.proposal.fidelity is None for trial in trials)


@pytest.mark.parametrize("name", KINDS)
def test_a_fidelity_of_somebody_else_is_no_result_of_a_rung(name: str) -> None:
    strategy = made(name)(SPACE, Seed(0))
    other = Proposal(SPACE.sample(np.random.default_rng(5)), 10)
    strategy.tell([told(other, 7.0)])
    assert strategy.ask()[0].fidelity == 9


@pytest.mark.parametrize("name", KINDS)
def test_in_the_table_a_cheap_rung_pays(name: str, shared_data: Path, tmp_path: Path) -> None:
    """Mean regret over 20 seeds after 12,000 epochs, 60 whole trainings, against random search with as many."""
    table = import_table(shared_data / "nb201.parquet", tmp_path / "table", name="nasbench201")
    best = Tabular(table).optimum("val_acc")
    regrets: dict[str, list[float]] = {name: [], "random": []}
    for seed in range(20):
        for strategy, values in regrets.items():
            found = ogive.search(
                space=SPACE, table=table, strategy=strategy, budget="12000 epochs", seed=seed, evaluator="tabular"
            )
            assert found.best.proposal.fidelity is None
            values.append(best - found.best.metrics["val_acc"])
    assert np.mean(regrets[name]) < 0.7 * np.mean(regrets["random"])


# -- bohb -------------------------------------------------------------------------------------------------------------


def test_the_estimator_draws_what_is_like_the_good_ones_of_the_highest_rung_that_has_enough() -> None:
    """At the lowest rung fewer later options are better, at the next one more: the second counts once it has enough."""
    rng, unseen, source = np.random.default_rng(0), Unseen(SPACE), Parzen(SPACE, start=20, random=0)
    assert source.start == 20
    for _ in range(40):
        arch = SPACE.sample(rng)
        source.note(arch, 0, -float(sum(arch.choices)))
    few = [source.draw(unseen, rng) for _ in range(10)]
    for _ in range(40):
        arch = SPACE.sample(rng)
        source.note(arch, 1, float(sum(arch.choices)))
    many = [source.draw(unseen, rng) for _ in range(10)]
    sums = [[sum(arch.choices) for arch in drawn if arch is not None] for drawn in (few, many)]
    assert np.mean(sums[0]) + 2 < 12 < np.mean(sums[1]) - 2  # of ten random ones 12, give or take 1.1
    assert len({*few, *many}) == 20


def test_numbers_that_make_no_estimator_are_one_line() -> None:
    with pytest.raises(SpecError, match="random candidates lies from 0 to 1, but got random=2"):
        bohb(SPACE, Seed(0), fidelity=EPOCHS, random=2)
    with pytest.raises(SpecError, match="two results at least, but got start=1"):
        bohb(SPACE, Seed(0), fidelity=EPOCHS, start=1)


def told(proposal: Proposal, score: float | None) -> Trial:
    if score is None:
        return Trial(0, proposal, Measurement(error="made up"), "failed")
    return Trial(0, proposal, Measurement({"sum": score}), "ok", (score,))
