from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from ogive.core.architecture import Architecture
from ogive.core.capabilities import objectives_of
from ogive.core.errors import SpecError, UnknownName
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Choice, Real, SearchSpace
from ogive.core.strategy import Checkpointed, Strategy
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.local import LocalSearch, RandomSearch, RegularizedEvolution
from ogive.testing import check_strategy

Choices = tuple[int | float, ...]


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


def at_most_four(choices: Choices) -> bool:
    return sum(choices) <= 4


ABC = tuple("abc")
TINY = SearchSpace("tiny", (Choice("p", ABC), Choice("q", ABC)), draw)
WIDE = SearchSpace("wide", tuple(Choice(name, tuple("abcdefgh")) for name in "pqrst"), draw)
MIXED = SearchSpace("mixed", (Choice("p", ABC), Real("q", 0.0, 1.0)), draw)
RULED = SearchSpace("ruled", tuple(Choice(name, ABC) for name in "pqrs"), draw, at_most_four)
ALONE = SearchSpace("alone", (Choice("p", ("only",)),), draw)

STRATEGIES = {
    "random": RandomSearch,
    "random without replacement": lambda space, seed: RandomSearch(space, seed, without_replacement=True),
    "local search": LocalSearch,
    "first-improvement local search": lambda space, seed: LocalSearch(space, seed, starts=3, step="first"),
    "evolution": lambda space, seed: RegularizedEvolution(space, seed, population=6, tournament=3),
}


def quality(arch: Architecture) -> float:
    return -sum((choice - 2) ** 2 for choice in arch.choices)


def told(strategy: Strategy, proposals: Sequence[Proposal], scores: Sequence[float | None]) -> None:
    trials = [
        Trial(0, proposal, Measurement(), "failed" if score is None else "ok", None if score is None else (score,))
        for proposal, score in zip(proposals, scores, strict=True)
    ]
    strategy.tell(trials)


def played(strategy: Strategy, rounds: int) -> list[Architecture]:
    """A serial search for `quality`; what was proposed."""
    archs = []
    for _ in range(rounds):
        proposals = strategy.ask(1)
        told(strategy, proposals, [quality(proposal.arch) for proposal in proposals])
        archs += [proposal.arch for proposal in proposals]
    return archs


@pytest.mark.parametrize("space", [TINY, MIXED, RULED], ids=lambda space: space.name)
@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_keeps_the_contract_even_where_the_space_is_soon_exhausted(
    name: str, space: SearchSpace
) -> None:
    check_strategy(STRATEGIES[name], space)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_can_be_saved(name: str) -> None:
    assert isinstance(STRATEGIES[name](TINY, Seed(0)), Checkpointed)


@pytest.mark.parametrize("name", ["random", "random without replacement", "local search"])
def test_a_space_of_a_single_architecture_is_searched_all_the_same(name: str) -> None:
    check_strategy(STRATEGIES[name], ALONE)


# -- random -----------------------------------------------------------------------------------------------------------


def test_random_search_is_uniform_and_repeats_itself() -> None:
    counts = Counter(proposal.arch for proposal in RandomSearch(TINY, Seed(0)).ask(4500))
    assert set(counts) == set(TINY)
    assert all(abs(count - 500) < 5 * (500 * 8 / 9) ** 0.5 for count in counts.values())


@pytest.mark.parametrize("space", [TINY, RULED], ids=lambda space: space.name)
def test_without_replacement_everything_is_proposed_once_and_then_the_search_is_over(space: SearchSpace) -> None:
    strategy = RandomSearch(space, Seed(0), without_replacement=True)
    archs = [proposal.arch for proposal in strategy.ask(10_000)]
    assert len(archs) == len(set(archs))
    assert set(archs) == set(space)
    assert strategy.ask(1) == []


def test_without_replacement_the_order_is_random_too() -> None:
    firsts = Counter(RandomSearch(TINY, Seed(s), without_replacement=True).ask(1)[0].arch for s in range(900))
    lasts = Counter(RandomSearch(TINY, Seed(s), without_replacement=True).ask(9)[-1].arch for s in range(900))
    for counts in (firsts, lasts):
        assert all(abs(count - 100) < 5 * (100 * 8 / 9) ** 0.5 for count in counts.values())


