"""What each strategy reached after the number of evaluated candidates that all runs have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ogive.core.rng import Seed
from ogive.metrics import Interval, bootstrap_interval
from ogive.report.findings import Shown, best_so_far, comparable, hypervolume_so_far, objective_of, worst_scores
from ogive.report.objectives import Goal, goal

__all__ = ["ENOUGH_SEEDS", "HYPERVOLUME", "Standing", "measure", "standings"]

# Below so many seeds of a strategy the page calls its curves an anecdote.
ENOUGH_SEEDS = 5

HYPERVOLUME = "hypervolume above the worst scores"


@dataclass(frozen=True, slots=True)
class Standing:
    """What one strategy reached after the number of trials that all runs have: scores, so larger is better."""

    strategy: str
    seeds: int
    trials: int
    mean: float
    low: float
    high: float
    interval: Interval | None


def measure(runs: Sequence[Shown]) -> Goal:
    """What strategies are compared by: the objective, or with several of them the hypervolume."""
    first = comparable(runs)[0]
    several = len(first.objectives) > 1 and worst_scores([first], len(first.objectives))
    return Goal(HYPERVOLUME) if several else goal(objective_of(first))


def standings(runs: Sequence[Shown]) -> list[Standing]:
    """Every strategy of comparable runs after the smallest number of trials that any of them has, best mean first.

    Means over seeds; their 95 % bootstrap interval only from five seeds on, for fewer say nothing about the spread.
    """
    runs = comparable(runs)
    corner = worst_scores(runs, len(runs[0].objectives))
    several = measure(runs) == Goal(HYPERVOLUME)
    least = min(len(one.evaluated) for one in runs)
    reached: dict[str, list[float]] = {}
    for one in runs:
        curve = hypervolume_so_far(one, corner) if several else best_so_far(one)
        values = curve.values[:least]
        if len(values) and np.isfinite(values[-1]):
            reached.setdefault(one.strategy, []).append(float(values[-1]))
    found = []
    for strategy, values_ in reached.items():
        enough = len(values_) >= ENOUGH_SEEDS
        rng = Seed(0).numpy(f"report/{strategy}")
        interval = bootstrap_interval(values_, rng) if enough else None
        mean = float(np.mean(values_))
        found.append(Standing(strategy, len(values_), least, mean, min(values_), max(values_), interval))
    return sorted(found, key=lambda standing: -standing.mean)
