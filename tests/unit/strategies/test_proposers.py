from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.predictors.ranks import Ranks
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.guided import Guided
from ogive.strategies.proposers import Ascent, Evolved, Exhaustive, RandomOffers

SPACE = nasbench201()
ZEROS = Architecture("nasbench201", (0,) * 6)


class Sum:
    """Prefers later options."""

    def fit(self, observed: Observed) -> None: ...

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return np.array([float(sum(arch.choices)) for arch in archs])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_all_of_a_small_space_is_offered() -> None:
    assert list(Exhaustive(space=SPACE).offered(Sum(), Observed((), ()), 5, rng())) == list(SPACE)


def test_all_of_a_large_space_is_refused() -> None:
    with pytest.raises(SpecError, match=r"at most 500,000 architectures, but the size of darts is [\d,]+: use"):
        Exhaustive(space=darts())


def test_evolution_goes_where_the_predictor_points() -> None:
    told = Observed((ZEROS,), (0.0,))
    one, many = (Evolved(space=SPACE, generations=g).offered(Sum(), told, 400, rng()) for g in (1, 8))
    assert all(sum(choice > 0 for choice in arch.choices) == 1 for arch in one)
    assert max(sum(arch.choices) for arch in many) > 15 > max(sum(arch.choices) for arch in one)
    assert len(set(many)) == len(many) <= 400


def test_evolution_begins_at_the_best_that_were_told() -> None:
    fours = Architecture("nasbench201", (4,) * 6)
    told = Observed((ZEROS, fours), (0.0, 1.0))
    offered = Evolved(space=SPACE, parents=1, generations=1).offered(Sum(), told, 50, rng())
    assert all(arch.choices.count(4) == 5 for arch in offered)


def test_random_offers_are_different_ones() -> None:
    offered = RandomOffers(space=SPACE).offered(Sum(), Observed((), ()), 300, rng())
    assert len(set(offered)) == len(offered) > 280


def test_impossible_options_are_refused() -> None:
    with pytest.raises(SpecError, match="generations=0"):
        Evolved(space=SPACE, generations=0)
    with pytest.raises(SpecError, match="single architecture"):
        Evolved(space=SearchSpace("one", (Choice("only", ("x",)),), lambda _: Graph((), frozenset())))


# -- ascent -----------------------------------------------------------------------------------------------------------


class Hill(Sum):
    """Climbs by making as many of the last choices the best as the step is long."""

    def starts(self, told: Observed, count: int) -> list[Architecture]:
        order = sorted(zip(told.scores, told.archs, strict=True), reverse=True)
        return [arch for _, arch in order[:count]]

    def ascended(self, archs: Sequence[Architecture], step_size: float) -> list[Architecture]:
        steps = min(int(step_size), 6)
        return [Architecture("nasbench201", (*arch.choices[: 6 - steps], *(4,) * steps)) for arch in archs]


def made(*choices: int) -> Architecture:
    return Architecture("nasbench201", choices)


TOLD = Observed((ZEROS, made(1, 0, 0, 0, 0, 0), made(0, 1, 0, 0, 0, 0)), (0.0, 2.0, 1.0))


def test_steps_grow_until_enough_was_found_that_was_not_told() -> None:
    offered = Ascent(space=SPACE, seeds=2).offered(Hill(), TOLD, 3, rng())
    assert offered == [made(1, 0, 0, 0, 0, 4), made(0, 1, 0, 0, 0, 4), made(1, 0, 0, 0, 4, 4)]
    told = Observed((*TOLD.archs, made(1, 0, 0, 0, 0, 4)), (*TOLD.scores, -1.0))
    assert Ascent(space=SPACE, seeds=2).offered(Hill(), told, 1, rng()) == [made(0, 1, 0, 0, 0, 4)]


def test_what_no_step_finds_is_drawn_at_random() -> None:
    offered = Ascent(space=SPACE, seeds=1, largest_step=1).offered(Hill(), TOLD, 40, rng())
    assert offered[0] == made(1, 0, 0, 0, 0, 4)
    assert len(offered) > 30
    assert not set(offered) & set(TOLD.archs)


def test_a_climber_inside_another_predictor_is_found() -> None:
    offered = Ascent(space=SPACE, seeds=1).offered(Ranks(Hill()), TOLD, 1, rng())
    assert offered == [made(1, 0, 0, 0, 0, 4)]


def test_a_predictor_that_cannot_climb_is_refused_before_the_search() -> None:
    with pytest.raises(SpecError, match="climbs between the points of a predictor, such as nao, but Sum has none"):
        Guided(Sum(), Ascent(space=SPACE), space=SPACE, seed=Seed(0))
    with pytest.raises(SpecError, match="seeds=0"):
        Ascent(space=SPACE, seeds=0)
