"""The same strategies on several tables: ranks on each, mean ranks, and whether they differ by more than chance.

A table is one observation of every strategy, the mean over its seeds, as data sets are in Demsar, "Statistical
Comparisons of Classifiers over Multiple Data Sets", JMLR 2006. Seeds of one table are no further observations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.comparison import Comparison
from ogive.core.errors import SpecError
from ogive.metrics import holm

__all__ = ["Across", "Difference", "across"]

Floats = npt.NDArray[np.float64]

LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """Two strategies over all tables: the difference of mean ranks, and Wilcoxon's signed-rank test of the values."""

    first: str
    second: str
    ranks: float
    p_value: float
    adjusted_p_value: float


@dataclass(frozen=True)
class Across:
    """`means` (tables, strategies) of what is compared, their `ranks` in each row (1 is best, ties share), and tests.

    `friedman_p` is that of all strategies alike, None of fewer than three; `critical_difference` is Nemenyi's of mean
    ranks at 5 %, which two strategies have to differ by. `pairs` are adjusted by Holm.
    """

    tables: tuple[str, ...]
    strategies: tuple[str, ...]
    means: tuple[tuple[float, ...], ...]
    ranks: tuple[tuple[float, ...], ...]
    friedman_p: float | None
    critical_difference: float
    pairs: tuple[Difference, ...]

    @property
    def mean_ranks(self) -> dict[str, float]:
        """By strategy, the best first."""
        means = np.array(self.ranks).mean(axis=0).tolist()
        return dict(sorted(zip(self.strategies, means, strict=True), key=lambda one: one[1]))

    @property
    def verdict(self) -> str:
        """What the tests say, in one sentence."""
        best, *others = self.mean_ranks.items()
        behind = [name for name, rank in others if rank - best[1] >= self.critical_difference]
        alike = "" if self.friedman_p is None else f" (Friedman, all alike: p = {self.friedman_p:.4f})"
        if not behind or (self.friedman_p is not None and self.friedman_p >= LEVEL):
            return f"On {len(self.tables)} tables, no strategy is told from the best by its mean rank{alike}."
        return f"On {len(self.tables)} tables, {best[0]} ranks before {', '.join(behind)} by more than chance{alike}."

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON."""
        return {"schema": 1, **asdict(self), "mean_ranks": self.mean_ranks, "verdict": self.verdict}


def across(found: Mapping[str, Comparison]) -> Across:
    """Put comparisons together, by the names of their tables.

    SpecError for fewer than two, for strategies that differ, and where one of them found nothing with some seed.
    """
    if len(found) < 2:
        raise SpecError("Ranks are compared over at least two tables.")
    strategies = next(iter(found.values())).strategies
    for name, comparison in found.items():
        if set(comparison.strategies) != set(strategies):
            raise SpecError(f"Every table is searched by the same strategies, but {name} is by others.")
    losses = np.array([_losses(name, comparison, strategies) for name, comparison in found.items()])
    from scipy import stats

    ranks: Floats = np.apply_along_axis(stats.rankdata, 1, losses)
    means = [[_mean(comparison, strategy) for strategy in strategies] for comparison in found.values()]
    return Across(
        tuple(found),
        strategies,
        tuple(map(tuple, means)),
        tuple(map(tuple, ranks.tolist())),
        _friedman(losses),
        nemenyi(len(strategies), len(found)),
        _pairs(strategies, losses, ranks.mean(axis=0)),
    )


def nemenyi(strategies: int, tables: int, level: float = LEVEL) -> float:
    """The critical difference of mean ranks (Demsar 2006, section 3.2.2)."""
    from scipy import stats

    quantile = float(stats.studentized_range.ppf(1 - level, strategies, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(strategies * (strategies + 1) / (6 * tables))


def _mean(comparison: Comparison, strategy: str) -> float:
    return float(np.mean([getattr(outcome, comparison.value) for outcome in comparison.of(strategy)]))


def _losses(name: str, comparison: Comparison, strategies: tuple[str, ...]) -> list[float]:
    """Means of which smaller are better."""
    smaller = comparison.minimized
    if comparison.value == "reported" and comparison.reported is not None:
        smaller = comparison.reported.better == "smaller"
    values = [_mean(comparison, strategy) * (1 if smaller else -1) for strategy in strategies]
    if not all(map(math.isfinite, values)):
        raise SpecError(f"A strategy found nothing in {name} with some seed, so that it has no rank there.")
    return values


def _friedman(losses: Floats) -> float | None:
    from scipy import stats

    if losses.shape[1] < 3:
        return None
    if (losses == losses[:, :1]).all():  # nothing to tell apart
        return 1.0
    return float(stats.friedmanchisquare(*losses.T).pvalue)


def _pairs(strategies: tuple[str, ...], losses: Floats, ranks: Floats) -> tuple[Difference, ...]:
    from scipy import stats

    rows = []
    for first, second in itertools.combinations(range(len(strategies)), 2):
        difference = losses[:, first] - losses[:, second]
        p_value = 1.0 if not difference.any() else float(stats.wilcoxon(difference, method="auto").pvalue)
        rows.append((strategies[first], strategies[second], float(ranks[first] - ranks[second]), p_value))
    adjusted = holm([p_value for *_, p_value in rows]).tolist()
    return tuple(Difference(*row, raised) for row, raised in zip(rows, adjusted, strict=True))
