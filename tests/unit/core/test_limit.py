from __future__ import annotations

import math

import numpy as np
import pytest

from ogive.choice import choose
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.limit import Limit, check_constraints, violation
from ogive.core.metric import Metric
from ogive.core.objective import Maximize, Minimize
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.core.study import Study, judged
from ogive.core.trial import Budget, Measurement, Proposal, Trial
from ogive.strategies.local import RandomSearch, RegularizedEvolution
from ogive.strategies.nsga2 import NSGA2
from ogive.strategies.reinforce import Reinforce

VARIABLES = tuple(Choice(name, tuple("abcde")) for name in "pqrstu")
SPACE = SearchSpace("toy", VARIABLES, draw=lambda _: Graph((), frozenset()))
ROOM = (Limit.parse("latency_ms<=9"),)


class Sized:
    """The larger its choices, the slower and the better."""

    metrics = (Metric("val_acc"), Metric("latency_ms", better="smaller"))

    def evaluate(self, proposals: list[Proposal]) -> list[Measurement]:
        sums = [float(sum(proposal.arch.choices)) for proposal in proposals]
        return [Measurement({"val_acc": 50 + size, "latency_ms": size}) for size in sums]


@pytest.mark.parametrize(
    ("text", "value", "beyond"),
    [
        ("latency_ms<=5", 5.0, 0.0),
        ("latency_ms<=5", 6.0, 0.2),
        ("latency_ms<5", 5.0, 1e-12),
        ("val_acc>=80", 60.0, 0.25),
        ("zero<=0", 3.0, 3.0),
        ("below>=-2", -3.0, 0.5),
    ],
)
def test_a_violation_is_the_share_of_the_bound_beyond_it(text: str, value: float, beyond: float) -> None:
    limit = Limit.parse(text)
    assert violation([limit], {limit.metric: value}) == pytest.approx(beyond)
    assert limit.keeps({limit.metric: value}) == (beyond == 0)


def test_violations_of_several_constraints_add_up() -> None:
    limits = [Limit.parse("a<=2"), Limit.parse("b<=10"), Limit.parse("c<=1")]
    assert violation(limits, {"a": 3.0, "b": 11.0, "c": 0.0}) == pytest.approx(0.5 + 0.1)


def test_a_metric_that_is_no_number_fails_the_trial_and_says_which() -> None:
    proposal = Proposal(Architecture("toy", (0,)))
    trial = judged(0, proposal, Measurement({"val_acc": 1.0, "latency_ms": math.nan}), [Maximize("val_acc")], ROOM)
    assert (trial.status, trial.measurement.error) == ("failed", "latency_ms is nan")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "peak_mb<=32",
            r"peak_mb<=32 needs the metric 'peak_mb', but the evaluator measures latency_ms, val_acc",
        ),
        ("test_acc>=1", "never sees the test set"),
    ],
)
def test_what_nobody_measures_is_one_line_before_the_search(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        Study(RandomSearch(SPACE, Seed(0)), Sized(), Maximize("val_acc"), [Limit.parse(text)])
    assert "\n" not in str(caught.value)
    check_constraints(ROOM, Sized.metrics)


@pytest.mark.parametrize("strategy", [RandomSearch, RegularizedEvolution, Reinforce, NSGA2])
def test_what_breaks_a_constraint_is_told_so_and_never_wins(strategy: type) -> None:
    told: list[Trial] = []
    searcher = strategy(SPACE, Seed(0))
    plain = searcher.tell
    searcher.tell = lambda trials: (told.extend(trials), plain(trials))[1]
    trials = list(Study(searcher, Sized(), Maximize("val_acc"), ROOM).run(Budget(trials=120)))
    beyond = [trial for trial in trials if trial.metrics["latency_ms"] > 9]
    assert beyond
    assert {trial.status for trial in beyond} == {"infeasible"}
    assert all(trial.scores is None and trial.violation > 0 for trial in beyond)
    assert [(t.number, t.status, t.violation) for t in told] == [(t.number, t.status, t.violation) for t in trials]
    best = choose(trials).found
    assert best.metrics["latency_ms"] <= 9


def test_without_a_feasible_trial_the_nearest_is_named() -> None:
    tight = [Limit.parse("latency_ms<=-1")]
    trials = list(Study(RandomSearch(SPACE, Seed(0)), Sized(), Maximize("val_acc"), tight).run(Budget(trials=30)))
    nearest = min(trials, key=lambda trial: (trial.violation, trial.number))
    with pytest.raises(SpecError, match=f"30 trials keeps the constraints.*nearest is trial {nearest.number},"):
        _ = choose(trials).found


def test_nsga2_goes_by_debs_rule() -> None:
    """Feasible before infeasible, and of these the smaller violation, whatever the scores would have been."""
    strategy = NSGA2(SPACE, Seed(0), population=3)
    first = strategy.ask(3)
    strategy.tell(
        [
            Trial(n, p, Measurement(), "infeasible", violation=b)
            for n, (p, b) in enumerate(zip(first, (3.0, 1.0, 2.0), strict=True))
        ]
    )
    second = strategy.ask(3)
    strategy.tell(
        [
            Trial(3, second[0], Measurement(), "ok", (0.0, 0.0)),
            Trial(4, second[1], Measurement(), "infeasible", violation=0.5),
            Trial(5, second[2], Measurement(error="made up"), "failed"),
        ]
    )
    kept = [tuple(entry[0]) for entry in strategy.state()["parents"]]
    assert kept == [proposal.arch.choices for proposal in (second[0], second[1], first[1])]


def test_nsga2_finds_the_feasible_corner_where_few_are() -> None:
    """At most 4 of a sum of up to 24 keep the limit: 1.3 % of the space, which random search hits by luck alone."""
    tight, found = [Limit.parse("latency_ms<=4")], {}
    for name, maker in (("nsga2", NSGA2), ("random", RandomSearch)):
        counts = []
        for seed in range(3):
            study = Study(maker(SPACE, Seed(seed)), Sized(), [Maximize("val_acc"), Minimize("latency_ms")], tight)
            counts.append(sum(trial.status == "ok" for trial in study.run(Budget(trials=150))))
        found[name] = np.mean(counts)
    assert found["nsga2"] > 4 * found["random"]
