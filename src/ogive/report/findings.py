"""What the page says, worked out from run folders: the winner, curves, fronts, rank agreement, failures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, StoreError
from ogive.core.trial import Trial
from ogive.metrics import (
    Interval,
    anytime,
    binomial_interval,
    hypervolume,
    kendall_tau,
    non_dominated,
)
from ogive.report.wording import metric_order
from ogive.runs import Run

__all__ = [
    "Agreement",
    "Curve",
    "Shown",
    "Winner",
    "agreement",
    "best_metric_so_far",
    "best_so_far",
    "by_strategy",
    "comparable",
    "failure_reasons",
    "front",
    "hypervolume_so_far",
    "incumbent_metric",
    "lead",
    "metric_names",
    "objective_of",
    "pareto_trials",
    "quality_metric",
    "score",
    "shown",
    "winner",
    "worst_scores",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shown:
    """One run with the short names under which the page speaks of it."""

    run: Run
    tag: str
    colour: int

    @property
    def config(self) -> dict[str, Any]:
        """The settings, from run.json."""
        return self.run.config

    @property
    def strategy(self) -> str:
        """The strategy as it was written, such as "evolution(population=50)"."""
        return str(self.config.get("strategy", "unknown strategy"))

    @property
    def found_by(self) -> str:
        """The strategy in a sentence."""
        return "random search" if self.strategy == "random" else self.strategy

    @property
    def is_random(self) -> bool:
        """Whether the strategy is random search."""
        return self.strategy.startswith("random")

    @property
    def compared(self) -> bool:
        """Whether it is one of the searches of `ogive compare`, which have no command of their own."""
        return self.config.get("role") == "compare"

    @property
    def seed(self) -> str:
        """The root seed."""
        return str(self.config.get("seed", "unknown"))

    @property
    def world(self) -> str | None:
        """Among what was searched, where that is not the whole space: "closed world of 30,001 rows"."""
        found = self.config.get("world")
        return None if found is None else str(found)

    @property
    def label(self) -> str:
        """Strategy, seed and tag."""
        return f"{self.strategy}, seed {self.seed} [{self.tag}]"

    @property
    def objectives(self) -> list[str]:
        """The objectives as they were written."""
        given = self.config.get("objectives")
        return [str(objective) for objective in given] if isinstance(given, list) else []

    @cached_property
    def evaluated(self) -> list[Trial]:
        """The trials that cost budget: all but the screened-out ones."""
        return self.run.evaluated

    @cached_property
    def working(self) -> list[Trial]:
        """The trials that were measured without an error."""
        return [trial for trial in self.evaluated if trial.scores is not None]

    def count(self, status: str) -> int:
        """How many trials have this status."""
        return sum(trial.status == status for trial in self.run.trials)

    def best(self, objective: int = 0) -> Trial | None:
        """The first trial with the largest score."""
        return max(self.working, key=lambda trial: score(trial, objective), default=None)


@dataclass(frozen=True, slots=True)
class Curve:
    """A value after every evaluated trial of one run, on three clocks; NaN while there is none."""

    trials: Floats
    wall_s: Floats
    benchmark_s: Floats
    values: Floats


@dataclass(frozen=True)
class Winner:
    """The architecture that the page puts first, and what is known about it."""

    shown: Shown
    arch: Architecture
    trial: Trial | None
    # artifacts/winner.json; empty before the winner has been trained in full.
    final: Mapping[str, Any]

    @property
    def trained(self) -> bool:
        """Whether it has been trained in full and tested."""
        return bool(self.final)

    def value(self, name: str) -> float | None:
        """A measured number: that of the full training where there is one, else that of the trial."""
        for source in (self.final, self.trial.metrics if self.trial else {}):
            found = source.get(name)
            if isinstance(found, (int, float)) and not isinstance(found, bool):
                return float(found)
        return None

    def latency_ends(self) -> tuple[float, float] | None:
        """The 10th and 90th percentiles that belong to the latency, in milliseconds."""
        found = self.final.get("latency")
        source: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        names = ("p10_ms", "p90_ms")
        if "latency_ms" not in self.final and self.trial is not None:
            source, names = self.trial.metrics, ("latency_p10_ms", "latency_p90_ms")
        low, high = (source.get(name) for name in names)
        return (float(low), float(high)) if isinstance(low, (int, float)) and isinstance(high, (int, float)) else None

    def test_interval(self) -> tuple[int, int, Interval] | None:
        """Right answers, test images and the 95 % interval of the test accuracy in per cent."""
        right, images = self.final.get("test_correct"), self.final.get("test_images")
        if not isinstance(right, int) or not isinstance(images, int) or not 0 <= right <= images or images < 1:
            return None
        low, high = binomial_interval(right, images)
        return right, images, Interval(100 * low, 100 * high)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a cheap score ranks the accuracies of trained candidates."""

    metric: str
    tau: float
    trials: list[tuple[Shown, Trial]]


