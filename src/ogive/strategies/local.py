"""Strategies that need nothing but scores: random search, local search and regularised evolution."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Literal

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.core.space import Choice, Draw, Real, SearchSpace, Variable
from ogive.core.trial import Proposal, Trial
from ogive.strategies.state import Resumable
from ogive.strategies.unseen import Unseen

__all__ = ["LocalSearch", "Member", "RandomSearch", "RegularizedEvolution", "refuse_immutable"]

Choices = tuple[int | float, ...]
Member = tuple[float, Architecture]


class RandomSearch(Resumable):
    """Independent random architectures: the baseline that every search must beat.

    With `without_replacement`, none is proposed twice, and the search is over when a finite space is exhausted.
    """

    divisible = True

    def __init__(self, space: SearchSpace, seed: Seed, *, without_replacement: bool = False) -> None:
        self.space = space
        self._rng = seed.numpy("proposals")
        self._unseen = Unseen(space) if without_replacement else None

    def ask(self, n: int = 1) -> list[Proposal]:
        if self._unseen is None:
            return [Proposal(self.space.sample(self._rng)) for _ in range(n)]
        proposals: list[Proposal] = []
        while len(proposals) < n and (arch := self._unseen.draw(self._rng)) is not None:
            proposals.append(Proposal(arch))
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        """Random search learns nothing."""

    def settings(self) -> dict[str, Any]:
        return {"space": self.space.name, "without_replacement": self._unseen is not None}

    def state(self) -> dict[str, Any]:
        unseen = None if self._unseen is None else self._unseen.state()
        return {"rng": self._rng.bit_generator.state, "unseen": unseen}

    def restore(self, state: dict[str, Any]) -> None:
        if self._unseen is not None:
            self._unseen.restore(state["unseen"])
        self._rng.bit_generator.state = state["rng"]


class RegularizedEvolution(Resumable):
    """Aging evolution: the best of a random few has a child, and the oldest dies (Real et al., AAAI 2019, algorithm 1).

    The first proposals are random, until `population` candidates have been evaluated. From then on each proposal is a
    mutation of the best of `tournament` members, drawn with replacement; each evaluated candidate joins the population
    and the oldest leaves it, however good it is. Candidates that failed or were screened out never join.

    Children do not wait for their siblings, as in the paper's asynchronous workers: with several proposals in flight
    the parents are the members of that moment.
    """

    divisible = True
    objectives = 1

    def __init__(
        self,
        space: SearchSpace,
        seed: Seed,
        *,
        # The paper's experiments have 100 and 25 over 20,000 evaluations. Half of the members, and about the same
        # pressure, leave most of a budget of some hundreds to evolution instead of to its random start.
        population: int = 50,
        tournament: int = 10,
    ) -> None:
        if not 1 <= tournament <= population:
            raise SpecError(
                f"Evolution needs 1 <= tournament <= population, but got tournament={tournament}, "
                f"population={population}."
            )
        refuse_immutable(space)
        self.space, self.population, self.tournament = space, population, tournament
        self._rng = seed.numpy("proposals")
        self._members: deque[Member] = deque(maxlen=population)

    def ask(self, n: int = 1) -> list[Proposal]:
        return [Proposal(self._candidate()) for _ in range(n)]

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            if trial.scores is not None:
                self._members.append((trial.scores[0], trial.proposal.arch))

    def _candidate(self) -> Architecture:
        if len(self._members) < self.population:
            return self.space.sample(self._rng)
        parent = max(self._drawn(), key=_score)[1]
        return self.space.mutate(parent, self._rng)

    def _drawn(self) -> list[Member]:
        drawn = self._rng.integers(0, self.population, self.tournament).tolist()
        return [self._members[index] for index in drawn]

    def settings(self) -> dict[str, Any]:
        return {"space": self.space.name, "population": self.population, "tournament": self.tournament}

    def state(self) -> dict[str, Any]:
        members = [[score, list(arch.choices)] for score, arch in self._members]
        return {"rng": self._rng.bit_generator.state, "members": members}

    def restore(self, state: dict[str, Any]) -> None:
        name = self.space.name
        members = [(float(score), Architecture(name, tuple(choices))) for score, choices in state["members"]]
        self._members = deque(members, maxlen=self.population)
        self._rng.bit_generator.state = state["rng"]


class LocalSearch(Resumable):
    """Hill climbing: evaluate all neighbours, step to the best, start again when none is better.

    White et al., "Exploring the loss landscape in neural architecture search", UAI 2021, algorithm 1, which is
    ``starts=1, step="best"``. A climb begins at the best of `starts` random architectures; with ``step="first"`` it
    moves on as soon as one neighbour is better. Nothing is proposed twice, neither within a climb nor in a later one,
    and the search is over when a finite space is exhausted. Candidates that failed or were screened out are no step.
    """

    divisible = True
    objectives = 1

    def __init__(
        self, space: SearchSpace, seed: Seed, *, starts: int = 1, step: Literal["best", "first"] = "best"
    ) -> None:
        if starts < 1:
            raise SpecError(f"A climb starts at the best of at least one architecture, but got starts={starts}.")
        if step not in ("best", "first"):
            raise UnknownName("step of local search", step, ("best", "first"))
        self.space, self.starts, self.step = space, starts, step
        self._rng = seed.numpy("proposals")
        self._unseen = Unseen(space)
        self._scores: dict[Choices, float] = {}
        self._centre: Architecture | None = None  # None while the random starts of a climb are evaluated
        self._around: list[Architecture] = []  # the starts, or the neighbours of the centre
        self._queue: deque[Architecture] = deque()
        self._in_flight = 0

    def ask(self, n: int = 1) -> list[Proposal]:
        proposals: list[Proposal] = []
        while len(proposals) < n:
            if not self._queue and not self._in_flight:
                self._advance()
            if not self._queue:
                break
            arch = self._queue.popleft()
            self._unseen.remove(arch)
            self._in_flight += 1
            proposals.append(Proposal(arch))
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            if not self._in_flight:  # the label of an evaluator, which nobody asked for here
                self._unseen.remove(trial.arch)
                continue
            self._in_flight -= 1
            if trial.scores is None:
                continue
            self._scores[trial.arch.choices] = trial.scores[0]
            if self.step == "first" and self._centre is not None and trial.scores[0] > self._score(self._centre):
                self._queue.clear()

    def _advance(self) -> None:
        """Move the climb on until there is something to evaluate; leaves the queue empty if the space is exhausted."""
        while not self._queue:
            scored = [arch for arch in self._around if arch.choices in self._scores]
            best = max(scored, key=self._score, default=None)
            if best is None or (self._centre is not None and self._score(best) <= self._score(self._centre)):
                self._begin()
                return
            self._centre = best
            self._around = self.space.neighbours(best)
            order = self._rng.permutation(len(self._around)).tolist()
            self._queue.extend(self._around[index] for index in order if self._around[index] in self._unseen)

    def _begin(self) -> None:
        drawn = [self._unseen.draw(self._rng) for _ in range(self.starts)]
        self._centre = None
        self._around = [arch for arch in drawn if arch is not None]
        self._queue.extend(self._around)

    def _score(self, arch: Architecture) -> float:
        return self._scores[arch.choices]

    def settings(self) -> dict[str, Any]:
        return {"space": self.space.name, "starts": self.starts, "step": self.step}

    def state(self) -> dict[str, Any]:
        return {
            "rng": self._rng.bit_generator.state,
            "unseen": self._unseen.state(),
            "scores": [[list(choices), score] for choices, score in self._scores.items()],
            "centre": None if self._centre is None else list(self._centre.choices),
            "around": [list(arch.choices) for arch in self._around],
            "queue": [list(arch.choices) for arch in self._queue],
            "in_flight": self._in_flight,
        }

    def restore(self, state: dict[str, Any]) -> None:
        name = self.space.name
        self._unseen.restore(state["unseen"])
        self._scores = {tuple(choices): float(score) for choices, score in state["scores"]}
        self._centre = None if state["centre"] is None else Architecture(name, tuple(state["centre"]))
        self._around = [Architecture(name, tuple(choices)) for choices in state["around"]]
        self._queue = deque(Architecture(name, tuple(choices)) for choices in state["queue"])
        self._in_flight = int(state["in_flight"])
        self._rng.bit_generator.state = state["rng"]


def refuse_immutable(space: SearchSpace) -> None:
    """SpecError for a space in which nothing can be changed."""
    if not any(_moves(variable) for variable in space.variables):
        raise SpecError(f"Evolution needs something to change, but {space.name} has a single architecture.")


def _moves(variable: Variable) -> bool:
    """Whether a variable has several values."""
    return isinstance(variable, (Real, Draw)) or (isinstance(variable, Choice) and len(variable.options) > 1)


def _score(member: Member) -> float:
    return member[0]
