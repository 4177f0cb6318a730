"""Which trial a search answers with: by one objective, by the knee of a front, or within limits."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ogive.choice import KNEE, Limit, check_limits, choose, limits_of, pareto_front
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.metric import LATENCY, VAL_ACC
from ogive.core.trial import Measurement, Proposal, Trial

BOTH = ("maximize(val_acc)", "minimize(latency_ms)")


def trial(number: int, scores: tuple[float, ...] | None, metrics: Mapping[str, float] | None = None) -> Trial:
    measured = Measurement(metrics or {})
    return Trial(number, Proposal(Architecture("x", (number,))), measured, "ok" if scores else "failed", scores)


def timed(number: int, accuracy: float, latency: float, **more: float) -> Trial:
    return trial(number, (accuracy, -latency), {"val_acc": accuracy, "latency_ms": latency, **more})


def test_of_one_objective_it_is_the_earliest_of_the_largest_scores() -> None:
    trials = [trial(2, (1.0,)), trial(5, (3.0,)), trial(4, (3.0,)), trial(6, None)]
    chosen = choose(trials, ["maximize(val_acc)"])
    assert chosen.found.number == 4
    assert chosen.rule == "the best in maximize(val_acc)"


def test_of_several_it_is_the_knee_and_not_the_largest_first_score() -> None:
    front = [timed(0, 95.0, 30.0), timed(1, 94.0, 10.0), timed(2, 80.0, 5.0)]
    chosen = choose([*front, timed(3, 93.0, 29.0)], BOTH)
    assert chosen.found.number == 1
    assert chosen.rule.startswith("the knee of the Pareto front, which alone has the largest hypervolume")


def test_the_knee_is_found_however_many_trials_crowd_around_it() -> None:
    crowd = [timed(number, 90.0 + 0.01 * number, 10.0 + 0.01 * number) for number in range(10)]
    lonely = timed(10, 93.0, 60.0)  # the volume that is lost with it is the largest, for it has no neighbours
    ends = [timed(11, 50.0, 1.0), timed(12, 95.0, 100.0)]
    assert choose([*crowd, lonely, *ends], BOTH).found in crowd


def test_the_knee_goes_by_no_unit() -> None:
    front = [(95.0, 30.0), (94.5, 20.0), (94.0, 10.0), (90.0, 6.0), (80.0, 5.0)]
    chosen = choose([timed(number, *pair) for number, pair in enumerate(front)], BOTH)
    again = choose([timed(number, a / 100, b * 1e6) for number, (a, b) in enumerate(front)], BOTH)
    assert chosen.found.number == again.found.number == 2


def test_of_two_ends_it_is_the_better_in_the_first_objective() -> None:
    assert choose([timed(0, 90.0, 5.0), timed(1, 95.0, 9.0)], BOTH).found.number == 1


def test_within_a_limit_it_is_the_best_in_the_first_objective() -> None:
    trials = [timed(0, 95.0, 30.0), timed(1, 94.0, 10.0), timed(2, 90.0, 8.0), timed(3, 80.0, 5.0)]
    chosen = choose(trials, BOTH, limits_of(["latency_ms <= 8"]))
    assert chosen.found.number == 2
    assert chosen.rule == "of the Pareto front, the best in maximize(val_acc) with latency_ms<=8"
    assert choose(trials, BOTH, limits_of(["latency_ms<9", "val_acc<85"])).found.number == 3


def test_what_a_limit_admits_is_of_the_front_even_where_another_trial_keeps_it() -> None:
    trials = [timed(0, 95.0, 5.0, params=10.0), timed(1, 94.0, 9.0, params=1.0), timed(2, 80.0, 4.0, params=8.0)]
    chosen = choose(trials, BOTH, limits_of(["params<=1"]))
    assert chosen.trial is None
    with pytest.raises(SpecError, match=r"No trial of the Pareto front has params<=1: the nearest .* trial 2 with 8"):
        _ = chosen.found


def test_one_objective_takes_limits_as_well() -> None:
    trials = [trial(0, (95.0,), {"latency_ms": 9.0}), trial(1, (90.0,), {"latency_ms": 2.0}), trial(2, (99.0,))]
    chosen = choose(trials, ["maximize(val_acc)"], limits_of(["latency_ms<=5"]))
    assert chosen.found.number == 1
    assert chosen.rule == "the best in maximize(val_acc) with latency_ms<=5"
    assert choose(trials, ["maximize(val_acc)"], limits_of([KNEE])).found.number == 2


def test_where_nothing_worked_the_reason_is_told() -> None:
    with pytest.raises(SpecError, match="None of the 1 trials succeeded"):
        _ = choose([trial(0, None)]).found
    assert pareto_front([trial(0, None)]) == []


@pytest.mark.parametrize(
    "text", ["", "latency_ms", "latency_ms<=", "<=5", "latency_ms<=fast", "a=5", "a<=nan", "a<b<3"]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"such as latency_ms<=5"):
        limits_of([text])


def test_a_limit_is_written_as_it_is_read() -> None:
    assert [str(limit) for limit in limits_of(["a>=1e-3", "'top 1 (%)'<2", "val-loss@5>0.25"])] == [
        "a>=0.001",
        '"top 1 (%)"<2',
        "val-loss@5>0.25",
    ]


def test_limits_are_of_what_is_measured_and_never_of_the_test_set() -> None:
    check_limits([Limit("val_acc", ">=", 90.0)], [VAL_ACC, LATENCY])
    with pytest.raises(UnknownName, match="Did you mean 'latency_ms'"):
        check_limits([Limit("latency", "<=", 5.0)], [VAL_ACC, LATENCY])
    with pytest.raises(SpecError, match="never goes by the test set"):
        check_limits([Limit("test_acc", ">=", 90.0)], [VAL_ACC, LATENCY])
