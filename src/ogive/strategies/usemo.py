"""USeMO with local penalisation: the form of multi-objective Bayesian optimisation that NAGO names.

Belakaria et al., "Uncertainty-aware search framework for multi-objective Bayesian optimization", AAAI 2020; batches by
local penalisation (González et al., AISTATS 2016; Alvi et al., ICML 2019); Ru et al., NAGO, NeurIPS 2020, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Measurement, Trial
from ogive.metrics import non_dominated
from ogive.predictors.improvement import log_improvement
from ogive.predictors.labels import fitted
from ogive.predictors.surrogates import Surrogates
from ogive.strategies.nsga2 import NSGA2
from ogive.strategies.unseen import Unseen

__all__ = ["Usemo"]

Floats = npt.NDArray[np.float64]

POPULATION = 100  # of the NSGA-II on the cheap problem
SLOPES = 200  # random architectures between which, and those measured, the steepest slope is looked for


@dataclass(frozen=True)
class Usemo:
    """Of the front of all expected improvements, the architecture of which the surrogates know least.

    NSGA-II finds the front, by `evaluations` of the surrogates (2,500 in the code of USeMO), and of it the product of
    the deviations picks one: the volume of uncertainty, in which β is the same for all. Near what is being measured
    each improvement is multiplied by the penalty min(1, L·distance / (|μ - best| + σ)).

    Neither text says how NAGO estimates L, nor where its penalty enters with several objectives. Here L is the steepest
    slope of the mean between 200 random architectures and those measured, and the penalty of each objective multiplies
    its own improvement. The surrogate is a Gaussian process, where NAGO has a Bayesian neural network. Limits multiply
    all improvements by the probability that they are kept (Gardner et al., ICML 2014).
    """

    space: SearchSpace
    evaluations: int = 2500

    def chosen(
        self, surrogates: Surrogates, pending: Sequence[Architecture], unseen: Unseen, rng: np.random.Generator
    ) -> Architecture | None:
        """The next architecture; None if all of the front were proposed."""
        cheap = _Cheap(surrogates, pending, [self.space.sample(rng) for _ in range(SLOPES)])
        search = NSGA2(self.space, Seed(int(rng.integers(2**31))), population=POPULATION)
        archs: list[Architecture] = []
        points: list[tuple[float, ...]] = []
        while len(archs) < self.evaluations:
            asked = search.ask(min(POPULATION, self.evaluations - len(archs)))
            if not asked:
                break
            found = [tuple(row) for row in cheap([one.arch for one in asked]).tolist()]
            search.tell([Trial(0, one, Measurement(), "ok", row) for one, row in zip(asked, found, strict=True)])
            archs += [one.arch for one in asked]
            points += found
        fresh = [place for place, arch in enumerate(archs) if arch in unseen]
        if not fresh:
            return None
        front = [fresh[place] for place in np.flatnonzero(non_dominated([points[place] for place in fresh])).tolist()]
        count = fitted(surrogates.outcomes).objectives
        deviations = surrogates.believed([archs[place] for place in front])[1][:, :count]
        return archs[front[int(np.log(deviations).sum(axis=1).argmax())]]


class _Cheap:
    """The logarithms of the penalised expected improvements of architectures, shape (n, objectives)."""

    def __init__(self, surrogates: Surrogates, pending: Sequence[Architecture], random: Sequence[Architecture]) -> None:
        self.surrogates, self.pending = surrogates, list(pending)
        outcomes = fitted(surrogates.outcomes)
        self.count = outcomes.objectives
        means = surrogates.believed(outcomes.archs)[0][:, : self.count]
        kept = outcomes.feasible if outcomes.feasible.any() else np.ones(len(outcomes), bool)
        self.best = means[kept].max(axis=0)
        if self.pending:
            self.slope = _steepest(surrogates, [*dict.fromkeys((*outcomes.archs, *random))], self.count)
            self.mean, self.deviation = (said[:, : self.count] for said in surrogates.believed(self.pending))

    def __call__(self, archs: Sequence[Architecture]) -> Floats:
        from scipy.special import log_ndtr

        mean, deviation = self.surrogates.believed(archs)
        objectives = slice(None, self.count)
        found = log_improvement(mean[:, objectives] - self.best, deviation[:, objectives])
        for outcome in range(self.count, mean.shape[1]):
            below = (self.surrogates.threshold(outcome) - mean[:, outcome]) / deviation[:, outcome]
            found += log_ndtr(below)[:, None]
        return found + self._log_penalty(archs)

    def _log_penalty(self, archs: Sequence[Architecture]) -> Floats:
        """0 where nothing that is being measured is near, shape (n, objectives)."""
        if not self.pending:
            return np.zeros((len(archs), self.count))
        distances = self.surrogates.coordinates.distances(archs, self.pending)[:, :, None]
        reach = (np.abs(self.mean - self.best) + self.deviation) / self.slope
        found: Floats = np.log(np.clip(distances / reach, 1e-12, 1)).sum(axis=1)
        return found


def _steepest(surrogates: Surrogates, archs: Sequence[Architecture], count: int) -> Floats:
    """The largest slope of the mean of each objective between any two that differ, shape (count,); 1e-6 at least."""
    mean = surrogates.believed(archs)[0][:, :count]
    distances = surrogates.coordinates.distances(archs, archs)
    distances = np.where(distances > 1e-6, distances, np.inf)
    slopes = [(np.abs(column[:, None] - column) / distances).max() for column in mean.T]
    return np.maximum(np.array(slopes, np.float64), 1e-6)
