"""Numbers about searches and rankings: rank agreement, regret, Pareto fronts, hypervolume, intervals and tests.

Larger is better everywhere: of a score, and of every objective of a point. Arrays of points have the shape
(points, objectives). Every function that draws at random takes the generator as an argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ogive.core.errors import SpecError
from ogive.core.metric import Guess, Metric

__all__ = [
    "FEW",
    "Interval",
    "anytime",
    "binomial_interval",
    "chance",
    "crowding_distance",
    "front_ranks",
    "half_width",
    "holm",
    "hypervolume",
    "incumbents",
    "interval_name",
    "kendall_tau",
    "mean_interval",
    "ndcg",
    "non_dominated",
    "paired_permutation_test",
    "ranked_by_fidelity",
    "regret",
    "spearman",
    "stepwise",
]

Floats = npt.NDArray[np.float64]

# Sign flips of up to so many pairs are all tried; of more, a random sample of them.
EXACT_PAIRS = 14
# So few values have a t-interval; a bootstrap of ten normal values that says 95 % covers their mean in 90 % of cases.
FEW = 10
RESAMPLES = 10_000
# Values that differ by less, relatively, are equal: differences of equal pairs do so, and have no skewness.
ROUNDING = 1e-12
# Resamples are drawn in blocks of about this many numbers, so that memory does not grow with the sample.
BLOCK = 4_000_000


class Interval(NamedTuple):
    """Both ends of an interval."""

    low: float
    high: float


# -- rankings ----------------------------------------------------------------------------------------------------------


def kendall_tau(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Kendall's tau-b of two sequences, in [-1, 1]; nan if one of them is constant.

    A pair that is tied in one sequence counts as neither agreement nor disagreement, and the denominator is corrected
    for ties (Kendall, Biometrika 1945). Infinite values rank first or last.
    """
    from scipy.stats import kendalltau

    x, y = _rankable(a, b)
    return math.nan if _constant(x, y) else float(kendalltau(x, y).statistic)


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Spearman's rank correlation, in [-1, 1], ties at their mean rank; nan if one sequence is constant."""
    from scipy.stats import rankdata

    x, y = _rankable(a, b)
    return math.nan if _constant(x, y) else float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def ndcg(predicted: npt.ArrayLike, true: npt.ArrayLike, *, first: int | None = None) -> float:
    """Normalised discounted cumulative gain of a ranking, from 0 to 1: whether what is best comes first.

    The gain of an item is 2**(10 q) - 1, where q, from 0 to 1, is its rank by the true values, so that each tenth of
    the items counts twice as much as the one below; the discount of place p is log2(1 + p) (Järvelin and Kekäläinen,
    2002, with the gains of Burges et al., ICML 2005). Equal predictions share their places. With `first` only so many
    places count; without, a random order of 15,000 items still gets 0.80. nan if all true values are equal.
    """
    from scipy.stats import rankdata

    x, y = _rankable(predicted, true)
    if first is not None and first < 1:
        raise SpecError(f"The gain of a ranking is that of 1 place at least, but got first={first}.")
    if _constant(y, y):
        return math.nan
    gains = 2.0 ** (10 * (rankdata(y) - 1) / (len(y) - 1)) - 1
    discounts = 1 / np.log2(np.arange(2, len(y) + 2)) * (np.arange(len(y)) < (first or len(y)))
    order = np.argsort(-x, kind="stable")
    starts = np.flatnonzero(np.concatenate(([True], np.diff(x[order]) != 0)))
    counts = np.diff(np.append(starts, len(y)))
    shared = np.add.reduceat(gains[order], starts) * np.add.reduceat(discounts, starts) / counts
    return min(1.0, float(shared.sum() / (np.sort(gains)[::-1] @ discounts)))


