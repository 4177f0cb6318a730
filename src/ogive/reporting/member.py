"""What one run says, read once from its folder: its objectives, metrics and trials as the page speaks of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.catalog import build
from ogive.choice import Chosen
from ogive.core.architecture import Architecture
from ogive.core.capabilities import Answer
from ogive.core.errors import OgiveError, SpecError, StoreError
from ogive.core.metric import LATENCY, LATENCY_SPREAD, Metric, metrics_from, of_part, of_version_1
from ogive.core.objective import Maximize, Minimize
from ogive.core.space import SearchSpace
from ogive.core.trial import Trial
from ogive.looks import Look, looks_at_test
from ogive.metrics import Interval, binomial_interval
from ogive.reporting.markup import Sought
from ogive.runs import Run
from ogive.trained_networks import TrainedNetwork, network_of, trained_networks, way_to_train

__all__ = ["Floats", "Member", "Winner", "by_strategy", "member_of", "score", "spaces_of", "winner_of"]

Floats = npt.NDArray[np.float64]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Member:
    """One run of a page.

    `strategy` is as it was written, such as "evolution(population=50)", `world` among what was searched where that is
    not the whole space, such as "closed world of 30,001 rows". `metrics` are the records of what it measured, better as
    they were sought; `sought` its objectives, at least one; `evaluated` the trials that cost budget, `working` those
    without an error, `choice` the best of them and by which rule; `answer` says whether the search answers with that
    or with its last. `clocks` tell candidates, seconds of searching and seconds by the table's clock after each
    evaluated trial. `networks` are those that were trained in full, `looks` the looks at the test set.
    """

    run: Run
    tag: str
    colour: int
    space: SearchSpace | None
    strategy: str
    seed: str
    world: str | None
    metrics: Mapping[str, Metric]
    sought: tuple[Sought, ...]
    evaluated: tuple[Trial, ...]
    working: tuple[Trial, ...]
    choice: Chosen
    answer: Answer
    clocks: Mapping[str, Floats]
    networks: tuple[TrainedNetwork, ...]
    looks: tuple[Look, ...]

    @property
    def network(self) -> TrainedNetwork | None:
        """The trained network of the best trial, as it is today; None where that is not trained in full."""
        return network_of(self.networks, self.best)

    @property
    def final(self) -> Mapping[str, Any]:
        """The figures of that network; nothing before it is trained."""
        return {} if self.network is None else self.network.facts

    @property
    def way_to_train(self) -> str:
        """The command that trains the best trial, which is told by its number where the run's own is another one."""
        own = self.best is None or self.run.choice.trial == self.best
        return way_to_train(self.run, None if own or self.best is None else self.best.number)

    @property
    def config(self) -> dict[str, Any]:
        """The settings, from run.json, under the last budget that was granted."""
        granted = self.run.granted
        return self.run.config if granted is None else {**self.run.config, "budget": granted}

    @property
    def optima(self) -> Mapping[str, float]:
        """The best values that there are of what it measured, where they are known."""
        found: Mapping[str, float] = self.run.config.get("optima") or {}
        return found

    @property
    def best(self) -> Trial | None:
        """The best trial by the rule of the run; None if there is none."""
        return self.choice.trial

    @property
    def final_best(self) -> Trial | None:
        """The best trial, with its latency as it was measured last."""
        return None if self.best is None else self.run.final(self.best)

    @property
    def is_random(self) -> bool:
        """Whether the strategy is random search."""
        return self.strategy.startswith("random")

    @property
    def found_by(self) -> str:
        """The strategy in a sentence."""
        return "random search" if self.strategy == "random" else self.strategy

    @property
    def compared(self) -> bool:
        """Whether it is one of the searches of `ogive compare`."""
        return self.config.get("role") == "compare"

    @property
    def label(self) -> str:
        """Strategy, seed and tag."""
        return f"{self.strategy}, seed {self.seed} [{self.tag}]"

    @property
    def objectives(self) -> list[str]:
        """The objectives as they were written."""
        return [sought.written for sought in self.sought]

    def count(self, status: str) -> int:
        """How many trials have this status."""
        return sum(trial.status == status for trial in self.run.trials)


@dataclass(frozen=True, eq=False)
class Winner:
    """The trial that a page puts first, and every number that is known about it.

    `values` are those of the full training where there is one, else those of the trial. `test_interval` holds right
    answers, test images and the 95 % interval of their share in per cent, `latency_ends` the 10th and 90th percentiles
    that belong to the latency, in milliseconds.
    """

    one: Member
    trial: Trial
    values: Mapping[str, float]
    metrics: Mapping[str, Metric]
    test_interval: tuple[int, int, Interval] | None
    latency_ends: tuple[float, float] | None

    @property
    def arch(self) -> Architecture:
        """Its architecture."""
        return self.trial.arch

    @property
    def final_trial(self) -> Trial:
        """Its trial, with its latency as it was measured last, by which it was chosen."""
        return self.one.run.final(self.trial)

    @property
    def trained(self) -> bool:
        """Whether it has been trained in full and tested."""
        return bool(self.one.final)

    @property
    def test_kind(self) -> str:
        """What it was tested on, in the plural: "images" or "rows"."""
        return str(self.one.final.get("test_kind", "images"))

    @property
    def tests(self) -> list[Metric]:
        """What was measured of it on a test set."""
        return [metric for metric in self.metrics.values() if metric.reported]


