from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import ProtocolError, SpecError
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Choice, Real, SearchSpace
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.metrics import hypervolume
from ogive.strategies.local import RandomSearch
from ogive.strategies.nsga2 import NSGA2
from ogive.testing import check_strategy


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


TINY = SearchSpace("tiny", (Choice("p", tuple("abc")), Choice("q", tuple("abc"))), draw)
WIDE = SearchSpace("wide", tuple(Choice(name, tuple("abcdefgh")) for name in "pqrstu"), draw)
MIXED = SearchSpace("mixed", (Choice("p", tuple("abc")), Real("q", 0.0, 1.0)), draw)


def scores(arch: Architecture) -> tuple[float, float]:
    """Two goals that pull every choice in opposite directions."""
    choices = np.array(arch.choices)
    return float((7 - abs(choices - 1)).sum()), float((7 - abs(choices - 5)).sum())


def told(strategy: NSGA2 | RandomSearch, proposals: Sequence[Proposal], found: Sequence[tuple[float, ...]]) -> None:
    strategy.tell([Trial(0, p, Measurement(), "ok", s) for p, s in zip(proposals, found, strict=True)])


def parents(strategy: NSGA2) -> list[list[float]]:
    return [point for _, point in strategy.state()["parents"]]


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("space", [TINY, WIDE, MIXED], ids=lambda space: space.name)
def test_the_contract_is_kept(space: SearchSpace, objectives: int) -> None:
    check_strategy(lambda s, seed: NSGA2(s, seed, population=4), space, objectives=objectives)


def test_the_contract_is_kept_in_a_process_that_hashes_strings_differently() -> None:
    target = "ogive.spaces.nasbench201:nasbench201"
    check_strategy("ogive.strategies.nsga2:NSGA2", target, objectives=2, rounds=60, subprocess=True)


def test_the_first_generation_is_random_and_the_next_is_bred_from_it() -> None:
    strategy = NSGA2(WIDE, Seed(0), population=6)
    first = strategy.ask(6)
    told(strategy, first, [scores(proposal.arch) for proposal in first])
    values = [{proposal.arch.choices[place] for proposal in first} for place in range(6)]
    children = strategy.ask(60)
    foreign = [
        sum(choice not in values[place] for place, choice in enumerate(child.arch.choices)) for child in children
    ]
    # A child's values come from its parents but for about one mutation.
    assert np.mean(foreign) < 1.0
    assert max(foreign) <= 4


def test_the_survivors_are_the_first_front_and_then_those_with_room() -> None:
    strategy = NSGA2(WIDE, Seed(0), population=4)
    first = strategy.ask(4)
    told(strategy, first, [(0.0, 10.0), (10.0, 0.0), (0.0, 0.0), (1.0, 1.0)])
    assert parents(strategy)[:2] == [[0.0, 10.0], [10.0, 0.0]]
    # The front is now five points, of which (8, 2) and (9, 1) stand closest to their neighbours.
    told(strategy, strategy.ask(4), [(5.0, 6.0), (8.0, 2.5), (9.0, 1.5), (4.0, 4.0)])
    assert sorted(parents(strategy)) == [[0.0, 10.0], [5.0, 6.0], [8.0, 2.5], [10.0, 0.0]]


def test_nobody_waits_when_more_is_asked_than_a_generation_holds() -> None:
    strategy = NSGA2(WIDE, Seed(0), population=4)
    flying = strategy.ask(11)
    assert len(flying) == 11
    for _ in range(20):
        landed, flying = flying[:3], flying[3:]
        told(strategy, landed, [scores(proposal.arch) for proposal in landed])
        flying += strategy.ask(3)
        assert len(flying) == 11
    assert len(parents(strategy)) == 4


def test_nothing_is_proposed_twice_and_the_search_ends_with_the_space() -> None:
    strategy = NSGA2(TINY, Seed(0), population=3)
    archs: list[Architecture] = []
    while proposals := strategy.ask(2):
        archs += [proposal.arch for proposal in proposals]
        told(strategy, proposals, [scores(proposal.arch) for proposal in proposals])
    assert len(archs) == len(set(archs))
    assert set(archs) == set(TINY)


def test_failures_count_for_a_generation_and_screened_candidates_do_not() -> None:
    strategy = NSGA2(WIDE, Seed(0), population=3)
    first = strategy.ask(5)
    strategy.tell([Trial(n, p, Measurement(screened=True), "screened") for n, p in enumerate(first[:2])])
    strategy.tell([Trial(2, first[2], Measurement(error="nan"), "failed")])
    told(strategy, first[3:4], [(1.0, 1.0)])
    assert parents(strategy) == []
    told(strategy, first[4:], [(2.0, 0.0)])
    assert sorted(parents(strategy)) == [[1.0, 1.0], [2.0, 0.0]]


def test_a_generation_in_which_all_failed_is_followed_by_another_random_one() -> None:
    strategy = NSGA2(WIDE, Seed(0), population=3)
    strategy.tell([Trial(n, p, Measurement(error="nan"), "failed") for n, p in enumerate(strategy.ask(3))])
    assert parents(strategy) == []
    assert len(strategy.ask(3)) == 3


def test_trials_of_other_objectives_are_refused() -> None:
    strategy = NSGA2(WIDE, Seed(0), population=3)
    told(strategy, strategy.ask(1), [(1.0, 1.0)])
    with pytest.raises(ProtocolError, match="3 scores and others have 2"):
        told(strategy, strategy.ask(1), [(1.0, 1.0, 1.0)])


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(SpecError, match="population=1"):
        NSGA2(WIDE, Seed(0), population=1)
    with pytest.raises(SpecError, match=r"crossover=1.5"):
        NSGA2(WIDE, Seed(0), crossover=1.5)
    with pytest.raises(SpecError, match="single architecture"):
        NSGA2(SearchSpace("alone", (Choice("p", ("only",)),), draw), Seed(0))


def test_the_front_it_finds_is_larger_than_that_of_random_search() -> None:
    def volume(strategy: NSGA2 | RandomSearch) -> float:
        points = []
        for _ in range(160):
            proposals = strategy.ask(1)
            found = [scores(proposal.arch) for proposal in proposals]
            told(strategy, proposals, found)
            points += found
        return hypervolume(points, (0.0, 0.0))

    pairs = [(volume(NSGA2(WIDE, Seed(s))), volume(RandomSearch(WIDE, Seed(s)))) for s in range(10)]
    assert sum(ours > theirs for ours, theirs in pairs) >= 9
