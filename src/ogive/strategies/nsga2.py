"""NSGA-II: evolution towards a Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import ProtocolError, SpecError
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Proposal, Trial
from ogive.metrics import crowding_distance, front_ranks
from ogive.strategies.local import refuse_immutable
from ogive.strategies.state import Resumable
from ogive.strategies.unseen import Unseen

__all__ = ["NSGA2"]

# So many children in a row that were all proposed before are followed by a random architecture instead.
ATTEMPTS = 20

# Scores, or, of what is infeasible, none and by how much.
Member = tuple[Architecture, tuple[float, ...], float]


class NSGA2(Resumable):
    """Elitist non-dominated sorting with crowding (Deb et al., IEEE TEC 2002), for any number of objectives.

    The first `population` evaluated candidates are random. Whenever as many again have been evaluated (failures
    count), the best `population` of parents and children become the parents: front by front, and within the last
    front those with the most room around them. Each proposal is a child of two parents that won a binary tournament
    each; with several proposals in flight nobody waits, the parents are those of that moment. Screened-out candidates
    never join and do not count. Of two candidates of which one is infeasible the feasible one is better, of two
    infeasible ones that with the smaller violation (Deb et al., section VI).

    Nothing is proposed twice: a child that is known is bred again, a bounded number of times, then replaced by a
    random architecture. The search is over when a finite space is exhausted.
    """

    divisible = True

    def __init__(
        self,
        space: SearchSpace,
        seed: Seed,
        *,
        population: int = 20,  # Deb et al., section IV: 100 over 25,000 evaluations; a NAS has hundreds
        crossover: float = 0.9,  # Deb et al., section IV: the probability that a child has two parents
    ) -> None:
        if population < 2:
            raise SpecError(f"Two parents need a population of at least 2, but got population={population}.")
        if not 0 <= crossover <= 1:
            raise SpecError(f"crossover is a probability, but got crossover={crossover}.")
        refuse_immutable(space)
        self.space, self.population, self.crossover = space, population, crossover
        self._rng = seed.numpy("proposals")
        self._unseen = Unseen(space)
        self._parents: list[Member] = []
        self._standing: list[int] = []  # of each parent; smaller is better
        self._children: list[Member] = []
        self._evaluated = 0  # since the parents were selected

    def ask(self, n: int = 1) -> list[Proposal]:
        proposals: list[Proposal] = []
        while len(proposals) < n and (arch := self._candidate()) is not None:
            proposals.append(Proposal(arch))
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            if trial.status == "screened":
                continue
            self._evaluated += 1
            if trial.scores is not None:
                self._refuse_other_objectives(trial)
                self._children.append((trial.arch, trial.scores, 0.0))
            elif trial.status == "infeasible":
                self._children.append((trial.arch, (), trial.violation))
            if self._evaluated >= self.population:
                self._select()

    # -- variation ----------------------------------------------------------------------------------------------------

    def _candidate(self) -> Architecture | None:
        """A new child, a random architecture where there are no parents or no new child; None if nothing is left."""
        if self._parents:
            for _ in range(ATTEMPTS):
                child = self._child()
                if child in self._unseen:
                    self._unseen.remove(child)
                    return child
        return self._unseen.draw(self._rng)

    def _child(self) -> Architecture:
        drawn: list[int] = self._rng.integers(0, len(self._parents), 4).tolist()
        mother, father = (min(pair, key=self._standing.__getitem__) for pair in (drawn[:2], drawn[2:]))
        child = self._parents[mother][0]
        if self._rng.random() < self.crossover:
            child = self.space.cross(child, self._parents[father][0], self._rng)
        # Every variable changes with probability 1 / variables (Deb et al., section IV).
        places = len(self.space.variables)
        for _ in range(int(self._rng.binomial(places, 1 / places))):
            child = self.space.mutate(child, self._rng)
        return child

    # -- selection ----------------------------------------------------------------------------------------------------

    def _select(self) -> None:
        """The best of parents and children become the parents."""
        merged = [*self._parents, *self._children]
        order = np.argsort(_standing(merged), kind="stable")
        self._install([merged[index] for index in order[: self.population].tolist()])
        self._children, self._evaluated = [], 0

    def _install(self, parents: list[Member]) -> None:
        self._parents = parents
        self._standing = _standing(parents).tolist()

    def _refuse_other_objectives(self, trial: Trial) -> None:
        others = next((scores for _, scores, _ in (*self._children, *self._parents) if scores), None)
        if others is not None and trial.scores is not None and len(trial.scores) != len(others):
            raise ProtocolError(
                f"All trials of a search have the same objectives, but trial {trial.number} has {len(trial.scores)} "
                f"scores and others have {len(others)}."
            )

    # -- state --------------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        return {"space": self.space.name, "population": self.population, "crossover": self.crossover}

    def state(self) -> dict[str, Any]:
        return {
            "rng": self._rng.bit_generator.state,
            "unseen": self._unseen.state(),
            "parents": list(map(_entry, self._parents)),
            "children": list(map(_entry, self._children)),
            "evaluated": self._evaluated,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._unseen.restore(state["unseen"])
        self._install([self._member(*entry) for entry in state["parents"]])
        self._children = [self._member(*entry) for entry in state["children"]]
        self._evaluated = int(state["evaluated"])
        self._rng.bit_generator.state = state["rng"]

    def _member(self, choices: list[int | float], scores: list[float], beyond: float = 0.0) -> Member:
        return Architecture(self.space.name, tuple(choices)), tuple(float(score) for score in scores), float(beyond)


def _entry(member: Member) -> list[Any]:
    """A member as JSON; its violation only where it is infeasible."""
    arch, scores, beyond = member
    return [list(arch.choices), list(scores), *([] if scores else [beyond])]


def _standing(members: Sequence[Member]) -> npt.NDArray[np.int64]:
    """The place of every member: of those with scores as in `_ordered`, then those without by violation. Shape (n,)."""
    scored = np.array([bool(scores) for _, scores, _ in members], bool)
    places = np.empty(len(members), np.int64)
    places[scored] = _ordered([scores for _, scores, _ in members if scores])
    beyond = np.array([beyond for _, scores, beyond in members if not scores])
    places[~scored] = len(members) + np.unique(beyond, return_inverse=True)[1].reshape(-1)
    return places


def _ordered(points: Sequence[tuple[float, ...]]) -> npt.NDArray[np.int64]:
    """The place of every point by front and, within it, by room around it; equals share a place. Shape (n,)."""
    if not points:
        return np.empty(0, np.int64)
    array = np.array(points)
    ranks = front_ranks(array)
    room = np.zeros(len(array))
    for rank in range(int(ranks.max()) + 1):
        front = ranks == rank
        room[front] = crowding_distance(array[front])
    _, place = np.unique(np.stack([ranks, -room], axis=1), axis=0, return_inverse=True)
    return place.reshape(-1).astype(np.int64)