# -- runs -------------------------------------------------------------------------------------------------------------


def shown(runs: Sequence[Run]) -> list[Shown]:
    """The runs with tags A, B, ... and one colour a strategy; random search has colour 0, whatever its place."""
    strategies: dict[str, int] = {}
    found = []
    for rank, run in enumerate(runs):
        fresh = Shown(run, _letters(rank), 0)
        colour = 0 if fresh.is_random else strategies.setdefault(fresh.strategy, len(strategies) + 1)
        found.append(Shown(run, fresh.tag, colour))
    return found


def comparable(runs: Sequence[Shown]) -> list[Shown]:
    """The runs with the objectives of the first that is no random search: only their scores can be compared."""
    first = next((one for one in runs if not one.is_random), runs[0])
    return [one for one in runs if one.objectives == first.objectives]


def lead(runs: Sequence[Shown]) -> Shown:
    """The run whose winner is the answer: the comparable one with the best score, random search not excepted.

    A run whose winner was trained in full goes before one whose winner was not.
    """
    return max(comparable(runs), key=lambda one: (_winner_file(one) != {}, _best_score(one), not one.is_random))


def by_strategy(runs: Iterable[Shown]) -> dict[str, list[Shown]]:
    """The runs of every strategy, in their order."""
    groups: dict[str, list[Shown]] = {}
    for one in runs:
        groups.setdefault(one.strategy, []).append(one)
    return groups


def objective_of(one: Shown) -> str:
    """The first objective of a run as it was written."""
    return one.objectives[0] if one.objectives else "the objective"


def winner(one: Shown) -> Winner | None:
    """The winner of a run; None if nothing has worked yet. Raises StoreError for a damaged winner.json."""
    final = _winner_file(one)
    if not final:
        best = one.best()
        return None if best is None else Winner(one, best.arch, best, {})
    path = one.run.artifacts / "winner.json"
    try:
        arch = Architecture.parse(str(final.get("arch")))
    except InvalidArchitecture as error:
        raise StoreError(f"{path} is damaged ({error}); delete it and train the winner again.") from error
    by_number = (trial for trial in one.run.trials if trial.number == final.get("trial"))
    by_arch = (trial for trial in one.working if trial.arch == arch)
    return Winner(one, arch, next(by_number, None) or next(by_arch, None), final)


def _winner_file(one: Shown) -> dict[str, Any]:
    path = one.run.artifacts / "winner.json"
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); delete it and train the winner again.") from error
    if not isinstance(found, dict):
        raise StoreError(f"{path} must hold a JSON object; delete it and train the winner again.")
    return found


def _best_score(one: Shown) -> float:
    best = one.best()
    return -np.inf if best is None else score(best)


