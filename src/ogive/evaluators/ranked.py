"""Several scores made into one, by how each ranks among those of random architectures of the space.

Scores of different kinds (log-determinants, counts, condition numbers) cannot be added, but their ranks can. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from ogive.core.errors import MissingData, SpecError
from ogive.core.evaluator import Evaluator
from ogive.core.metric import Metric, names_of
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal

__all__ = ["Combine", "Ranked", "fitted_weights", "mean_ranks", "rank_share"]

Floats = npt.NDArray[np.float64]
Combine = Literal["mean", "log"]


class Ranked:
    """The metric ``mean_rank`` from 0 to 1: which share of random architectures a candidate beats, over all scores.

    A mean rank needs something to rank among. Ranks within whatever batch is handed in could not be compared with those
    of the next batch, nor found again by a resumed run. So the evaluator draws `reference` random architectures once,
    by its seed, scores them too, and ranks every candidate among them alone: the result depends on the candidate and
    on the arguments, never on the batch. What beats all of the reference is still told apart (see `mean_rank`).

    `combine` is "mean" (of the ranks), or "log" (of their logarithms, as AZ-NAS adds them: one bad rank weighs more
    than one good). `weights` count the scores, in their order; `fitted_weights` finds some from known accuracies. The
    metrics of the inner evaluator are passed on. Every process of a search scores the reference once, when it first
    evaluates; that time is part of the cost of the first candidate.
    """

    def __init__(
        self,
        inner: Evaluator,
        *,
        space: SearchSpace,
        seed: Seed,
        reference: int = 50,
        combine: Combine = "mean",
        weights: list[float] | None = None,
    ) -> None:
        if reference < 2:
            raise SpecError(f"A rank needs at least two architectures to rank among, but got reference={reference}.")
        if "mean_rank" in names_of(inner.metrics):
            raise SpecError("ranked(...) measures mean_rank, and so does its part: ranks of ranks say nothing.")
        scores = len(inner.metrics)
        if weights is not None and (len(weights) != scores or min(weights) < 0 or not math.isclose(sum(weights), 1)):
            raise SpecError(
                f"weights of ranked(...) are {scores} numbers from 0 to 1 with the sum 1, one for each of "
                f"{', '.join(names_of(inner.metrics))}, but got {weights}."
            )
        self.parts = (inner,)
        self.metrics = (Metric("mean_rank", "", "larger", "mean rank"), *inner.metrics)
        self.space, self.seed, self.reference, self.combine = space, seed, reference, combine
        self.weights: Floats = np.full(scores, 1 / scores) if weights is None else np.asarray(weights, np.float64)
        self._references: list[Floats] | None = None

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        if not proposals:
            return []
        references, cost = self._scored_references()
        found = []
        for measurement in self.parts[0].evaluate(proposals):
            if measurement.error is None:
                columns = zip(names_of(self.parts[0].metrics), references, strict=True)
                ranks = np.array([rank_share(measurement.metrics[name], reference) for name, reference in columns])
                combined = {"mean_rank": self._combined(ranks), **measurement.metrics}
                measurement = replace(measurement, metrics=combined)
            found.append(replace(measurement, cost=measurement.cost + cost))
            cost = Cost()
        return found

    def _combined(self, ranks: Floats) -> float:
        if self.combine == "mean":
            return float(self.weights @ ranks)
        # A candidate that comes last by one score comes last.
        return float(np.exp(self.weights @ np.log(ranks))) if ranks.all() else 0.0

    def _scored_references(self) -> tuple[list[Floats], Cost]:
        """For each score, its values of the reference in order; and what finding them cost, if it was done now."""
        if self._references is not None:
            return self._references, Cost()
        rng = self.seed.numpy("reference")
        drawn = [Proposal(self.space.sample(rng)) for _ in range(self.reference)]
        measurements = self.parts[0].evaluate(drawn)
        good = [measurement.metrics for measurement in measurements if measurement.error is None]
        if len(good) < 2:
            reasons = [measurement.error for measurement in measurements if measurement.error is not None]
            raise MissingData(
                f"Ranking needs two scored architectures, but {len(reasons)} of {len(drawn)} random ones could not be "
                f"scored: {reasons[0]}."
            )
        self._references = [np.sort([metrics[name] for metrics in good]) for name in names_of(self.parts[0].metrics)]
        return self._references, sum((measurement.cost for measurement in measurements), Cost())


def mean_ranks(scores: npt.ArrayLike, combine: Combine = "mean") -> Floats:
    """How each of N networks stands among them all by S scores, (N, S): (N,), from 0 to 1, the best at most 1.

    The mean over scores of rank / N, equal ones sharing the middle; with "log" the exponential of the mean logarithm,
    which orders networks as AZ-NAS's total does, the sum of log(rank / N). The rank of -inf is 0.
    """
    values_NS = np.asarray(scores, np.float64)
    if values_NS.ndim != 2 or not values_NS.size or np.isnan(values_NS).any():
        raise SpecError(
            f"Networks stand by one or several scores that are numbers, but got the shape {values_NS.shape}."
        )
    from scipy.stats import rankdata  # here, because the command line imports this file and need not wait for SciPy

    ranks_NS = np.where(values_NS == -math.inf, 0.0, rankdata(values_NS, axis=0) / len(values_NS))
    if combine == "mean":
        return np.asarray(ranks_NS.mean(axis=1), np.float64)
    # A network that comes last by one score comes last.
    dead_N = (ranks_NS == 0).any(axis=1)
    ranks_NS[dead_N] = 1.0
    return np.where(dead_N, 0.0, np.exp(np.log(ranks_NS).mean(axis=1)))


def rank_share(value: float, reference: npt.ArrayLike) -> float:
    """Where a score stands among those of the reference (in rising order): 0 for -inf and nan, below 1 for any other.

    Of R references, a score between the k-th and the next is at k / (R + 1) and a part of the next step, as far as it
    has come between the two; equal ones share the middle. Beyond the last the steps never end, but shrink. So different
    finite scores stand differently, and in their order; with many references this is the usual rank.
    """
    ordered = np.asarray(reference, np.float64)
    if math.isnan(value) or value == -math.inf:
        return 0.0
    finite = ordered[np.isfinite(ordered)]
    worst = len(ordered) - len(finite)
    if not len(finite):
        return (worst + 0.5) / (len(ordered) + 1)
    below, upto = (int(np.searchsorted(finite, value, side)) for side in ("left", "right"))
    rank = (below + 1 + upto) / 2 if upto > below else below + _way_to_next(value, finite, below)
    return (worst + rank) / (len(ordered) + 1)


def _way_to_next(value: float, finite: Floats, below: int) -> float:
    """How far the value is between two neighbours, in (0, 1); outside all, by the distance in spreads of the whole."""
    if 0 < below < len(finite):
        return float((value - finite[below - 1]) / (finite[below] - finite[below - 1]))
    spread = float(finite[-1] - finite[0]) or 1.0
    beyond = abs(value - finite[-1 if below else 0]) / spread
    shrinking = float(1 / (1 + beyond))
    return 1 - shrinking if below else shrinking


def fitted_weights(ranks: npt.ArrayLike, accuracies: npt.ArrayLike) -> list[float]:
    """Weights for ``ranked(..., weights=...)``: the least-squares fit, none of them negative, with the sum 1.

    `ranks` are (architectures, scores), `accuracies` those of the same architectures, in any unit: their ranks are
    fitted. Architectures of one space may serve another. SpecError if no score goes with the accuracies at all.
    """
    ranks_NS, truth_N = np.asarray(ranks, np.float64), np.asarray(accuracies, np.float64)
    if ranks_NS.ndim != 2 or truth_N.shape != ranks_NS.shape[:1] or len(truth_N) <= ranks_NS.shape[1]:
        raise SpecError(
            f"A fit needs more architectures than scores, and one accuracy for each, but got the shapes "
            f"{ranks_NS.shape} and {truth_N.shape}."
        )
    if not (np.isfinite(ranks_NS).all() and np.isfinite(truth_N).all()):
        raise SpecError("A fit needs finite ranks and accuracies: leave out what could not be scored.")
    from scipy.optimize import nnls

    order = np.argsort(np.argsort(truth_N, kind="stable"), kind="stable") / len(truth_N)
    weights, _ = nnls(ranks_NS - ranks_NS.mean(axis=0), order - order.mean())
    if not weights.sum() > 0:
        raise SpecError("None of the scores goes with the accuracies: there is nothing to fit.")
    return [float(weight) for weight in weights / weights.sum()]
