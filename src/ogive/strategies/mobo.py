"""Bayesian optimisation of several objectives: the noisy expected improvement of the hypervolume, by BoTorch."""

from __future__ import annotations

import importlib.util
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import ProtocolError, SpecError
from ogive.core.limit import Limit
from ogive.core.objective import Objective, written
from ogive.core.predictor import Encoder, Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import FREE, Budget, Cost, Proposal, Trial
from ogive.features import OneHot
from ogive.metrics import front_ranks
from ogive.predictors.kernels import WeisfeilerLehman
from ogive.predictors.surrogates import Coordinates, Graphs, Outcomes, Rows, Surrogates, log_improvements, moderated
from ogive.strategies.bayes import Everywhere, usual_kernel
from ogive.strategies.nsga2 import NSGA2
from ogive.strategies.state import Resumable
from ogive.strategies.unseen import Unseen
from ogive.strategies.usemo import Usemo

__all__ = ["Mobo", "mobo"]

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
# The choices of an architecture, its outcomes, and their variances, NaN where nobody knows them.
Label = tuple[Architecture, list[float], list[float]]


def mobo(
    *,
    space: SearchSpace,
    seed: Seed,
    budget: Budget | None = None,
    objectives: Sequence[Objective] = (),
    constraints: Sequence[Limit] = (),
    spreads: Mapping[str, tuple[str, int]] | None = None,
    start: int = 10,
    acquisition: Literal["qlognehvi", "usemo"] = "qlognehvi",
    encoder: Encoder | None = None,
    offered: int | None = None,
    samples: int = 128,  # as BoTorch's tutorials of qLogNEHVI
) -> Mobo | NSGA2:
    """A search for a front of several objectives by Gaussian processes of BoTorch; by NSGA-II where BoTorch is absent.

    After `start` random proposals each next one is that of which the front's hypervolume is expected to grow most
    (``qlognehvi``: Daulton et al., NeurIPS 2021; Ament et al., NeurIPS 2023), with what is in flight taken into
    account, or what NAGO's form picks (``usemo``: USeMO with local penalisation). Constraints of the search are
    modelled, too, and standard deviations that ``draws`` measures are the noise of the labels. `encoder` defaults to
    graphs in spaces of cells and to ``one_hot`` in others, as in ``bayes``. `offered` are candidates valued for each
    proposal, by default 1,000, of usemo 2,500; `samples` are those of the integral in qlognehvi.
    """
    if importlib.util.find_spec("botorch") is None:
        _say_that_it_is_absent()
        return NSGA2(space, seed)
    return Mobo(
        space,
        seed,
        budget=budget,
        objectives=objectives,
        constraints=constraints,
        spreads=spreads,
        start=start,
        acquisition=acquisition,
        encoder=encoder,
        offered=offered,
        samples=samples,
    )


@cache  # once in a process, however many searches
def _say_that_it_is_absent() -> None:
    logger.warning("BoTorch is not installed, so that mobo searches by NSGA-II: pip install 'ogive[bo]'")