def _letters(rank: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    text = ""
    while rank >= 0:
        text = chr(ord("A") + rank % 26) + text
        rank = rank // 26 - 1
    return text


# -- numbers ----------------------------------------------------------------------------------------------------------


def score(trial: Trial, objective: int = 0) -> float:
    """One score of a working trial; minus infinity for the others."""
    return trial.scores[objective] if trial.scores is not None and objective < len(trial.scores) else -np.inf


def best_so_far(one: Shown, objective: int = 0) -> Curve:
    """The best score so far."""
    return _curve(one, anytime([score(trial, objective) for trial in one.evaluated]))


def best_metric_so_far(one: Shown, metric: str) -> Curve:
    """The best value of a metric so far, whatever the objective."""
    return _curve(one, anytime([trial.metrics.get(metric) for trial in one.working], None), one.working)


def incumbent_metric(one: Shown, metric: str) -> Curve:
    """A metric (a test accuracy, say) of the trial that has the best first score so far."""
    report = [trial.metrics.get(metric, np.nan) for trial in one.evaluated]
    return _curve(one, anytime([score(trial) for trial in one.evaluated], report))


def hypervolume_so_far(one: Shown, corner: Sequence[float]) -> Curve:
    """The volume that the scores so far dominate above `corner`, for searches with several objectives."""
    edge = np.empty((0, len(corner)))
    volume, values = 0.0, []
    for trial in one.evaluated:
        point = None if trial.scores is None or len(trial.scores) != len(corner) else np.array(trial.scores)
        if point is not None and not np.any(np.all(edge >= point, axis=1)):
            edge = np.vstack([edge[~np.all(edge <= point, axis=1)], point])
            volume = hypervolume(edge, corner)
        values.append(volume)
    return _curve(one, np.array(values, np.float64))


def worst_scores(runs: Sequence[Shown], objectives: int) -> list[float]:
    """The smallest score of every objective over all runs: the corner above which hypervolumes are taken."""
    rows = [trial.scores for one in runs for trial in one.working if trial.scores and len(trial.scores) == objectives]
    return [float(value) for value in np.min(rows, axis=0)] if rows else []


def _curve(one: Shown, values: Floats, trials: Sequence[Trial] | None = None) -> Curve:
    """`values` belong to `trials`, by default the evaluated ones; clocks run over all records."""
    chosen = {trial.number for trial in (one.evaluated if trials is None else trials)}
    count, benchmark, rows = 0, 0.0, []
    for record in one.run.records:
        count += record.trial.status != "screened"
        benchmark += record.trial.cost.benchmark_s
        if record.trial.number in chosen:
            rows.append((count, record.at_s, benchmark))
    clocks = np.array(rows, np.float64).reshape(-1, 3)
    return Curve(clocks[:, 0], clocks[:, 1], clocks[:, 2], np.where(np.isfinite(values), values, np.nan))


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the points (cost, quality) that no other beats: less cost is better, more quality is better.

    In ascending order of cost; of equal points the first only.
    """
    if not points:
        return []
    array = np.array([(-cost, quality) for cost, quality in points], np.float64)
    kept = [int(position) for position in np.flatnonzero(non_dominated(array))]
    first = {points[position]: position for position in reversed(kept)}
    return sorted(first.values(), key=lambda position: points[position])


def pareto_trials(runs: Sequence[Shown]) -> list[tuple[Shown, Trial]]:
    """The trials of comparable runs that no other beats in all objectives, the best in the first one first."""
    measured = [(one, trial) for one in comparable(runs) for trial in one.working]
    if not measured:
        return []
    kept = np.flatnonzero(non_dominated(np.array([trial.scores for _, trial in measured], np.float64)))
    return sorted((measured[position] for position in kept), key=lambda pair: -score(pair[1]))


def quality_metric(runs: Sequence[Shown]) -> str | None:
    """The accuracy that was measured, or None."""
    names = {name for one in runs for trial in one.working for name in trial.metrics if not name.startswith("test_")}
    return "val_acc" if "val_acc" in names else min((name for name in names if name.endswith("_acc")), default=None)


def metric_names(runs: Sequence[Shown]) -> list[str]:
    """Names of all metrics of working trials, the most telling first."""
    return sorted({name for one in runs for trial in one.working for name in trial.metrics}, key=metric_order)


def agreement(runs: Sequence[Shown], metric: str, quality: str) -> Agreement:
    """Kendall's tau-b of a metric and the accuracy over the distinct architectures that have both."""
    pairs: dict[Architecture, tuple[Shown, Trial]] = {}
    for one in runs:
        for trial in one.working:
            if metric in trial.metrics and quality in trial.metrics:
                pairs.setdefault(trial.arch, (one, trial))
    trials = list(pairs.values())
    values = [(trial.metrics[metric], trial.metrics[quality]) for _, trial in trials]
    tau = kendall_tau([first for first, _ in values], [second for _, second in values])
    return Agreement(metric, tau, trials)


def failure_reasons(runs: Iterable[Shown]) -> list[tuple[str, list[tuple[Shown, Trial]]]]:
    """Reasons of failed trials, the most frequent first, with the trials that gave them."""
    reasons: dict[str, list[tuple[Shown, Trial]]] = {}
    for one in runs:
        for trial in one.run.trials:
            if trial.status == "failed":
                reasons.setdefault(trial.measurement.error or "no reason recorded", []).append((one, trial))
    return sorted(reasons.items(), key=lambda reason: -len(reason[1]))
