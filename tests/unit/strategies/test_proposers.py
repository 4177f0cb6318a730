from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.graph import Graph
from ogive.core.predictor import Observed
from ogive.core.space import Choice, SearchSpace
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.proposers import Evolved, Exhaustive, RandomOffers

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