def _rankable(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both sequences, refused if they are no two of the same length or hold NaN."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise SpecError(f"Two sequences of one length can be correlated, but the shapes are {x.shape} and {y.shape}.")
    missing = int(np.isnan(x).sum() + np.isnan(y).sum())
    if missing:
        raise SpecError(f"NaN has no rank, but {missing} of the values are NaN; drop them or rank them last (-inf).")
    return x, y


def _constant(x: Floats, y: Floats) -> bool:
    return len(x) < 2 or bool((x == x[0]).all() or (y == y[0]).all())


# -- the course of a search --------------------------------------------------------------------------------------------


def incumbents(scores: Sequence[float | None] | npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The position of the best score so far, after every trial; -1 while none has worked.

    None and NaN stand for trials without a score. Of equal scores the earliest counts.
    """
    values = _scores(scores)
    best = np.maximum.accumulate(values)
    is_new = values > np.concatenate(([-math.inf], best[:-1]))
    return np.maximum.accumulate(np.where(is_new, np.arange(len(values)), -1))


def anytime(scores: Sequence[float | None] | npt.ArrayLike, report: npt.ArrayLike | None = None) -> Floats:
    """What the search would have answered after every trial; NaN while nothing has worked.

    The answer is the trial with the best score so far, and the curve its value in `report` (a test accuracy, say),
    by default the score itself. A curve of reported values may fall.
    """
    positions = incumbents(scores)
    values = _scores(scores) if report is None else np.asarray(report, np.float64)
    if len(values) != len(positions):
        raise SpecError(f"Each trial has one reported value, but {len(positions)} trials came with {len(values)}.")
    return np.where(positions >= 0, values[positions], math.nan) if len(positions) else np.empty(0)


def ranked_by_fidelity(heights: Sequence[float], scores: Sequence[float | None]) -> list[float | None]:
    """Ranks that order trials by their fidelity and then by their score, for curves of searches with several of these.

    The scores themselves where all trials have one fidelity; None stays None.
    """
    if len({height for height, score in zip(heights, scores, strict=True) if score is not None}) < 2:
        return list(scores)
    pairs = [None if score is None else (height, score) for height, score in zip(heights, scores, strict=True)]
    place = {pair: float(rank) for rank, pair in enumerate(sorted({pair for pair in pairs if pair is not None}))}
    return [None if pair is None else place[pair] for pair in pairs]


def stepwise(clock: npt.ArrayLike, curve: npt.ArrayLike, at: npt.ArrayLike) -> Floats:
    """The value of a curve of steps at other times: that of the last step not later; NaN before the first.

    `clock` is when each step was reached, ascending. With it, searches of different pace can be averaged.
    """
    times, values = np.asarray(clock, np.float64), np.asarray(curve, np.float64)
    if times.shape != values.shape or np.any(np.diff(times) < 0):
        raise SpecError("Each step of a curve needs one time, ascending.")
    steps = np.searchsorted(times, np.asarray(at, np.float64), side="right") - 1
    return np.where(steps >= 0, values[steps], math.nan) if len(values) else np.full(np.shape(at), math.nan)


def regret(optimum: float, values: npt.ArrayLike) -> Floats:
    """How far below the best possible value each value lies."""
    return optimum - np.asarray(values, np.float64)


def _scores(scores: Sequence[float | None] | npt.ArrayLike) -> Floats:
    values = np.array(scores, np.float64)  # None becomes NaN
    return np.where(np.isnan(values), -math.inf, values)


# -- several objectives ------------------------------------------------------------------------------------------------


def non_dominated(points: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which points no other point beats: none is at least as good in all objectives and better in one. Shape (n,)."""
    array = _points(points)
    kept = np.zeros(len(array), np.bool_)
    # A point can only be dominated by one of larger sum, so that whatever is left in front is on the front.
    left = np.argsort(-array.sum(axis=1), kind="stable")
    while len(left):
        first = array[left[0]]
        kept[left[np.all(array[left] == first, axis=1)]] = True
        left = left[np.any(array[left] > first, axis=1)]
    return kept


def front_ranks(points: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The front of every point: 0 for the non-dominated ones, 1 for those of the rest, and so on. Shape (n,).

    The non-dominated sort of NSGA-II (Deb et al., IEEE TEC 2002, section III-A), with a matrix of n x n comparisons.
    """
    array = _points(points)
    ranks = np.full(len(array), -1, np.int64)
    # Objective by objective, so that no array of n x n x objectives is made.
    worse = np.zeros((len(array), len(array)), np.bool_)
    for objective in array.T:
        worse |= objective[:, None] < objective[None, :]
    dominates = ~worse & worse.T
    dominators = dominates.sum(axis=0)
    rank = 0
    while np.any(ranks < 0):
        front = (dominators == 0) & (ranks < 0)
        ranks[front] = rank
        dominators = dominators - dominates[front].sum(axis=0)
        rank += 1
    return ranks


def crowding_distance(points: npt.ArrayLike) -> Floats:
    """How much room each point of one front has: the sum over objectives of the distance between its neighbours.

    Distances are relative to the range of the front; the ends of an objective get infinity (Deb et al., 2002,
    section III-B). Shape (n,).
    """
    array = _points(points)
    distance = np.zeros(len(array))
    for objective in array.T:
        order = np.argsort(objective, kind="stable")
        span = objective[order[-1]] - objective[order[0]] if len(order) else 0.0
        distance[order[:1]] = distance[order[-1:]] = math.inf
        if span > 0:
            distance[order[1:-1]] += (objective[order[2:]] - objective[order[:-2]]) / span
    return distance


def hypervolume(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """The volume that the points dominate above the reference point; exact, for any number of objectives.

    Points that are not better than the reference in every objective add nothing. Time: n log n for two objectives, at
    most n ** (objectives - 1) log n for more.
    """
    array, corner = _points(points), np.asarray(reference, np.float64)
    if corner.shape != array.shape[1:]:
        raise SpecError(f"The reference point has {corner.size} objectives, but the points have {array.shape[1]}.")
    if not np.all(np.isfinite(corner)):
        raise SpecError(f"The reference point must be finite, but is {corner.tolist()}.")
    return _volume(array[np.all(array > corner, axis=1)] - corner)


def _volume(points: Floats) -> float:
    """The volume above the origin, by adding for each point what the points after it leave to it alone.

    In ascending order of the last objective, later points reach at least as far in it, so what they cover of a point's
    box is a volume of one dimension less (the exclusive volumes of While et al., IEEE TEC 2012).
    """
    points = points[non_dominated(points)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[np.argsort(points[:, -1], kind="stable")]
    if points.shape[1] == 2:
        widths = points[:, 0] - np.append(points[1:, 0], 0.0)
        return float(widths @ points[:, 1])
    total = 0.0
    for index, point in enumerate(points):
        box, covered = float(np.prod(point[:-1])), _volume(np.minimum(points[index + 1 :, :-1], point[:-1]))
        total += float(point[-1]) * (box - covered)
    return total


def _points(points: npt.ArrayLike) -> Floats:
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise SpecError(f"Points have the shape (points, objectives), but this array has {array.shape}.")
    if np.any(np.isnan(array)):
        raise SpecError("A point with a NaN can be compared with none; leave failed trials out.")
    return array


# -- intervals and tests -----------------------------------------------------------------------------------------------


def mean_interval(values: npt.ArrayLike, rng: np.random.Generator, *, level: float = 0.95) -> Interval:
    """A confidence interval of the mean of independent values; (nan, nan) for fewer than two.

    Of fewer than `FEW` it is a t-interval, of more a bootstrap interval that is corrected for bias and skewness (BCa;
    Efron, JASA 1987): of three normal values, a bootstrap that says 95 % covers their mean in 73 % of cases.
    `interval_name` says which of them it is.
    """
    from scipy import stats

    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or np.any(np.isnan(sample)):
        raise SpecError("An interval needs a sequence of numbers without NaN.")
    _check_level(level)
    if len(sample) < 2:
        return Interval(math.nan, math.nan)
    if np.ptp(sample) <= ROUNDING * float(np.abs(sample).max()):
        return Interval(float(sample[0]), float(sample[0]))
    if len(sample) < FEW:
        found = stats.t.interval(level, len(sample) - 1, loc=sample.mean(), scale=stats.sem(sample))
    else:
        # In batches, so that memory does not grow with the sample.
        batch = max(1, BLOCK // len(sample))
        found = stats.bootstrap(
            (sample,), np.mean, n_resamples=RESAMPLES, batch=batch, confidence_level=level, random_state=rng
        ).confidence_interval
    low, high = map(float, found)
    return Interval(low, high)


def half_width(values: Floats) -> Floats:
    """Half the 95 % t-interval of the mean over seeds, (seeds, points) to (points,); nothing of one seed."""
    from scipy import stats

    seeds = len(values)
    if seeds < 2:
        return np.zeros(values.shape[1])
    deviation: Floats = values.std(axis=0, ddof=1) / math.sqrt(seeds)
    return deviation * float(stats.t.ppf(0.975, seeds - 1))


def interval_name(samples: int) -> str:
    """What `mean_interval` makes of so many values, in words."""
    return f"95 % {'t-interval' if samples < FEW else 'bootstrap interval'}"


def binomial_interval(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """A confidence interval of a share, such as an accuracy on `trials` test images; both ends in [0, 1].

    It is close to the level on average (Wilson, JASA 1927).
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= trials or trials < 1:
        raise SpecError(f"A share needs 0 <= successes <= trials and a trial, but got {successes} of {trials}.")
    _check_level(level)
    found = binomtest(successes, trials).proportion_ci(level, "wilson")
    return Interval(float(found.low), float(found.high))


def chance(best: float, guess: Guess, metric: Metric, tries: int) -> str | None:
    """A sentence, if the best of so many tries is no better than guessing: within the interval of luck, if it has one.

    That of a share of `count` right answers is binomial: 95 % of searches of which every candidate guesses have a best
    that is not above its upper end.
    """
    bound, luck = guess.value, ""
    if guess.count is not None:
        from scipy.stats import binom

        share = min(1.0, guess.value / 100)
        bound = 100 * float(binom.isf(0.025 / max(1, tries), guess.count, share)) / guess.count
        luck = f", and by luck up to {bound:.4g} {metric.unit} in 95 % of searches by {guess.count} answers"
    if metric.sign * best > metric.sign * bound:
        return None
    return (
        f"The best {metric.title}, {best:.4g} {metric.unit}".rstrip()
        + f", is no better than guessing: one answer for all reaches {guess.value:.4g} {metric.unit}".rstrip()
        + f"{luck}. So the networks were not trained enough, or learn nothing."
    )


def paired_permutation_test(
    a: npt.ArrayLike, b: npt.ArrayLike, rng: np.random.Generator, *, permutations: int = 10_000
) -> float:
    """The two-sided p-value of "a and b are equally good", for values paired by seed.

    The sign of every difference is flipped at will, and the p-value is the share of flips whose mean difference is at
    least as large as the observed one: all flips for up to 14 pairs, else `permutations` random ones and the observed.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise SpecError(f"A paired test needs two values for every seed, but the shapes are {x.shape} and {y.shape}.")
    differences = x - y
    if np.any(np.isnan(differences)):
        raise SpecError("A paired test needs a value for every seed, but some are NaN.")
    # Sums of the same numbers in another order may differ in the last digits and are still equal.
    least = abs(float(differences.sum())) - 1e-9 * float(np.abs(differences).sum())
    if len(differences) <= EXACT_PAIRS:
        bits = np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences)) & 1
        return float(np.mean(np.abs((1 - 2 * bits) @ differences) >= least))
    rows = max(1, BLOCK // len(differences))
    extreme = 0
    for start in range(0, permutations, rows):
        signs = 1 - 2 * rng.integers(0, 2, (min(rows, permutations - start), len(differences)))
        extreme += int((np.abs(signs @ differences) >= least).sum())
    return (extreme + 1) / (permutations + 1)


def holm(p_values: npt.ArrayLike) -> Floats:
    """p-values of several tests, raised so that the chance of any false alarm stays below their level.

    The step-down method of Holm (Scandinavian Journal of Statistics, 1979), in the order of the input.
    """
    values = np.asarray(p_values, np.float64)
    if values.ndim != 1 or not np.all((values >= 0) & (values <= 1)):
        raise SpecError("p-values are a sequence of numbers in [0, 1].")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return adjusted


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise SpecError(f"A confidence level lies between 0 and 1, but got {level!r}.")
