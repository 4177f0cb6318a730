"""Proposers: where a guided search takes the candidates from, of which its predictor picks the best."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed, Predictor
from ogive.core.space import SearchSpace
from ogive.strategies.local import refuse_immutable

__all__ = ["Evolved", "Exhaustive", "RandomOffers"]

# All of NAS-Bench-101, and nothing that would fill the memory.
LARGEST = 500_000


class Exhaustive:
    """Every architecture of a small space: nothing that the predictor would like is missed."""

    def __init__(self, *, space: SearchSpace) -> None:
        if not space.size <= LARGEST:  # or not a number
            raise SpecError(
                f"exhaustive offers all of a space of at most {LARGEST:,} architectures, but the size of {space.name} "
                f"is {space.size:,.0f}: use the proposer evolution."
            )
        self.space = space
        self._all: tuple[Architecture, ...] = ()

    def offered(
        self, predictor: Predictor, told: Observed, count: int, rng: np.random.Generator
    ) -> Sequence[Architecture]:
        """All of them, whatever `count`."""
        self._all = self._all or tuple(self.space)
        return self._all


class Evolved:
    """Mutations of the best that were measured, then mutations of the best predicted among those, and so on.

    Each of `generations` has an equal share of the candidates, children of the `parents` best of the one before.
    """

    def __init__(self, *, space: SearchSpace, parents: int = 10, generations: int = 4) -> None:
        if min(parents, generations) < 1:
            raise SpecError(
                f"Needed are 1 parent and generation, but got parents={parents}, generations={generations}."
            )
        refuse_immutable(space)
        self.space, self.parents, self.generations = space, parents, generations

    def offered(
        self, predictor: Predictor, told: Observed, count: int, rng: np.random.Generator
    ) -> Sequence[Architecture]:
        """The children of all generations, each once."""
        parents = _best(told.archs, np.array(told.scores), self.parents)
        found: dict[Architecture, None] = {}
        for generation in range(self.generations):
            if generation:
                parents = _best(list(found), predictor.predict(list(found)), self.parents)
            for _ in range(math.ceil(count / self.generations)):
                found[self.space.mutate(parents[int(rng.integers(len(parents)))], rng)] = None
        return list(found)


class RandomOffers:
    """Random architectures, each once: no bias but the predictor's."""

    def __init__(self, *, space: SearchSpace) -> None:
        self.space = space

    def offered(
        self, predictor: Predictor, told: Observed, count: int, rng: np.random.Generator
    ) -> Sequence[Architecture]:
        """At most `count`, since equal ones count once."""
        return list(dict.fromkeys(self.space.sample(rng) for _ in range(count)))


def _best(archs: Sequence[Architecture], scores: np.ndarray, count: int) -> list[Architecture]:
    """The best `count`, of equal ones the first."""
    return [archs[place] for place in np.argsort(-scores, kind="stable")[:count].tolist()]
