"""Honest comparison of strategies: equal budgets, equal seeds, random search always among them."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.choice import KNEE, choose, highest, limits_of
from ogive.core.capabilities import Answer, Populated, answer_of, walk
from ogive.core.errors import SpecError
from ogive.core.metric import Metric, decimals, metric_named
from ogive.core.objective import Minimize, best_of
from ogive.core.trial import Trial, counted
from ogive.executors import at_work, workers_of
from ogive.metrics import (
    Interval,
    anytime,
    hypervolume,
    interval_name,
    ranked_by_fidelity,
)
from ogive.objects import Understood, told
from ogive.paired import Pair, interval_of, pairs_of
from ogive.runs import HOLD, read_run
from ogive.session import (
    Maker,
    Parts,
    Settings,
    is_maker,
    optimum_of,
    projections,
    ran,
    refuse_other_settings,
    resume,
    settings_of,
    stored,
    threads_of,
    unfinished,
    unrepeatable,
)
from ogive.spec import parse

__all__ = ["Comparison", "Outcome", "Row", "check", "compare", "slug"]

SEEDS_MOST = 100_000  # every search is kept, and its curve drawn

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What one strategy found with one seed.

    `score` is the value of the objective that the search answers with: its best, or that of its last trial where the
    strategy says so; of a metric that is minimised its own value (with several objectives: the hypervolume of the
    front). `reported` is the test accuracy of that architecture where it is known. `curve` and `reported_curve` hold
    the same after every evaluated trial, `benchmark_s` the seconds by the tables' clock. NaN where nothing worked.
    """

    strategy: str
    seed: int
    score: float
    reported: float
    curve: tuple[float, ...]
    reported_curve: tuple[float, ...]
    failed: int
    arch: str | None
    projections: int = 0
    benchmark_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Row:
    """One strategy over all seeds: means, 95 % intervals of the means, and mean regrets where known."""

    strategy: str
    seeds: int
    score: float
    score_interval: Interval
    score_regret: float | None
    reported: float | None
    reported_interval: Interval | None
    reported_regret: float | None
    failed: int


