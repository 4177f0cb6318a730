from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, ProtocolError, SpecError, UnknownName
from ogive.core.evaluator import Batched, Cached, Evaluator, Measured, Screened, Together, attempt, recall
from ogive.core.metric import Metric, names_of
from ogive.core.trial import Cost, Measurement, Proposal, Trial


class Formula:
    """Measures `name` as factor times the first choice, at a cost; fails the choices in `broken`."""

    def __init__(self, name: str, factor: float = 1.0, *, broken: Mapping[int, str] | None = None) -> None:
        self.metrics = (Metric(name),)
        self.factor, self.broken = factor, broken or {}
        self.nan: set[int] = set()
        self.seen: list[Proposal] = []

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        self.seen += proposals
        return [self._measured(int(proposal.arch.choices[0])) for proposal in proposals]

    def _measured(self, choice: int) -> Measurement:
        cost = Cost(wall_s=1.0, benchmark_s=10.0)
        if choice in self.broken:
            return Measurement(cost=cost, error=self.broken[choice])
        return Measurement({self.metrics[0].name: math.nan if choice in self.nan else self.factor * choice}, cost)


class Raising:
    metrics = (Metric("val_acc"),)

    def __init__(self, error: Exception) -> None:
        self.error = error

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        raise self.error


class Short:
    metrics = (Metric("val_acc"),)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return []


def proposals(*choices: int, fidelity: int | None = None) -> list[Proposal]:
    return [Proposal(Architecture("toy", (choice,)), fidelity) for choice in choices]


def trial(proposal: Proposal, measurement: Measurement) -> Trial:
    return Trial(0, proposal, measurement, "ok", (0.0,))


# -- together ---------------------------------------------------------------------------------------------------------


def test_together_merges_metrics_and_adds_costs() -> None:
    both = Together(Formula("val_acc"), Formula("latency_ms", 0.5))
    assert names_of(both.metrics) == ("val_acc", "latency_ms")
    assert both.evaluate(proposals(4)) == [Measurement({"val_acc": 4.0, "latency_ms": 2.0}, Cost(2.0, 20.0))]


def test_together_does_not_spend_on_what_already_failed_and_keeps_what_was_found() -> None:
    first, second = Formula("val_acc", broken={1: "out of memory"}), Formula("latency_ms", broken={2: "too slow"})
    found = Together(first, second).evaluate(proposals(1, 2, 3))
    assert [proposal.arch.choices for proposal in second.seen] == [(2,), (3,)]
    assert [measurement.error for measurement in found] == ["out of memory", "too slow", None]
    assert dict(found[1].metrics) == {"val_acc": 2.0}


def test_together_refuses_a_metric_measured_twice_and_nothing_at_all() -> None:
    with pytest.raises(SpecError, match="val_acc by more than one"):
        Together(Formula("val_acc"), Formula("val_acc"))
    with pytest.raises(SpecError, match="at least one"):
        Together()


# -- cached -----------------------------------------------------------------------------------------------------------


def test_a_cached_measurement_is_made_once_and_then_free() -> None:
    inner = Formula("val_acc")
    cached = Cached(inner)
    found = cached.evaluate(proposals(3, 3, 5)) + cached.evaluate(proposals(5))
    assert len(inner.seen) == 2
    assert [measurement.cost for measurement in found] == [Cost(1.0, 10.0), Cost(), Cost(1.0, 10.0), Cost()]
    assert [measurement.metrics["val_acc"] for measurement in found] == [3.0, 3.0, 5.0, 5.0]


def test_another_fidelity_is_another_measurement() -> None:
    inner = Formula("val_acc")
    Cached(inner).evaluate(proposals(3) + proposals(3, fidelity=1))
    assert len(inner.seen) == 2


def test_failures_are_remembered_too() -> None:
    inner = Formula("val_acc", broken={1: "nan"})
    cached = Cached(inner)
    assert [cached.evaluate(proposals(1))[0].error for _ in range(2)] == ["nan", "nan"]
    assert len(inner.seen) == 1


def test_a_resumed_cache_knows_what_the_run_holds() -> None:
    inner = Formula("val_acc")
    cached = Together(Cached(inner))
    known, other = proposals(3, 4)
    recall(cached, [trial(known, Measurement({"val_acc": 3.0, "latency_ms": 1.0}, Cost(5.0)))])
    recall(cached, [Trial(1, other, Measurement({"val_acc": 9.0}, screened=True), "screened")])
    found = cached.evaluate([known, other])
    assert found[0] == Measurement({"val_acc": 3.0})
    assert found[1].metrics["val_acc"] == 4.0
    assert inner.seen == [other]


# -- screened ---------------------------------------------------------------------------------------------------------


def test_only_the_best_of_a_pool_are_evaluated_in_earnest() -> None:
    expensive = Formula("val_acc", 10.0)
    screened = Screened(Formula("naswot"), expensive, keep=2, pool=5)
    found = screened.evaluate(proposals(3, 1, 5, 2, 4))
    assert [proposal.arch.choices[0] for proposal in expensive.seen] == [5, 4]
    assert [measurement.screened for measurement in found] == [True, True, False, True, False]
    assert dict(found[0].metrics) == {"naswot": 3.0}
    assert dict(found[2].metrics) == {"naswot": 5.0, "val_acc": 50.0}
    assert found[2].cost == Cost(2.0, 20.0)