class Mobo(Resumable):
    """As `mobo`, with BoTorch. Nothing is proposed twice; a finite space that is exhausted ends the search.

    `objectives` and `constraints` are those of the search, and `spreads` says which metrics have a standard deviation
    beside them. Without `objectives` the scores of trials are what is modelled, and trials beyond a constraint are left
    out; with them their metrics are labels like others. What failed is no label.
    """

    divisible = True

    def __init__(
        self,
        space: SearchSpace,
        seed: Seed,
        *,
        budget: Budget | None = None,
        objectives: Sequence[Objective] = (),
        constraints: Sequence[Limit] = (),
        spreads: Mapping[str, tuple[str, int]] | None = None,
        start: int = 10,
        acquisition: Literal["qlognehvi", "usemo"] = "qlognehvi",
        encoder: Encoder | None = None,
        offered: int | None = None,
        samples: int = 128,
    ) -> None:
        if not space.modelled:
            raise SpecError(
                f"mobo models variables, and {space.name} has none that tell architectures apart: use nsga2."
            )
        offered = (2500 if acquisition == "usemo" else 1000) if offered is None else offered
        for name, value, least in (("start", start, 2), ("offered", offered, 1), ("samples", samples, 1)):
            if value < least:
                raise SpecError(f"{name} of mobo must be at least {least}, but got {value}.")
        self.space, self.start, self.offered, self.samples = space, start, offered, samples
        self.acquisition, self.budget, self._seed = acquisition, budget, seed
        self._objectives, self._constraints = tuple(objectives), tuple(constraints)
        self._spreads = dict(spreads or {})
        self._surrogates = Surrogates(_coordinates(space, encoder))
        self._everywhere, self._usemo = Everywhere(space), Usemo(space, offered)
        self._rng = seed.numpy("proposals")
        self._unseen = Unseen(space)
        self._labels: list[Label] = []
        self._scored = 0  # objectives of each label
        self._fitted = 0  # labels that the surrogates know
        self._pending: list[Architecture] = []
        self._told_constant: set[int] = set()

    @property
    def population(self) -> int:
        """How many proposals are random."""
        return self.start

    def ask(self, n: int = 1) -> list[Proposal]:
        return list(islice(iter(self._next, None), n))

    def tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._unseen.remove(trial.arch)
            if trial.arch in self._pending:
                self._pending.remove(trial.arch)
            if (scores := self._scores(trial)) is not None:
                self._refuse_other_objectives(trial, len(scores))
                self._scored = len(scores)
                self._labels.append(self._label(trial, scores))

    # -- proposals ----------------------------------------------------------------------------------------------------

    def _next(self) -> Proposal | None:
        cost, arch = FREE, None
        if len(self._unseen.seen) >= self.start and len(self._labels) >= 2:
            started = time.perf_counter()
            arch = self._best()
            cost = Cost(wall_s=time.perf_counter() - started)
        if arch is None:
            arch = self._unseen.draw(self._rng)
        if arch is None:
            return None
        self._unseen.remove(arch)
        self._pending.append(arch)
        return Proposal(arch, cost=cost)

    def _best(self) -> Architecture | None:
        self._fit()
        if self.acquisition == "usemo":
            return self._usemo.chosen(self._surrogates, self._pending, self._unseen, self._rng)
        drawn = int(self._rng.integers(2**31))
        valued = log_improvements(self._surrogates, self._pending, samples=self.samples, seed=drawn)
        values = _Values(valued)
        archs, points, _ = zip(*self._labels, strict=True)
        ranks = front_ranks([point[: self._scored] for point in points])
        told = Observed(archs, tuple((-ranks).astype(float).tolist()))
        offered = self._everywhere.offered(values, told, self.offered, self._rng)
        fresh = [arch for arch in offered if arch in self._unseen]
        return fresh[int(values.predict(fresh).argmax())] if fresh else None

    def _fit(self) -> None:
        if self._fitted == len(self._labels):
            return
        outcomes = self._outcomes()
        self._surrogates.fit(outcomes)
        self._fitted = len(self._labels)
        for place in range(self._scored):
            column = outcomes.values[:, place]
            if np.ptp(column) == 0 and place not in self._told_constant:
                self._told_constant.add(place)
                logger.warning(
                    "All %d trials so far have the same value of %s: nothing can be learnt of it.",
                    len(column),
                    written(self._objectives[place]) if self._objectives else f"objective {place + 1}",
                )

    # -- labels -------------------------------------------------------------------------------------------------------

    def _scores(self, trial: Trial) -> tuple[float, ...] | None:
        """Of a trial beyond a constraint too, where the objectives are known."""
        if trial.scores is not None or trial.status != "infeasible" or not self._objectives:
            return trial.scores
        scores = tuple(float(objective(trial.arch, trial.metrics)) for objective in self._objectives)
        return scores if all(map(math.isfinite, scores)) else None

    def _label(self, trial: Trial, scores: tuple[float, ...]) -> Label:
        def beyond(limit: Limit) -> Callable[[Mapping[str, float]], float]:
            return limit.signed_excess

        def of(objective: Objective) -> Callable[[Mapping[str, float]], float]:
            return lambda metrics: objective(trial.arch, metrics)

        excesses = [limit.signed_excess(trial.metrics) for limit in self._constraints]
        objectives = self._objectives if len(self._objectives) == len(scores) else ()
        variances = [self._variance(of(one), one.needs, trial.metrics) for one in objectives]
        variances += [math.nan] * (len(scores) - len(objectives))
        variances += [self._variance(beyond(one), (one.metric,), trial.metrics) for one in self._constraints]
        return trial.arch, [*scores, *excesses], variances

    def _variance(
        self, value: Callable[[Mapping[str, float]], float], needs: Sequence[str], metrics: Mapping[str, float]
    ) -> float:
        """The variance of one value over draws, to the first order; NaN where a metric has none beside it."""
        total = 0.0
        for name in needs:
            deviation = metrics.get(self._spreads[name][0], math.nan) if name in self._spreads else math.nan
            above = value({**metrics, name: metrics[name] + deviation})
            below = value({**metrics, name: metrics[name] - deviation})
            total += ((above - below) / 2) ** 2
        return total

    def _outcomes(self) -> Outcomes:
        archs, values, variances = zip(*self._labels, strict=True)
        known = len(self._objectives) == self._scored
        needs: list[Sequence[str]] = [one.needs for one in self._objectives] if known else [()] * self._scored
        needs += [(one.metric,) for one in self._constraints]
        counts = [
            min((self._spreads[name][1] for name in names if name in self._spreads), default=1) for names in needs
        ]
        of_one = moderated(np.array(variances, np.float64), [count - 1.0 for count in counts])
        return Outcomes(archs, np.array(values, np.float64), of_one / np.array(counts, np.float64), self._scored)

    def _refuse_other_objectives(self, trial: Trial, count: int) -> None:
        if self._labels and count != self._scored:
            raise ProtocolError(
                f"All trials of a search have the same objectives, but trial {trial.number} has {count} scores and "
                f"others have {self._scored}."
            )

    # -- how long, and state ------------------------------------------------------------------------------------------

    def rehearse(self) -> float:
        """Seconds of all proposals of the budget that are modelled, by one at half of them; of one without trials."""
        trials = None if self.budget is None else self.budget.trials
        modelled = 1 if trials is None else max(0, trials - self.start)
        if not modelled:
            return 0.0
        rng, count = self._seed.numpy("rehearsal"), max(1, len(self._objectives))
        tried = Mobo(
            self.space,
            self._seed,
            constraints=self._constraints,
            start=self.start,
            acquisition=self.acquisition,
            offered=self.offered,
            samples=self.samples,
        )
        tried._surrogates = Surrogates(self._surrogates.coordinates)
        outcomes = count + len(self._constraints)
        for _ in range(self.start + modelled // 2):
            arch = self.space.sample(rng)
            tried._unseen.remove(arch)
            tried._labels.append((arch, rng.normal(size=outcomes).tolist(), [math.nan] * outcomes))
        tried._scored = count
        tried._best()  # what is loaded once is no time of a proposal
        tried._fitted = 0
        started = time.perf_counter()
        tried._best()
        return modelled * (time.perf_counter() - started)

    def settings(self) -> dict[str, Any]:
        return {
            "space": self.space.name,
            "start": self.start,
            "acquisition": self.acquisition,
            "offered": self.offered,
            "samples": self.samples,
            "coordinates": self._surrogates.coordinates.name,
            "objectives": [written(one) for one in self._objectives],
            "constraints": [str(one) for one in self._constraints],
        }

    def state(self) -> dict[str, Any]:
        return {
            "rng": self._rng.bit_generator.state,
            "unseen": self._unseen.state(),
            "labels": [
                [list(arch.choices), values, [None if math.isnan(one) else one for one in variances]]
                for arch, values, variances in self._labels
            ],
            "scored": self._scored,
            "pending": [list(arch.choices) for arch in self._pending],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._unseen.restore(state["unseen"])
        self._labels = [
            (self._arch(choices), list(map(float, values)), [math.nan if v is None else float(v) for v in variances])
            for choices, values, variances in state["labels"]
        ]
        self._scored, self._fitted = int(state["scored"]), 0
        self._pending = [self._arch(choices) for choices in state["pending"]]
        self._rng.bit_generator.state = state["rng"]

    def _arch(self, choices: Sequence[int | float]) -> Architecture:
        return Architecture(self.space.name, tuple(choices))


class _Values:
    """An acquisition as what a proposer asks, which asks of the same ones again and again: each is valued once."""

    def __init__(self, valued: Callable[[Sequence[Architecture]], Floats]) -> None:
        self._valued = valued
        self._known: dict[Architecture, float] = {}

    def fit(self, observed: Observed) -> None:
        raise ProtocolError("An acquisition is fitted where it is made.")

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        new = [arch for arch in dict.fromkeys(archs) if arch not in self._known]
        if new:
            self._known.update(zip(new, self._valued(new).tolist(), strict=True))
        return np.array([self._known[arch] for arch in archs], np.float64)


def _coordinates(space: SearchSpace, encoder: Encoder | None) -> Coordinates:
    """Rows of the encoder; without one, what ``bayes`` compares architectures by."""
    if encoder is None and isinstance(kernel := usual_kernel(space), WeisfeilerLehman):
        return Graphs(kernel)
    return Rows(OneHot(space=space) if encoder is None else encoder)