@dataclass(frozen=True, repr=False)
class Comparison:
    """All outcomes of a comparison and what follows from them.

    `reported` is what is reported of the architecture that a search would answer with: the first metric of the test set
    that the evaluator records, if any. `world` says within what the regrets are, where that is not the whole space:
    "closed world of 30,001 rows". Of the score smaller is better if `minimized`.
    """

    settings: Settings
    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    outcomes: tuple[Outcome, ...]
    score_optimum: float | None
    reported_optimum: float | None
    notes: tuple[str, ...] = ()
    world: str | None = None
    reported: Metric | None = None
    minimized: bool = False

    @property
    def rule(self) -> str:
        """By what a search that answers with its best architecture chooses it."""
        return choose((), self.settings.objectives, limits_of(self.settings.prefer)).rule

    @property
    def value(self) -> str:
        """What the strategies are compared by: the test accuracy if it is known, otherwise the objective."""
        known = all(math.isfinite(outcome.reported) for outcome in self.outcomes)
        return "reported" if known else "score"

    @property
    def interval_name(self) -> str:
        """What the intervals are, in words."""
        return interval_name(len(self.seeds))

    def of(self, strategy: str) -> list[Outcome]:
        """The outcomes of one strategy, by seed."""
        return sorted((o for o in self.outcomes if o.strategy == strategy), key=lambda o: o.seed)

    def rows(self) -> list[Row]:
        """One row a strategy, the best first; one that found nothing with some seed comes last."""
        return list(self._rows)

    @cached_property
    def _rows(self) -> tuple[Row, ...]:
        """Made once: the page and each table of a folder ask for them, and their intervals take a while."""
        shown = {strategy: float(self._values(strategy, self.value).mean()) for strategy in self.strategies}
        sign = self._sign(self.value)
        best_first = sorted(shown, key=lambda strategy: (math.isnan(shown[strategy]), -sign * shown[strategy]))
        return tuple(self._row(strategy) for strategy in best_first)

    def pairs(self) -> list[Pair]:
        """Every two strategies, with Holm's correction for the number of pairs."""
        return list(self._pairs)

    @cached_property
    def _pairs(self) -> tuple[Pair, ...]:
        values = {row.strategy: self._values(row.strategy, self.value) for row in self.rows()}
        return tuple(pairs_of(values, self.settings.seed, self.value))

    @property
    def headline(self) -> str:
        """The words for what the strategies are compared by, and on how many searches."""
        reported = self.value == "reported" and self.reported is not None
        what = self.reported.title if reported and self.reported is not None else ", ".join(self.settings.objectives)
        seeds = counted(len(self.seeds), "seed")
        return f"{what} after {self.settings.budget}, {seeds}, mean and {self.interval_name}"

    def __repr__(self) -> str:
        rows = [(row.strategy, *self.told(row)) for row in self.rows()]
        width = max(len(name) for name, *_ in rows)
        return "\n".join([self.headline, *(f"  {name:{width}}  {mean}  {interval}" for name, mean, interval in rows)])

    def told(self, row: Row) -> tuple[str, str]:
        """The mean of a strategy in what they are compared by, and its interval, as text."""
        reported = self.value == "reported" and row.reported is not None
        mean, interval = (row.reported, row.reported_interval) if reported else (row.score, row.score_interval)
        known = mean is not None and interval is not None and not math.isnan(interval.low)
        digits = decimals([mean])
        ends = f"[{interval.low:,.{digits}f}, {interval.high:,.{digits}f}]" if known and interval is not None else "[–]"
        return "–" if mean is None or math.isnan(mean) else f"{mean:,.{digits}f}", ends

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON; NaN becomes null."""
        body = {
            "schema": 1,
            "settings": self.settings.config(),
            "rule": self.rule,
            "world": self.world,
            "seeds": list(self.seeds),
            "interval": self.interval_name,
            "reported": None if self.reported is None else self.reported.to_json(),
            "optimum": {"score": self.score_optimum, "reported": self.reported_optimum},
            "rows": [asdict(row) for row in self.rows()],
            "pairs": [asdict(pair) for pair in self.pairs()],
            "notes": list(self.notes),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
        }
        plain: dict[str, Any] = _without_nan(body)
        return plain

    def _row(self, strategy: str) -> Row:
        score, reported = self._values(strategy, "score"), self._values(strategy, "reported")
        known = not np.isnan(reported).any()
        mean = float(reported.mean()) if known else None
        return Row(
            strategy,
            len(score),
            float(score.mean()),
            self._interval(score, f"score {strategy}"),
            None if self.score_optimum is None else self._sign("score") * (self.score_optimum - float(score.mean())),
            mean,
            self._interval(reported, f"reported {strategy}") if known else None,
            None
            if self.reported_optimum is None or mean is None
            else self._sign("reported") * (self.reported_optimum - mean),
            sum(outcome.failed for outcome in self.of(strategy)),
        )

    def _sign(self, value: str) -> float:
        """1 where larger values are better, -1 where smaller ones are."""
        if value == "score":
            return -1.0 if self.minimized else 1.0
        return 1.0 if self.reported is None else self.reported.sign

    def _values(self, strategy: str, value: str) -> Floats:
        return np.array([getattr(outcome, value) for outcome in self.of(strategy)], np.float64)

    def _interval(self, values: Floats, name: str) -> Interval:
        return interval_of(values, self.settings.seed, name)


def compare(
    strategies: Sequence[str | Maker],
    wanted: Settings | Understood,
    *,
    seeds: int,
    workers: int | str = 1,
    folder: Path | None = None,
    command: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    checked: tuple[dict[str, Parts], tuple[str, ...]] | None = None,
) -> Comparison:
    """Run every strategy, and random search, with the seeds ``settings.seed`` to ``settings.seed + seeds - 1``.

    `wanted` is a search without its strategy: settings, or these with parts that are objects. Searches are spread over
    `workers` processes, each of them serial, so that the number of workers never changes a result. With `folder`, every
    search is a run folder in it, which keeps the `command` that was given; runs that are there already are completed,
    not repeated. `checked` is what `check` returned, where that was asked before.
    """
    wanted = wanted if isinstance(wanted, Understood) else Understood(wanted, {})
    everybody, notes = checked or check(strategies, wanted, seeds=seeds, workers=workers)
    parts = next(iter(everybody.values()))
    settings = replace(wanted.settings, objectives=parts.written)
    names, makers = list(everybody), {told(one): one for one in strategies if is_maker(one)}
    reported = next((metric for metric in parts.evaluator.metrics if metric.reported), None)
    threads = threads_of(settings, workers_of(workers))
    jobs = [
        replace(settings, strategy=name, seed=settings.seed + offset, workers=1, threads=threads)
        for offset in range(seeds)
        for name in names
    ]
    searches = [_by(wanted, job, makers) for job in jobs]
    histories: list[list[Trial]] = [[] for _ in jobs]
    projected = [0 for _ in jobs]
    for done, (index, (trials, count)) in enumerate(_searched(searches, folder, workers, command), start=1):
        histories[index], projected[index] = trials, count
        if progress is not None:
            progress(done, len(jobs))
    reference = _reference(histories) if len(settings.objectives) > 1 else None
    minimized = reference is None and isinstance(parts.objectives[0], Minimize)
    answers = {name: answer_of(one.strategy) for name, one in everybody.items()}
    outcomes = tuple(
        replace(
            _outcome(job, trials, answers[job.strategy], reference, reported, -1.0 if minimized else 1.0),
            projections=projections,
        )
        for job, trials, projections in zip(jobs, histories, projected, strict=True)
    )
    return Comparison(
        settings,
        tuple(names),
        tuple(range(settings.seed, settings.seed + seeds)),
        outcomes,
        _score_optimum(parts, settings.where + settings.prefer),
        None if reported is None or settings.where or settings.prefer else optimum_of(parts.evaluator, reported),
        notes,
        parts.world,
        reported,
        minimized,
    )


def _score_optimum(parts: Parts, within: Sequence[str]) -> float | None:
    """The best value that there is, where the one objective is a metric that is sought in its own direction.

    Of what keeps to limits it is not known.
    """
    if len(parts.objectives) > 1 or within:
        return None
    metric = metric_named(parts.evaluator.metrics, parts.objectives[0].needs[0])
    if parts.objectives[0] != best_of(metric):
        return None
    return optimum_of(parts.evaluator, metric)


def _by(wanted: Understood, settings: Settings, makers: Mapping[str, str | Maker]) -> Understood:
    """One of the searches: the same parts, and its strategy."""
    maker = makers.get(settings.strategy)
    given = {name: part for name, part in wanted.given.items() if name != "strategy"}
    return replace(wanted, settings=settings, given=given if maker is None else {**given, "strategy": maker})


def check(
    strategies: Sequence[str | Maker], wanted: Settings | Understood, *, seeds: int, workers: int | str = 1
) -> tuple[dict[str, Parts], tuple[str, ...]]:
    """The strategies that will run, random search among them, each with its parts, and what to bear in mind.

    A mistake is reported now, before the first search and not after the last.
    """
    if seeds < 1:
        raise SpecError(f"A comparison needs at least one seed, but got seeds={seeds}.")
    if seeds > SEEDS_MOST:
        raise SpecError(f"A comparison has at most {SEEDS_MOST:,} seeds, but got seeds={seeds:,}.")
    workers_of(workers, limited=False)
    wanted = wanted if isinstance(wanted, Understood) else Understood(wanted, {})
    settings, makers = wanted.settings, {told(one): one for one in strategies if is_maker(one)}
    names = _with_random([told(one) for one in strategies])
    first = _by(wanted, replace(settings, strategy=names[0]), makers).assembled(None)
    built = {"space": first.space, "evaluator": first.evaluator, "weights": first.context["weights"]}
    ready = replace(wanted, given={**wanted.given, **built})
    others = {name: _by(ready, replace(settings, strategy=name), makers).assembled(None) for name in names[1:]}
    everybody = {names[0]: first, **others}
    for parts in everybody.values():
        parts.study()
    notes = [_random_start(name, parts, settings) for name, parts in everybody.items()]
    return everybody, tuple(note for note in (*notes, _by_a_clock(first)) if note is not None)


def _by_a_clock(parts: Parts) -> str | None:
    """A warning where the searches depend on what no second measurement repeats."""
    names = unrepeatable(parts)
    if not names:
        return None
    return (
        f"The searches depend on {', '.join(names)}, which no second measurement repeats: another comparison may end "
        "otherwise. The scores are those of the searches, each measured once, at a time of its own."
    )


def _random_start(name: str, parts: Parts, settings: Settings) -> str | None:
    """A warning where a strategy is compared whose own part of the work never begins."""
    population = next((part.population for part in walk(parts.strategy) if isinstance(part, Populated)), None)
    trials = settings.budget.trials
    if population is None or trials is None or population < trials:
        return None
    return (
        f"{name} never leaves its random start here: its population is {population} and the budget "
        f"{counted(trials, 'trial')}. Give a larger budget, or population=..."
    )


def _with_random(strategies: Sequence[str]) -> list[str]:
    names = [str(parse(text)) for text in strategies]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"Each strategy is compared once, but {', '.join(twice)} is given twice.")
    return names if any(parse(name).name == "random" for name in names) else ["random", *names]


Found = tuple[list[Trial], int]


def _searched(
    jobs: Sequence[Understood], folder: Path | None, workers: int | str, command: str | None
) -> Iterator[tuple[int, Found]]:
    """Every job's trials and number of projections, as they are finished."""
    wanted = [job.settings for job in jobs]
    folders = [None if folder is None else folder / f"{slug(one.strategy)}-seed{one.seed}" for one in wanted]
    waiting = deque(enumerate(zip(jobs, folders, strict=True)))
    running: dict[Future[Found], int] = {}
    with at_work(workers) as pool:
        while waiting or running:
            while waiting and len(running) < pool.ahead:
                index, job = waiting.popleft()
                running[pool.submit(_search_one, *job, command)] = index
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


