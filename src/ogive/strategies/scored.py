"""Strategies that score architectures before they propose any: NASWOT's search, AREA, and one-shot search.

Mellor et al., "Neural Architecture Search without Training", ICML 2021, algorithms 1 and 2; Guo et al., "Single Path
One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020. The scores come from an evaluator inside the
strategy: ``naswot(training_free(naswot))``, ``one_shot(inherited)``. What is scored is no trial; its seconds are part
of the cost of the first proposal.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.evaluator import Batched, Evaluator, attempt
from ogive.core.metric import metric_named
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal, Status, Trial
from ogive.strategies.local import Member, RegularizedEvolution
from ogive.strategies.state import Resumable

__all__ = ["Area", "BestEvolved", "BestScored"]


FEW = 4  # architectures that a rehearsal scores


class BestScored(Resumable):
    """Score so many random architectures and propose them from the best to the worst (algorithm 1, ``naswot``).

    The paper's search is the first proposal, so a budget of one trial; a larger budget goes on with the next best, and
    the search is over after the last. Architectures are drawn with replacement, as in the release, and proposed once
    each; what cannot be scored comes last.
    """

    divisible = True

    def __init__(
        self,
        scorer: Evaluator,
        *,
        space: SearchSpace,
        seed: Seed,
        scored: int = 100,  # the paper has 10, 100 and 1,000
        by: str | None = None,
    ) -> None:
        self.space, self.parts, self.scored = space, (scorer,), scored
        self._first = _FirstBest(scorer, space, seed, scored, by)

    def ask(self, n: int = 1) -> list[Proposal]:
        proposals: list[Proposal] = []
        while len(proposals) < n and (proposal := self._first.next()) is not None:
            proposals.append(proposal)
        return proposals

    def tell(self, trials: Sequence[Trial]) -> None:
        """The order is settled before the first proposal."""

    def rehearse(self) -> float:
        """About how many seconds the scoring takes, by a few other architectures."""
        return self._first.rehearse()

    def settings(self) -> dict[str, Any]:
        return {"space": self.space.name, "scored": self.scored, "by": self._first.by}

    def state(self) -> dict[str, Any]:
        return {"first": self._first.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self._first.restore(state["first"])


class BestEvolved(BestScored):
    """Evolution on the scores of so many architectures, which are then proposed from the best to the worst.

    With weights that a supernet shares this is one-shot search as published: the supernet is trained before the first
    proposal, evolution looks at `candidates` of its paths, and the best is trained from scratch. `population` and
    `tournament` are those of the evolution.
    """

    def __init__(
        self,
        scorer: Evaluator,
        *,
        space: SearchSpace,
        seed: Seed,
        candidates: int = 1000,  # Guo et al., section 4: 20 generations of 50
        population: int = 50,
        tournament: int = 10,
        by: str | None = None,
    ) -> None:
        self.space, self.parts, self.scored = space, (scorer,), candidates
        evolution = RegularizedEvolution(space, seed.child("evolution"), population=population, tournament=tournament)
        self._size = {"population": population, "tournament": tournament}
        self._first = _FirstBest(scorer, space, seed, candidates, by, evolution)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), **self._size}


class Area(RegularizedEvolution):
    """Assisted regularised evolution: the first population is the best of so many scored ones (algorithm 2).

    Of `scored` random architectures the best `population` by the scorer are evaluated first; from then on it is
    regularised evolution: the best of `tournament` members, drawn without replacement, has a child, and the oldest
    dies. A failed trial is made up for by the next best of those scored, and by random ones after the last.
    """

    def __init__(
        self,
        scorer: Evaluator,
        *,
        space: SearchSpace,
        seed: Seed,
        population: int = 10,  # the paper's
        scored: int = 20,  # the paper's
        tournament: int = 5,  # not stated in the paper's text
        by: str | None = None,
    ) -> None:
        if scored < population:
            raise SpecError(
                f"The first population is chosen among the scored, but got scored={scored}, population={population}."
            )
        super().__init__(space, seed, population=population, tournament=tournament)
        self.parts, self.scored = (scorer,), scored
        self._first = _FirstBest(scorer, space, seed, scored, by)

    def ask(self, n: int = 1) -> list[Proposal]:
        return [self._next() for _ in range(n)]

    def _next(self) -> Proposal:
        if len(self._members) < self.population:
            return self._first.next() or Proposal(self.space.sample(self._rng))
        return Proposal(self._candidate())

    def rehearse(self) -> float:
        """About how many seconds the scoring takes, by a few other architectures."""
        return self._first.rehearse()

    def _drawn(self) -> list[Member]:
        chosen = self._rng.choice(self.population, self.tournament, replace=False)
        return [self._members[index] for index in chosen.tolist()]

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "scored": self.scored, "by": self._first.by}

    def state(self) -> dict[str, Any]:
        return {**super().state(), "first": self._first.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._first.restore(state["first"])


class _FirstBest:
    """Architectures from the best score to the worst, scored when the first is asked for: random or evolved ones."""

    def __init__(
        self,
        scorer: Evaluator,
        space: SearchSpace,
        seed: Seed,
        scored: int,
        by: str | None,
        evolution: RegularizedEvolution | None = None,
    ) -> None:
        if scored < 1:
            raise SpecError(f"At least one architecture must be scored, but got scored={scored}.")
        if isinstance(scorer, Batched):
            raise SpecError(f"{type(scorer).__name__} screens proposals; scoring wants every one of them measured.")
        metric = metric_named(scorer.metrics, scorer.metrics[0].name if by is None else by, "metric of the scorer")
        self.by, self._sign = metric.name, metric.sign
        if metric.reported:
            raise SpecError(f"{self.by} is for the record: a strategy that chose by it would have seen the test set.")
        self._scorer, self._space, self._scored = scorer, space, scored
        self._rng, self._seed = seed.numpy("scored"), seed
        self._evolution = evolution
        self._queue: deque[Architecture] | None = None

    def rehearse(self) -> float:
        """Seconds of scoring all, by the mean of a few that are drawn from a stream of their own."""
        rng = self._seed.numpy("rehearsal")
        first, *others = (Proposal(self._space.sample(rng)) for _ in range(1 + FEW))
        attempt(self._scorer, [first])  # the first work of a process takes longer than the rest
        started = time.perf_counter()
        attempt(self._scorer, others)
        return (time.perf_counter() - started) / FEW * self._scored

    def next(self) -> Proposal | None:
        """The best of those left; None after the last."""
        cost = Cost()
        if self._queue is None:
            self._queue, cost = self._ranked()
        return Proposal(self._queue.popleft(), cost=cost) if self._queue else None

    def _ranked(self) -> tuple[deque[Architecture], Cost]:
        found = self._drawn() if self._evolution is None else self._evolved(self._evolution)
        # Sorting is stable: of equal scores, the one drawn first comes first.
        order = sorted(found, key=lambda arch: self._rank(found[arch]), reverse=True)
        return deque(order), sum((measured.cost for measured in found.values()), Cost())

    def _drawn(self) -> dict[Architecture, Measurement]:
        drawn = dict.fromkeys(self._space.sample(self._rng) for _ in range(self._scored))
        return dict(zip(drawn, attempt(self._scorer, [Proposal(arch) for arch in drawn]), strict=True))

    def _evolved(self, evolution: RegularizedEvolution) -> dict[Architecture, Measurement]:
        """What evolution proposes, one after the other; what comes again is not measured again."""
        found: dict[Architecture, Measurement] = {}
        for number in range(self._scored):
            (proposal,) = evolution.ask()
            if proposal.arch not in found:
                found[proposal.arch] = attempt(self._scorer, [proposal])[0]
            rank = self._rank(found[proposal.arch])
            status: Status = "ok" if math.isfinite(rank) else "failed"
            scores = (rank,) if status == "ok" else None
            evolution.tell([Trial(number, proposal, found[proposal.arch], status, scores)])
        return found

    def _rank(self, measurement: Measurement) -> float:
        value = self._sign * measurement.metrics.get(self.by, -self._sign * math.inf)
        return -math.inf if measurement.error is not None or math.isnan(value) else value

    def state(self) -> dict[str, Any]:
        queue = None if self._queue is None else [list(arch.choices) for arch in self._queue]
        return {"rng": self._rng.bit_generator.state, "queue": queue}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        queue = state["queue"]
        self._queue = (
            None if queue is None else deque(Architecture(self._space.name, tuple(choices)) for choices in queue)
        )
        self._rng.bit_generator.state = state["rng"]
