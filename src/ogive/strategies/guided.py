"""Guided search: a predictor is fitted on what was measured and says what to measure next."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Particular, lasting, rounds_of
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed, Predictor, Proposer
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import FREE, Budget, Cost, Proposal, Trial
from ogive.predictors.rehearsal import extrapolated, rehearsed_fit, rehearsed_labels
from ogive.strategies.state import Resumable
from ogive.strategies.unseen import Unseen

__all__ = ["Believing", "Guided", "Opening"]

# A rehearsal that takes longer than this for one fit does without the smallest and the largest ones.
LONG_S = 2.0


class Opening(Protocol):
    """Where a guided search takes its first proposals from."""

    def draw(self, unseen: Unseen, rng: np.random.Generator) -> Architecture | None:
        """One that was not proposed, which thereby counts as proposed; None if there is none left."""
        ...


@runtime_checkable
class Believing(Protocol):
    """A predictor that can take what is being measured for measured, so that the next proposal lies elsewhere."""

    def believe(self, pending: Sequence[Architecture]) -> None:
        """Do that, after a fit."""
        ...


class Guided(Resumable):
    """Fit a predictor on the trials so far and propose the best of what a proposer offers, none of it twice.

    The first `start` proposals are random, or those of an `opening`. From then on, whenever `refit` proposals have been
    made, the predictor is fitted on all that was told, the proposer offers about `offered` architectures, and the
    `refit` best by prediction that nobody has proposed come next, of equal ones a random one. Labels are ordinary
    trials, so that a budget means the same as to any other strategy. What failed or was screened out is no label. Where
    the proposer has nothing new, a random architecture is proposed; a finite space that is exhausted ends the search.
    The `budget` is what a rehearsal counts fits by.
    """

    divisible = True
    objectives = 1

    def __init__(
        self,
        predictor: Predictor,
        proposer: Proposer,
        *,
        space: SearchSpace,
        seed: Seed,
        budget: Budget | None = None,
        start: int = 20,
        refit: int = 10,  # as many as are proposed for each fit in BANANAS (White et al., AAAI 2021)
        offered: int = 1000,
        opening: Opening | None = None,
    ) -> None:
        for name, value, least in (("start", start, 2), ("refit", refit, 1), ("offered", offered, 1)):
            if value < least:
                raise SpecError(f"{name} of a guided search must be at least {least}, but got {value}.")
        if isinstance(proposer, Particular):
            proposer.refuse(predictor)
        self.predictor, self.proposer, self.space = predictor, proposer, space
        self.parts = (predictor, proposer) if opening is None else (predictor, proposer, opening)
        self.start, self.refit, self.offered, self.opening = start, refit, offered, opening
        self.budget, self._seed = budget, seed
        self._rng = seed.numpy("proposals")
        self._unseen = Unseen(space)
        self._labels: list[tuple[Architecture, float]] = []
        self._queue: deque[Architecture] = deque()
        self._believing = predictor if isinstance(predictor, Believing) else None
        self._pending: list[Architecture] = []  # proposed and not told, where the predictor wants to know

    @property
    def population(self) -> int:
        """How many proposals are random."""
        return self.start

    def rehearse(self) -> float:
        """Seconds of all fits of the budget and of what is offered after each; of one where it counts no trials.

        By fits on random architectures, as short as the predictor and the proposer can be: the first, one in the middle
        and the last, between which a fit takes longer as a cubic of the labels at most (Simpson's rule).
        """
        trials = None if self.budget is None else self.budget.trials
        fits = 1 if trials is None else math.ceil(max(0, trials - self.start) / self.refit)
        if not fits:
            return 0.0
        rng, last = self._seed.numpy("rehearsal"), self.start + (fits - 1) * self.refit
        labels = rehearsed_labels(self.space, last, rng)
        started = time.perf_counter()
        first_s = self._round_s(labels, self.start, rng)
        if fits == 1:
            return first_s
        middle_s = self._round_s(labels, (self.start + last) // 2, rng)
        once_s = max(0.0, first_s - middle_s)  # encodings of a whole space are made for the first fit only
        if fits == 2 or time.perf_counter() - started > LONG_S:
            return once_s + fits * middle_s
        ends_s = self._round_s(labels, self.start, rng) + self._round_s(labels, last, rng)
        return once_s + fits * (ends_s + 4 * middle_s) / 6

    def _round_s(self, labels: Observed, count: int, rng: np.random.Generator) -> float:
        """About how many seconds a fit on so many labels takes, and what is offered after it.

        What works in one piece goes through the fit before, too, of which it may have kept something.
        """
        if count > self.start and rounds_of(self.predictor) == 1:
            self._fit_and_offer_s(labels, count - self.refit, rng)
        return self._fit_and_offer_s(labels, count, rng)

    def _fit_and_offer_s(self, labels: Observed, count: int, rng: np.random.Generator) -> float:
        told = Observed(labels.archs[:count], labels.scores[:count])
        fit_s, fitted = rehearsed_fit(self.predictor, told)
        proposer, offered = self.proposer, list[Architecture]()

        def offer(rounds: int) -> None:
            offered[:] = lasting(proposer, rounds).offered(fitted, told, self.offered, rng)

        offer_s = extrapolated(offer, rounds_of(proposer))
        started = time.perf_counter()
        fitted.predict(offered)
        return fit_s + offer_s + time.perf_counter() - started

    def ask(self, n: int = 1) -> list[Proposal]:
        return list(islice(iter(self._next, None), n))

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._unseen.remove(trial.arch)
            if trial.arch in self._pending:
                self._pending.remove(trial.arch)
            if trial.scores is not None:
                self._labels.append((trial.arch, trial.scores[0]))

    def _next(self) -> Proposal | None:
        # Two labels are the least that a predictor can be fitted on; more random ones come if most of them fail.
        guided = len(self._unseen.seen) >= self.start and len(self._labels) >= 2
        cost = FREE
        if guided and not self._queue:
            started = time.perf_counter()
            self._queue.extend(self._best())
            cost = Cost(wall_s=time.perf_counter() - started)
        arch = self._queue.popleft() if self._queue else self._drawn(opens=not guided)
        if arch is None:
            return None
        self._unseen.remove(arch)
        if self._believing is not None:
            self._pending.append(arch)
        # What a fit takes is the cost of the first proposal that came of it.
        return Proposal(arch, cost=cost)

    def _drawn(self, *, opens: bool) -> Architecture | None:
        if opens and self.opening is not None:
            return self.opening.draw(self._unseen, self._rng)
        return self._unseen.draw(self._rng)

    def _best(self) -> list[Architecture]:
        archs, scores = zip(*self._labels, strict=True)
        observed = Observed(archs, scores)
        self.predictor.fit(observed)
        if self._believing is not None:
            self._believing.believe(self._pending)
        offered = self.proposer.offered(self.predictor, observed, self.offered, self._rng)
        fresh = [place for place, arch in enumerate(offered) if arch in self._unseen]
        if not fresh:
            return []
        # Of all that was offered, though some was proposed: a predictor may know a whole space from the last time.
        predicted = self.predictor.predict(offered)[fresh]
        # Trees give many architectures the same value: sorting a shuffled list takes a random one of them.
        shuffled = self._rng.permutation(len(fresh))
        order = shuffled[np.argsort(-predicted[shuffled], kind="stable")]
        return [offered[fresh[place]] for place in order[: self.refit].tolist()]

    def settings(self) -> dict[str, Any]:
        return {
            "space": self.space.name,
            "predictor": type(self.predictor).__name__,
            "proposer": type(self.proposer).__name__,
            "start": self.start,
            "refit": self.refit,
            "offered": self.offered,
            **({} if self.opening is None else {"opening": type(self.opening).__name__}),
        }

    def state(self) -> dict[str, Any]:
        return {
            "rng": self._rng.bit_generator.state,
            "unseen": self._unseen.state(),
            "labels": [[list(arch.choices), score] for arch, score in self._labels],
            "queue": [list(arch.choices) for arch in self._queue],
            **({} if self._believing is None else {"pending": [list(arch.choices) for arch in self._pending]}),
        }

    def restore(self, state: dict[str, Any]) -> None:
        name = self.space.name
        self._unseen.restore(state["unseen"])
        self._labels = [(Architecture(name, tuple(choices)), float(score)) for choices, score in state["labels"]]
        self._queue = deque(Architecture(name, tuple(choices)) for choices in state["queue"])
        self._pending = [Architecture(name, tuple(choices)) for choices in state.get("pending", ())]
        self._rng.bit_generator.state = state["rng"]