def test_of_a_smaller_pool_the_same_share_is_kept_and_at_least_one() -> None:
    expensive = Formula("val_acc")
    screened = Screened(Formula("naswot"), expensive, keep=2, pool=10)
    screened.evaluate(proposals(1, 2, 3, 4, 5))
    screened.evaluate(proposals(8, 9))
    assert [proposal.arch.choices[0] for proposal in expensive.seen] == [5, 9]


def test_what_cannot_be_scored_ranks_last() -> None:
    cheap, expensive = Formula("naswot", broken={9: "no ReLU"}), Formula("val_acc")
    cheap.nan = {8}
    Screened(cheap, expensive, keep=1, pool=3).evaluate(proposals(9, 8, 1))
    assert [proposal.arch.choices[0] for proposal in expensive.seen] == [1]


def test_a_screened_evaluator_says_how_many_proposals_it_wants() -> None:
    screened = Screened(Formula("naswot"), Formula("val_acc"), keep=4, pool=20)
    assert isinstance(screened, Batched)
    assert screened.batch == 20
    assert [screened.proposals_for(trials) for trials in (1, 2, 4, 6)] == [5, 10, 20, 30]


def test_a_proposal_wanted_for_n_trials_gives_n_trials() -> None:
    for keep, pool in ((4, 20), (3, 7), (1, 1), (2, 3)):
        for trials in range(1, keep + 1):
            expensive = Formula("val_acc")
            screened = Screened(Formula("naswot"), expensive, keep=keep, pool=pool)
            screened.evaluate(proposals(*range(screened.proposals_for(trials))))
            assert len(expensive.seen) == trials


def test_screening_takes_a_metric_of_the_cheap_evaluator() -> None:
    cheap, expensive = Together(Formula("naswot"), Formula("params", -1.0)), Formula("val_acc")
    Screened(cheap, expensive, keep=1, pool=3, by="params").evaluate(proposals(3, 1, 2))
    assert expensive.seen[0].arch.choices == (1,)
    with pytest.raises(UnknownName, match="Did you mean 'params'"):
        Screened(cheap, expensive, by="parms")


@pytest.mark.parametrize(("keep", "pool"), [(0, 5), (6, 5), (-1, -1)])
def test_screening_refuses_a_share_without_sense(keep: int, pool: int) -> None:
    with pytest.raises(SpecError, match="1 <= keep <= pool"):
        Screened(Formula("naswot"), Formula("val_acc"), keep=keep, pool=pool)


def test_two_sieves_one_behind_the_other_screen_twice() -> None:
    dearest = Formula("test_acc")
    inner = Screened(Formula("val_acc", -1.0), dearest, keep=1, pool=2)
    found = Screened(Formula("naswot"), inner, keep=2, pool=4).evaluate(proposals(1, 2, 3, 4))
    assert [measurement.screened for measurement in found] == [True, True, False, True]
    assert [proposal.arch.choices[0] for proposal in dearest.seen] == [3]


@pytest.mark.parametrize("wrap", [Cached, lambda part: Together(part, Formula("latency_ms"))])
def test_a_sieve_inside_another_evaluator_is_refused_because_nobody_would_fill_its_pool(wrap: type[Cached]) -> None:
    with pytest.raises(SpecError, match="outermost"):
        wrap(Screened(Formula("naswot"), Formula("val_acc")))


# -- attempt ----------------------------------------------------------------------------------------------------------


def test_an_unexpected_exception_fails_the_trials_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        found = attempt(Raising(ValueError("bad\nshape")), proposals(1, 2))
    assert [measurement.error for measurement in found] == ["ValueError: bad", "ValueError: bad"]
    assert "raised an exception" in caplog.text


def test_an_error_of_ogive_stops_the_search() -> None:
    with pytest.raises(MissingData):
        attempt(Raising(MissingData("no table")), proposals(1))


def test_an_exception_without_a_message_still_has_a_reason() -> None:
    assert attempt(Raising(KeyError()), proposals(1))[0].error == "KeyError: "


def test_a_wrong_number_of_measurements_is_a_broken_contract() -> None:
    with pytest.raises(ProtocolError, match="was given 2 and returned 0"):
        attempt(Short(), proposals(1, 2))


def test_compositions_are_evaluators_themselves() -> None:
    for part in (Together(Formula("a")), Cached(Formula("a")), Screened(Formula("a"), Formula("b"))):
        assert isinstance(part, Evaluator)


# -- functions --------------------------------------------------------------------------------------------------------


def test_a_function_is_an_evaluator() -> None:
    one, two = Measured(lambda arch: 2.0 * arch.choices[0]), [Metric("small", better="smaller"), Metric("large")]
    assert [m.metrics for m in one.evaluate(proposals(1, 4))] == [{"value": 2.0}, {"value": 8.0}]
    several = Measured(lambda arch: {"large": 1, "small": arch.choices[0]}, metrics=two)
    assert several.evaluate(proposals(3))[0].metrics == {"small": 3.0, "large": 1.0}
    assert isinstance(several, Evaluator)


def test_a_function_that_raises_fails_its_candidate_alone() -> None:
    found = Measured(lambda arch: 6 / arch.choices[0]).evaluate(proposals(0, 3))
    assert found[0].error == "ZeroDivisionError: division by zero"
    assert found[1].metrics == {"value": 2.0}


@pytest.mark.parametrize("answer", [{"large": 1.0}, {"large": 1.0, "small": 1.0, "more": 1.0}, 1.0])
def test_a_function_that_breaks_its_promise_is_named_with_what_it_gave(answer: Any) -> None:
    both = Measured(lambda arch: answer, metrics=[Metric("small"), Metric("large")])
    with pytest.raises(ProtocolError, match="promised small, large for"):
        both.evaluate(proposals(1))