# -- evolution --------------------------------------------------------------------------------------------------------


def test_evolution_begins_at_random_until_its_population_is_evaluated() -> None:
    strategy = RegularizedEvolution(WIDE, Seed(0), population=4, tournament=4)
    proposals = strategy.ask(4)
    told(strategy, proposals[:3], [1.0, 2.0, 3.0])
    parents = {arch for proposal in proposals for arch in (proposal.arch, *WIDE.neighbours(proposal.arch))}
    assert strategy.ask(1)[0].arch not in parents  # one is missing: still random
    told(strategy, proposals[3:], [4.0])
    assert strategy.ask(1)[0].arch in parents


def test_children_are_mutations_of_the_best_of_a_tournament() -> None:
    strategy = RegularizedEvolution(WIDE, Seed(0), population=6, tournament=6)
    proposals = strategy.ask(6)
    told(strategy, proposals, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    family = Counter(
        next(i for i, parent in enumerate(proposals) if child.arch in WIDE.neighbours(parent.arch))
        for child in strategy.ask(3000)
    )
    # Drawn six times with replacement, member i is the best with probability ((i + 1) ** 6 - i ** 6) / 6 ** 6.
    for place in range(6):
        expected = ((place + 1) ** 6 - place**6) / 6**6
        assert family[place] / 3000 == pytest.approx(expected, abs=0.04)


def test_the_oldest_leaves_the_population_however_good_it_is() -> None:
    strategy = RegularizedEvolution(WIDE, Seed(0), population=3, tournament=3)
    first = strategy.ask(3)
    told(strategy, first, [100.0, 1.0, 1.0])
    children = strategy.ask(3)
    told(strategy, children, [2.0, 2.0, 2.0])  # the best of all is now the oldest, and gone
    later = [proposal.arch for proposal in strategy.ask(300)]
    mutants = {arch for child in children for arch in WIDE.neighbours(child.arch)}
    assert all(arch in mutants for arch in later)


def test_age_is_the_order_of_results_and_not_of_proposals() -> None:
    strategy = RegularizedEvolution(WIDE, Seed(0), population=2, tournament=2)
    slow, *quick = strategy.ask(3)
    told(strategy, quick, [1.0, 1.0])
    told(strategy, [slow], [50.0])
    children = Counter(child.arch in WIDE.neighbours(slow.arch) for child in strategy.ask(1000))
    assert children[True] / 1000 == pytest.approx(0.75, abs=0.05)


def test_failed_and_screened_candidates_never_join() -> None:
    strategy = RegularizedEvolution(WIDE, Seed(0), population=2, tournament=2)
    good, failed, sieved = strategy.ask(3)
    told(strategy, [good, failed], [1.0, None])
    strategy.tell([Trial(2, sieved, Measurement(screened=True), "screened")])
    other = strategy.ask(1)
    told(strategy, other, [0.5])
    mutants = {*WIDE.neighbours(good.arch), *WIDE.neighbours(other[0].arch)}
    assert all(child.arch in mutants for child in strategy.ask(200))


def test_evolution_refuses_what_cannot_work() -> None:
    with pytest.raises(SpecError, match="tournament=11, population=10"):
        RegularizedEvolution(TINY, Seed(0), population=10, tournament=11)
    with pytest.raises(SpecError, match="tournament=0"):
        RegularizedEvolution(TINY, Seed(0), tournament=0)
    with pytest.raises(SpecError, match="single architecture"):
        RegularizedEvolution(ALONE, Seed(0))


def test_evolution_is_better_than_random_search_where_neighbours_are_alike() -> None:
    pairs = [
        (
            max(map(quality, played(RegularizedEvolution(WIDE, Seed(s), population=10, tournament=5), 100))),
            max(map(quality, played(RandomSearch(WIDE, Seed(s)), 100))),
        )
        for s in range(20)
    ]
    assert sum(ours > theirs for ours, theirs in pairs) > sum(ours < theirs for ours, theirs in pairs) + 10


# -- local search -----------------------------------------------------------------------------------------------------


def test_a_climb_evaluates_all_neighbours_and_steps_to_the_best() -> None:
    strategy = LocalSearch(WIDE, Seed(0))
    start = strategy.ask(9)
    assert len(start) == 1  # whoever climbs must first know where from
    told(strategy, start, [quality(start[0].arch)])
    around = strategy.ask(1000)
    assert {proposal.arch for proposal in around} == set(WIDE.neighbours(start[0].arch))
    told(strategy, around, [quality(proposal.arch) for proposal in around])
    best = max((proposal.arch for proposal in around), key=quality)
    assert all(proposal.arch in WIDE.neighbours(best) for proposal in strategy.ask(5))


def test_neighbours_come_in_random_order() -> None:
    orders = set()
    for seed in range(5):
        strategy = LocalSearch(TINY, Seed(seed))
        told(strategy, strategy.ask(1), [0.0])
        orders.add(tuple(str(proposal.arch) for proposal in strategy.ask(4)))
    assert len(orders) == 5


def test_nothing_better_around_means_a_new_start() -> None:
    strategy = LocalSearch(WIDE, Seed(0))
    start = strategy.ask(1)
    told(strategy, start, [10.0])
    around = strategy.ask(1000)
    told(strategy, around, [10.0] * len(around))
    restart = strategy.ask(1000)
    assert len(restart) == 1
    assert restart[0].arch not in WIDE.neighbours(start[0].arch)


def test_a_climb_reaches_the_top_of_a_smooth_hill() -> None:
    archs = played(LocalSearch(WIDE, Seed(0)), 200)
    assert Architecture("wide", (2,) * 5) in archs


def test_nothing_is_proposed_twice_and_the_search_ends_with_the_space() -> None:
    for name in ("local search", "first-improvement local search"):
        archs = played(STRATEGIES[name](RULED, Seed(0)), 500)
        assert len(archs) == len(set(archs))
        assert set(archs) == set(RULED)


def test_a_climb_can_begin_at_the_best_of_several() -> None:
    strategy = LocalSearch(WIDE, Seed(0), starts=4)
    starts = strategy.ask(10)
    assert len(starts) == 4
    told(strategy, starts, [1.0, 3.0, None, 2.0])
    assert all(proposal.arch in WIDE.neighbours(starts[1].arch) for proposal in strategy.ask(5))


def test_a_start_that_failed_is_replaced() -> None:
    strategy = LocalSearch(WIDE, Seed(0))
    first = strategy.ask(1)
    told(strategy, first, [None])
    second = strategy.ask(1)
    assert len(second) == 1
    assert second[0].arch != first[0].arch


def test_the_first_improvement_ends_a_neighbourhood_once_what_flies_has_landed() -> None:
    strategy = LocalSearch(WIDE, Seed(0), step="first")
    start = strategy.ask(1)
    told(strategy, start, [0.0])
    flying = strategy.ask(4)
    told(strategy, flying[:1], [1.0])
    assert strategy.ask(10) == []
    told(strategy, flying[1:], [0.5, 2.0, None])
    assert all(proposal.arch in WIDE.neighbours(flying[2].arch) for proposal in strategy.ask(3))


def test_local_search_refuses_what_cannot_work() -> None:
    with pytest.raises(SpecError, match="starts=0"):
        LocalSearch(TINY, Seed(0), starts=0)
    with pytest.raises(UnknownName, match="Did you mean 'first'"):
        LocalSearch(TINY, Seed(0), step="frist")  # type: ignore[arg-type]


def test_every_strategy_works_on_a_real_space_in_a_process_that_hashes_strings_differently() -> None:
    for name in ("RandomSearch", "LocalSearch", "RegularizedEvolution"):
        check_strategy(
            f"ogive.strategies.local:{name}", "ogive.spaces.nasbench201:nasbench201", rounds=60, subprocess=True
        )


def test_the_number_of_objectives_is_told() -> None:
    space = nasbench201()
    made = [kind(space, Seed(0)) for kind in (RegularizedEvolution, LocalSearch, RandomSearch)]
    assert [objectives_of(strategy) for strategy in made] == [1, 1, None]