def spaces_of(written: Iterable[str]) -> dict[str, SearchSpace]:
    """The spaces that are known here, by what was written for them."""
    found = {}
    for text in dict.fromkeys(written):
        try:
            found[text] = build("space", text)
        except OgiveError as error:
            logger.warning("No pictures of %s: %s", text, error)
    return found


def member_of(run: Run, tag: str = "A", colour: int = 0, space: SearchSpace | None = None) -> Member:
    """The facts of a run. Raises StoreError for the record of a trained network that cannot be read."""
    config, records = run.config, run.metrics
    sought = _sought(run, records)
    wanted = {one.metric.name: one.metric for one in sought if one.metric is not None}
    plain = {name: replace(metric, better="smaller") if metric.spent else metric for name, metric in records.items()}
    evaluated = tuple(run.evaluated)
    working = tuple(trial for trial in evaluated if trial.scores is not None)
    return Member(
        run=run,
        tag=tag,
        colour=colour,
        space=space,
        strategy=str(config.get("strategy", "unknown strategy")),
        seed=str(config.get("seed", "unknown")),
        world=None if config.get("world") is None else str(config["world"]),
        metrics=plain | wanted,
        sought=sought,
        evaluated=evaluated,
        working=working,
        choice=run.choice,
        answer=run.answer,
        clocks=_clocks(run),
        networks=tuple(trained_networks(run)),
        looks=tuple(looks_at_test(run.folder)),
    )


def by_strategy(runs: Iterable[Member]) -> dict[str, list[Member]]:
    """The runs of every strategy, in their order."""
    groups: dict[str, list[Member]] = {}
    for one in runs:
        groups.setdefault(one.strategy, []).append(one)
    return groups


def score(trial: Trial | None, objective: int = 0) -> float:
    """One score of a working trial; minus infinity for the others."""
    scores = () if trial is None or trial.scores is None else trial.scores
    return scores[objective] if objective < len(scores) else -np.inf


def _sought(run: Run, metrics: Mapping[str, Metric]) -> tuple[Sought, ...]:
    return tuple(_read(text, metrics) for text in run.objectives or ["the objective"])


def _read(written: str, metrics: Mapping[str, Metric]) -> Sought:
    """The objective that was written, with its metric in the direction that was sought."""
    try:
        objective = build("objective", written)
    except OgiveError:  # an objective of somebody's own, named as they like
        return Sought(written)
    if not isinstance(objective, (Maximize, Minimize)):
        return Sought(written, None, tuple(objective.needs))
    metric = of_part(objective.metric, metrics.values())
    return Sought(
        written, replace(metric, better="larger" if isinstance(objective, Maximize) else "smaller"), objective.needs
    )


def _clocks(run: Run) -> dict[str, Floats]:
    """The clocks by the numbers of trials, which several workers may have finished in another order."""
    benchmark = wall = 0.0
    rows: list[tuple[float, float, float]] = []
    for record in sorted(run.records, key=lambda record: record.trial.number):
        benchmark += record.trial.cost.benchmark_s
        wall = max(wall, record.at_s)
        if record.trial.status != "screened":
            rows.append((len(rows) + 1, wall, benchmark))
    clocks = np.array(rows, np.float64).reshape(-1, 3)
    return {name: clocks[:, place] for place, name in enumerate(("trials", "wall_s", "benchmark_s"))}


# -- the winner -------------------------------------------------------------------------------------------------------


def winner_of(one: Member) -> Winner | None:
    """The winner of a run, its best trial as it is today; None if there is none.

    Raises StoreError for a damaged record of its full training.
    """
    if one.best is None:
        return None
    try:
        measured = {metric.name: metric for metric in _final_metrics(one.final)} if one.final else {}
    except (SpecError, TypeError) as error:
        place = None if one.network is None else one.network.record
        raise StoreError(f"{place} is damaged ({error}); delete it and train again: {one.way_to_train}") from error
    searched = one.best.metrics
    values = {**searched, **{name: float(one.final[name]) for name in measured if _is_number(one.final.get(name))}}
    known = {**one.metrics, **{name: metric for name, metric in measured.items() if name not in one.metrics}}
    metrics = {name: known.get(name) or of_part(name, known.values()) for name in [*known, *values] if name in values}
    ends = _latency_ends(one.final, searched)
    return Winner(one, one.best, values, metrics, _test_interval(one.final), ends)


def _final_metrics(final: Mapping[str, Any]) -> tuple[Metric, ...]:
    """What a winner's training measured; of version 0.1, which stored no records, the names that it knew."""
    if "metrics" in final:
        return metrics_from(final["metrics"])
    return tuple(metric for metric in map(of_version_1, final) if metric.words)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _test_interval(final: Mapping[str, Any]) -> tuple[int, int, Interval] | None:
    right, images = final.get("test_correct"), final.get("test_images")
    if not isinstance(right, int) or not isinstance(images, int) or not 0 <= right <= images or images < 1:
        return None
    low, high = binomial_interval(right, images)
    return right, images, Interval(100 * low, 100 * high)


def _latency_ends(final: Mapping[str, Any], searched: Mapping[str, float]) -> tuple[float, float] | None:
    found = final.get("latency")
    ends = [found.get("p10_ms"), found.get("p90_ms")] if isinstance(found, Mapping) else [None, None]
    if LATENCY.name not in final:
        ends = [searched.get(metric.name) for metric in LATENCY_SPREAD[:2]]
    low, high = ends
    return (float(low), float(high)) if isinstance(low, (int, float)) and isinstance(high, (int, float)) else None