def _search_one(wanted: Understood, folder: Path | None, command: str | None) -> Found:
    settings = wanted.settings
    if folder is None:
        parts = wanted.assembled(None)
        return list(ran(settings, parts)), projections(parts)
    if not (folder / "run.json").exists():
        parts = wanted.assembled(unfinished(folder))
        trials: list[Trial] = []
        stored(settings, folder, command=command, role="compare", parts=parts, on_trial=trials.append)
        return sorted(trials, key=lambda trial: trial.number), projections(parts)
    before = read_run(folder, hold=HOLD)
    refuse_other_settings(before, settings)
    streams = replace(settings, own_streams=settings_of(before.config).own_streams)
    parts = replace(wanted, settings=streams).assembled(unfinished(folder))
    limits = settings.prefer or (KNEE,)
    run = resume(folder, before=before, budget=settings.budget, prefer=limits, parts=parts)
    return list(run.trials), run.projections


def _outcome(
    settings: Settings,
    trials: Sequence[Trial],
    answer: Answer,
    reference: Floats | None,
    metric: Metric | None,
    sign: float,
) -> Outcome:
    """What a search found; `sign` turns its scores into values of its objective."""
    counted, limits = [trial for trial in trials if trial.status != "screened"], limits_of(settings.prefer)
    kept = [trial.scores is not None and all(limit.keeps(trial.metrics) for limit in limits) for trial in counted]
    scores = [trial.scores[0] if trial.scores and keeps else None for trial, keeps in zip(counted, kept, strict=True)]
    values = [math.nan if score is None else sign * score for score in scores]
    reports = [math.nan if metric is None else trial.metrics.get(metric.name, math.nan) for trial in counted]
    # The last that worked is the best by its place.
    heights = [trial.proposal.height for trial in counted]
    by_score = ranked_by_fidelity(heights, scores)
    ranks = by_score if answer == "best" else [None if score is None else float(k) for k, score in enumerate(scores)]
    curve = anytime(ranks, values) if counted else np.array([math.nan])
    reported = anytime(ranks, reports) if counted else np.array([math.nan])
    worked = [trial for trial in counted if trial.scores is not None]
    by_rule = choose(worked, settings.objectives, limits).trial
    chosen = by_rule if answer == "best" else next(reversed(worked), None)
    points = [trial.scores for trial in highest(worked) if trial.scores is not None]
    volume = None if reference is None else hypervolume(points, reference) if points else 0.0
    return Outcome(
        settings.strategy,
        settings.seed,
        float(curve[-1]) if volume is None else volume,
        float(reported[-1]) if reference is None else math.nan,
        tuple(curve.tolist()),
        tuple(reported.tolist()),
        sum(trial.status == "failed" for trial in counted),
        None if chosen is None else str(chosen.arch),
        benchmark_s=tuple(itertools.accumulate(trial.cost.benchmark_s for trial in counted)),
    )


def _reference(histories: Sequence[Sequence[Trial]]) -> Floats:
    """The corner from which hypervolumes are measured: the worst value that any search saw in each objective."""
    points = [trial.scores for trials in histories for trial in trials if trial.scores is not None]
    if not points:
        raise SpecError("None of the searches found an architecture that works, so there is nothing to compare.")
    lowest: Floats = np.array(points, np.float64).min(axis=0)
    return lowest


def slug(text: str) -> str:
    """The text as the name of a folder."""
    return "".join(c if c.isalnum() else "-" for c in text).strip("-")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
