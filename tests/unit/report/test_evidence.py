from __future__ import annotations

from collections.abc import Callable

import pytest

from ogive.report.evidence import differing_settings, full_evaluator, screens
from ogive.report.member import Member, member_of
from ogive.runs import Run

DEAR = "together(trained(epochs=6, threads=1), latency)"
SCREENED = f"screened(training_free, {DEAR}, keep=2, pool=12)"


@pytest.fixture
def sides(make: Callable[..., Run]) -> Callable[..., list[Member]]:
    """Runs of these pairs of a strategy and an evaluator."""
    return lambda *pairs: [
        member_of(make(str(rank), [], strategy=strategy, evaluator=text)) for rank, (strategy, text) in enumerate(pairs)
    ]


def test_a_screen_in_front_of_the_same_evaluator_belongs_to_the_strategy(sides: Callable[..., list[Member]]) -> None:
    runs = sides(("evolution", SCREENED), ("random", DEAR))
    assert differing_settings(runs) == []
    assert screens(runs) == {"evolution": "training_free (keep=2, pool=12)", "random": ""}
    assert [full_evaluator(one) for one in runs] == [DEAR, DEAR]


@pytest.mark.parametrize("text", ["together(trained(epochs=7, threads=1), latency)", "tabular", "?!", None])
def test_evaluators_that_really_differ_are_told(sides: Callable[..., list[Member]], text: str | None) -> None:
    runs = sides(("evolution", SCREENED), ("random", text))
    assert differing_settings(runs) == ["evaluator"]
    assert screens(runs) == {}


def test_runs_of_one_strategy_with_and_without_a_screen_are_no_repetitions(
    sides: Callable[..., list[Member]],
) -> None:
    runs = sides(("random", SCREENED), ("random", DEAR))
    assert differing_settings(runs) == ["evaluator"]
    assert screens(runs) == {}


def test_how_a_screen_is_written_does_not_matter(sides: Callable[..., list[Member]]) -> None:
    runs = sides(("evolution", SCREENED), ("random", f"screened(cheap=training_free,pool=12,keep=2,expensive={DEAR})"))
    assert differing_settings(runs) == []


def test_what_a_screen_measures_of_every_candidate_belongs_to_the_evaluator(
    sides: Callable[..., list[Member]],
) -> None:
    screened = "screened(together(training_free, latency), trained(epochs=6, threads=1), keep=2, pool=12)"
    runs = sides(("evolution", screened), ("random", DEAR))
    assert differing_settings(runs) == []
    assert [full_evaluator(one) for one in runs] == [DEAR, DEAR]


def test_what_only_the_screen_measures_is_another_question(sides: Callable[..., list[Member]]) -> None:
    screened = "screened(together(training_free, latency), trained(epochs=6, threads=1), keep=2, pool=12)"
    runs = sides(("evolution", screened), ("random", "trained(epochs=6, threads=1)"))
    assert differing_settings(runs) == ["evaluator"]
