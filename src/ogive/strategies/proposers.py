"""Proposers: where a guided search takes the candidates from, of which its predictor picks the best."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.capabilities import walk
from ogive.core.errors import SpecError
from ogive.core.predictor import Latent, Observed, Predictor
from ogive.core.space import SearchSpace
from ogive.strategies.local import refuse_immutable

__all__ = ["Ascent", "Evolved", "Exhaustive", "RandomOffers", "best_of"]

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
        parents = best_of(told.archs, np.array(told.scores), self.parents)
        found: dict[Architecture, None] = {}
        for generation in range(self.generations):
            if generation:
                parents = best_of(list(found), predictor.predict(list(found)), self.parents)
            for _ in range(math.ceil(count / self.generations)):
                found[self.space.mutate(parents[int(rng.integers(len(parents)))], rng)] = None
        return list(found)


class Ascent:
    """What stands further up the gradient of the prediction, in the space of points of a predictor such as ``nao``.

    Luo et al., "Neural Architecture Optimization", NeurIPS 2018, section 3.3: from the `seeds` best, by steps of 1, 2,
    3 and so on, each from where they are, until enough architectures were found that were not told. What is lacking
    after a step of `largest_step` is drawn at random.
    """

    # Both: the published code of NAO with weight sharing.
    def __init__(self, *, space: SearchSpace, seeds: int = 100, largest_step: int = 50) -> None:
        if min(seeds, largest_step) < 1:
            raise SpecError(f"Needed are 1 seed and step, but got seeds={seeds}, largest_step={largest_step}.")
        self.space, self.seeds, self.largest_step = space, seeds, largest_step

    def refuse(self, predictor: object) -> None:
        """SpecError for a predictor without points between which to climb, and without one inside."""
        _latent(predictor)

    def offered(
        self, predictor: Predictor, told: Observed, count: int, rng: np.random.Generator
    ) -> Sequence[Architecture]:
        """`count` architectures that were not told, or fewer if the random ones were."""
        latent, known = _latent(predictor), set(told.archs)
        starts = latent.starts(told, self.seeds)
        found: dict[Architecture, None] = {}
        for step in range(1, self.largest_step + 1):
            found |= dict.fromkeys(arch for arch in latent.ascended(starts, float(step)) if arch not in known)
            if len(found) >= count:
                return list(found)[:count]
        drawn = (self.space.sample(rng) for _ in range(count - len(found)))
        return list(found | dict.fromkeys(arch for arch in drawn if arch not in known))


def _latent(predictor: object) -> Latent:
    found = next((part for part in walk(predictor) if isinstance(part, Latent)), None)
    if found is None:
        raise SpecError(
            f"ascent climbs between the points of a predictor, such as nao, but {type(predictor).__name__} has none."
        )
    return found


class RandomOffers:
    """Random architectures, each once: no bias but the predictor's."""

    def __init__(self, *, space: SearchSpace) -> None:
        self.space = space

    def offered(
        self, predictor: Predictor, told: Observed, count: int, rng: np.random.Generator
    ) -> Sequence[Architecture]:
        """At most `count`, since equal ones count once."""
        return list(dict.fromkeys(self.space.sample(rng) for _ in range(count)))


def best_of(archs: Sequence[Architecture], scores: np.ndarray, count: int) -> list[Architecture]:
    """The best `count`, of equal ones the first."""
    return [archs[place] for place in np.argsort(-scores, kind="stable")[:count].tolist()]
