"""What the page of some runs says, computed once: sections take these facts and print them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ogive.choice import choose
from ogive.core.architecture import Architecture
from ogive.core.metric import LATENCY_SPREAD, Metric, of_part
from ogive.core.rng import Seed
from ogive.core.trial import Trial
from ogive.metrics import (
    Interval,
    anytime,
    hypervolume,
    kendall_tau,
    mean_interval,
    non_dominated,
    ranked_by_fidelity,
)
from ogive.reporting.markup import Sought, axis
from ogive.reporting.member import Floats, Member, Winner, by_strategy, member_of, score, spaces_of, winner_of
from ogive.runs import Run

__all__ = [
    "ENOUGH_SEEDS",
    "HYPERVOLUME",
    "Agreement",
    "Facts",
    "Front",
    "Line",
    "Point",
    "Reached",
    "facts_of",
    "front_of",
]

# Below so many seeds of a strategy the page calls its curves an anecdote.
ENOUGH_SEEDS = 5
HYPERVOLUME = Sought("hypervolume above the worst scores")


@dataclass(frozen=True, eq=False)
class Line:
    """A value of every run after each of its evaluated trials, NaN while there is none; better if lower if it falls.

    `reported` is the metric of a test set that it is about, of the candidate that is best so far. A regret is drawn on
    a logarithmic axis (`log`).
    """

    name: str
    values: tuple[Floats, ...]
    falls: bool = False
    reported: Metric | None = None
    log: bool = False


@dataclass(frozen=True, slots=True)
class Reached:
    """What one strategy answers with after the number of trials that all runs have: scores, so larger is better."""

    strategy: str
    seeds: int
    trials: int
    mean: float
    low: float
    high: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """Two finite values of a trial."""

    x: float
    y: float
    one: Member
    trial: Trial


@dataclass(frozen=True, eq=False)
class Front:
    """The candidates of a strategy by their cost and quality, and the places of those that no other beats in both."""

    cost: Metric
    strategy: str
    points: tuple[Point, ...]
    places: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well a metric ranks `count` distinct architectures by their quality: Kendall's tau-b, 1 for the same order.

    `points` are those that can be drawn.
    """

    metric: Metric
    tau: float
    count: int
    points: tuple[Point, ...]


@dataclass(frozen=True, eq=False)
class Facts:
    """All that is said of some runs.

    `lead` is the run whose winner is the answer, `winners` are told by the tags of their runs. `metrics` are all that
    working trials measured, the most telling first; `quality` is how good a candidate is. `front` are the trials of
    comparable runs that no other beats in all objectives, the best in the first one first. `reached` is what strategies
    reached after equal numbers of candidates, by `measure`, the best first. `failures` are told by their reasons, the
    most frequent first. `within` is the sentence that every figure of a closed world carries, else empty.
    """

    runs: tuple[Member, ...]
    lead: Member
    winners: Mapping[str, Winner | None]
    metrics: tuple[Metric, ...]
    quality: Metric | None
    front: tuple[tuple[Member, Trial], ...]
    measure: Sought
    reached: tuple[Reached, ...]
    lines: tuple[Line, ...]
    fronts: tuple[Front, ...]
    agreements: tuple[Agreement, ...]
    failures: Mapping[str, Sequence[tuple[Member, Trial]]]
    within: str

    @property
    def winner(self) -> Winner | None:
        """The winner of the run that leads; None if nothing has worked yet."""
        return self.winners[self.lead.tag]


def facts_of(runs: Sequence[Run]) -> Facts:
    """The facts of one run or several. Raises StoreError for a damaged record of a trained network.

    Only runs with the objectives of the first that is no random search are comparable: the best of them leads, but
    those whose winner was trained in full go before others.
    """
    members = _members(runs)
    first = next((one for one in members if not one.is_random), members[0])
    comparable = [one for one in members if one.objectives == first.objectives]
    lead = max(comparable, key=lambda one: (one.final != {}, score(one.final_best), not one.is_random))
    if len(lead.sought) > 1:
        lead, members, comparable = _lead_of_front(comparable, members)
    metrics, quality, costs = _metrics(members)
    corner = _worst_scores(comparable) if len(lead.sought) > 1 else []
    lines = _lines(members, lead, metrics, quality, corner)
    measure, measured = (HYPERVOLUME, lines[len(lead.sought)]) if corner else (lead.sought[0], lines[0])
    return Facts(
        runs=members,
        lead=lead,
        winners={one.tag: winner_of(one) for one in members},
        metrics=metrics,
        quality=quality,
        front=_pareto(comparable),
        measure=measure,
        reached=_reached({one.tag: one for one in comparable}, members, measure, measured),
        lines=lines,
        fronts=tuple(_fronts(members, costs, quality)),
        agreements=tuple(_agreements(members, metrics, quality)),
        failures=_failures(members),
        within=_within(members),
    )


def _lead_of_front(
    comparable: Sequence[Member], members: Sequence[Member]
) -> tuple[Member, tuple[Member, ...], list[Member]]:
    """The run with the best trial of the front that comparable runs make together, now its own best; and all of them.

    The best of each run alone may be beaten by a trial of another one.
    """
    held = [(one, trial) for one in comparable for trial in one.working]
    last = {one.tag: one.run.remeasured for one in comparable}
    final = [last[one.tag].get(trial.number, trial) for one, trial in held]
    choice = choose(final, comparable[0].run.objectives, comparable[0].run.limits)
    place = comparable[0].tag
    for (one, trial), measured_last in zip(held, final, strict=True):
        if measured_last is choice.trial:
            place, choice = one.tag, replace(choice, trial=trial)
            break
    chosen = tuple(replace(one, choice=choice) if one.tag == place else one for one in members)
    tags = {one.tag for one in comparable}
    return next(one for one in chosen if one.tag == place), chosen, [one for one in chosen if one.tag in tags]


def _members(runs: Sequence[Run]) -> tuple[Member, ...]:
    """The runs with tags A, B, ... and one colour a strategy; random search has colour 0, whatever its place."""
    spaces = spaces_of(str(run.config.get("space", "")) for run in runs)
    colours: dict[str, int] = {}
    found = []
    for rank, run in enumerate(runs):
        strategy = str(run.config.get("strategy", ""))
        colour = 0 if strategy.startswith("random") else colours.setdefault(strategy, len(colours) + 1)
        found.append(member_of(run, _letters(rank), colour, spaces.get(str(run.config.get("space", "")))))
    return tuple(found)


def _letters(rank: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    text = ""
    while rank >= 0:
        text = chr(ord("A") + rank % 26) + text
        rank = rank // 26 - 1
    return text


# -- metrics ----------------------------------------------------------------------------------------------------------


def _metrics(runs: Sequence[Member]) -> tuple[tuple[Metric, ...], Metric | None, list[Metric]]:
    """All that working trials measured, the most telling first; which of it is the quality; and what are its costs.

    The quality is validated, or else what was sought first, or else what was measured first, if that is not spent. Its
    costs are what is spent, and what was sought beside it.
    """
    measured = {name for one in runs for trial in one.working for name in trial.metrics}
    known = {name: metric for one in reversed(runs) for name, metric in one.metrics.items()}
    records = [known.get(name) or of_part(name, known.values()) for name in dict.fromkeys([*known, *sorted(measured)])]
    records = [metric for metric in records if metric.name in measured]
    needed = {name for one in runs for sought in one.sought for name in sought.needs}
    screened = {
        name for one in runs for trial in one.run.trials if trial.status == "screened" for name in trial.metrics
    }
    spread = {metric.name for metric in LATENCY_SPREAD} - needed
    told = [metric for metric in records if not metric.reported and metric.name not in spread]
    told.sort(key=lambda m: (m.spent, not m.validated, m.name not in needed, m.name in screened))
    quality = next((metric for metric in told if not metric.spent or metric.name in needed), None)
    costs = [metric for metric in told if metric is not quality and (metric.spent or metric.name in needed)]
    order = [*told[:1], *(metric for metric in records if metric.reported), *told[1:]]
    order += [metric for metric in records if metric not in order]
    return tuple(order), quality, costs


# -- curves -----------------------------------------------------------------------------------------------------------


def _lines(
    runs: Sequence[Member], lead: Member, metrics: Sequence[Metric], quality: Metric | None, corner: Sequence[float]
) -> tuple[Line, ...]:
    """The objectives of the run that leads, their hypervolume, the quality, and what the best so far has in tests."""
    lines = [
        Line(f"best {sought.heading}", tuple(_best_so_far(one, sought, rank) for one in runs), sought.falls)
        for rank, sought in enumerate(lead.sought)
    ]
    if corner:
        lines.append(Line(HYPERVOLUME.written, tuple(_hypervolume_so_far(one, corner) for one in runs)))
    if quality is not None and quality.name not in {sought.metric.name for sought in lead.sought if sought.metric}:
        name = f"best {axis(quality)}"
        lines.append(Line(name, tuple(_best_metric(one, quality) for one in runs), quality.better == "smaller"))
    for metric in metrics:
        if metric.reported:
            name = f"{axis(metric)} of the candidate that is best so far"
            values = tuple(_incumbents(one, metric) for one in runs)
            lines.append(Line(name, values, metric.better == "smaller", reported=metric))
    return (*lines, *_regrets(runs, lead, lines))


def _regrets(runs: Sequence[Member], lead: Member, lines: Sequence[Line]) -> Iterator[Line]:
    """How far the first objective, and what is reported, lie from the best that there is, where every run knows it."""
    sought = lead.sought[0].metric
    wanted = [(sought, lines[0])] if sought is not None and len(lead.sought) == 1 else []
    wanted += [(line.reported, line) for line in lines if line.reported is not None]
    for metric, line in wanted:
        known = {one.optima.get(metric.name) for one in runs}
        best = known.pop()
        if not known and best is not None and metric.better == lead.run.metrics[metric.name].better:
            values = tuple(np.abs(best - own) for own in line.values)
            yield Line(f"regret: {line.name}", values, falls=True, log=True)


def _best_so_far(one: Member, sought: Sought, rank: int) -> Floats:
    """The best of an objective so far, as its reader knows it; of another search, the metric if it is one."""
    own = one.sought[rank : rank + 1]
    if sought.metric is not None and [known.written for known in own] != [sought.written]:
        return _best_metric(one, sought.metric)
    values = _best(one, [score(trial, rank) for trial in one.evaluated])
    return -values if sought.falls else values


def _best_metric(one: Member, metric: Metric) -> Floats:
    values = [trial.metrics.get(metric.name) if trial.scores is not None else None for trial in one.evaluated]
    return metric.sign * _best(one, [None if value is None else metric.sign * value for value in values])


def _incumbents(one: Member, metric: Metric) -> Floats:
    """A metric of the trial that has the best first score so far."""
    reported = [trial.metrics.get(metric.name, np.nan) for trial in one.evaluated]
    return _best(one, [score(trial) for trial in one.evaluated], reported)


def _best(one: Member, scores: Sequence[float | None], report: Sequence[float] | None = None) -> Floats:
    """The best score so far, or what is reported of it; of several fidelities, the best at the highest so far."""
    worked = [None if score is None or np.isneginf(score) else score for score in scores]
    ranks = ranked_by_fidelity([trial.proposal.height for trial in one.evaluated], worked)
    values = np.array([np.nan if score is None else score for score in scores], np.float64)
    return _known(anytime(ranks, values if report is None else report))


def _hypervolume_so_far(one: Member, corner: Sequence[float]) -> Floats:
    """The volume that the scores so far dominate above `corner`."""
    edge = np.empty((0, len(corner)))
    volume, values = 0.0, []
    for trial in one.evaluated:
        point = None if trial.scores is None or len(trial.scores) != len(corner) else np.array(trial.scores)
        if point is not None and not np.any(np.all(edge >= point, axis=1)):
            edge = np.vstack([edge[~np.all(edge <= point, axis=1)], point])
            volume = hypervolume(edge, corner)
        values.append(volume)
    return np.array(values, np.float64)


def _known(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _worst_scores(runs: Sequence[Member]) -> list[float]:
    """The smallest score of every objective: the corner above which hypervolumes are taken."""
    rows = [trial.scores for one in runs for trial in one.working if trial.scores]
    return [float(value) for value in np.min(rows, axis=0)] if rows else []


def _reached(
    comparable: Mapping[str, Member], runs: Sequence[Member], measure: Sought, line: Line
) -> tuple[Reached, ...]:
    """Every strategy after the smallest number of trials that any of its comparable runs has, best mean first.

    That is the best so far, or the last where a search answers with it. Means over seeds, with their intervals.
    """
    least = min(len(one.evaluated) for one in comparable.values())
    ends: dict[str, list[float]] = {}
    for one, values in zip(runs, line.values, strict=True):
        worked = [trial for trial in one.evaluated[:least] if trial.scores is not None]
        if one.tag in comparable and worked:
            by_last = one.answer == "last" and measure is not HYPERVOLUME
            reached = score(worked[-1]) if by_last else measure.value(float(values[least - 1]))
            ends.setdefault(one.strategy, []).append(reached)
    found = []
    for strategy, scores in ends.items():
        rng = Seed(0).numpy(f"report/{strategy}")
        interval = mean_interval(scores, rng) if len(scores) > 1 else None
        mean = float(np.mean(scores))
        found.append(Reached(strategy, len(scores), least, mean, min(scores), max(scores), interval))
    return tuple(sorted(found, key=lambda one: -one.mean))


# -- fronts, ranks and failures ---------------------------------------------------------------------------------------


def _pareto(comparable: Sequence[Member]) -> tuple[tuple[Member, Trial], ...]:
    """The trials of all runs that no other beats, by what was measured last."""
    last = {one.tag: one.run.remeasured for one in comparable}
    final = [(one, trial, last[one.tag].get(trial.number, trial)) for one in comparable for trial in one.working]
    measured = [(one, trial, found.scores) for one, trial, found in final if found.scores is not None]
    if not measured:
        return ()
    kept = np.flatnonzero(non_dominated(np.array([scores for *_, scores in measured], np.float64)))
    ranked = sorted((measured[position] for position in kept), key=lambda found: -found[2][0])
    return tuple((one, trial) for one, trial, _ in ranked)


def front_of(points: Sequence[Point], cost: Metric, quality: Metric) -> tuple[int, ...]:
    """Positions of the points that no other beats in both metrics, from left to right; of equal points the first."""
    if not points:
        return ()
    pairs = [(point.x, point.y) for point in points]
    kept = np.flatnonzero(non_dominated(np.array(pairs, np.float64) * [cost.sign, quality.sign])).tolist()
    first = {pairs[position]: position for position in reversed(kept)}
    return tuple(sorted(first.values(), key=lambda position: pairs[position]))


def _fronts(runs: Sequence[Member], costs: Sequence[Metric], quality: Metric | None) -> Iterator[Front]:
    if quality is None:
        return
    for cost in costs:
        for strategy, members in by_strategy(runs).items():
            trials = [(one, trial) for one in members for trial in one.working]
            points = _points(trials, cost, quality)
            yield Front(cost, strategy, points, front_of(points, cost, quality))


def _points(trials: Iterable[tuple[Member, Trial]], x: Metric, y: Metric) -> tuple[Point, ...]:
    pairs = [
        (trial.metrics.get(x.name, np.nan), trial.metrics.get(y.name, np.nan), one, trial) for one, trial in trials
    ]
    return tuple(Point(*pair) for pair in pairs if np.isfinite(pair[:2]).all())


def _agreements(runs: Sequence[Member], metrics: Sequence[Metric], quality: Metric | None) -> Iterator[Agreement]:
    """Of every metric but times and tests, over the distinct architectures that have it; sizes, the baseline, last.

    A metric of which less is better is turned round, but not a size: the larger network is thought the better one.
    """
    if quality is None:
        return
    others = [metric for metric in metrics if metric is not quality and not metric.reported and not metric.takes_time]
    for metric in sorted(others, key=lambda one: (one.spent, one.name)):
        distinct: dict[Architecture, tuple[Member, Trial]] = {}
        for one in runs:
            for trial in one.working:
                if {metric.name, quality.name} <= trial.metrics.keys():
                    distinct.setdefault(trial.arch, (one, trial))
        values = [(trial.metrics[metric.name], trial.metrics[quality.name]) for _, trial in distinct.values()]
        sign = quality.sign * (1.0 if metric.spent else metric.sign)
        tau = kendall_tau([sign * first for first, _ in values], [second for _, second in values])
        if np.isfinite(tau):
            yield Agreement(metric, tau, len(distinct), _points(distinct.values(), metric, quality))


def _failures(runs: Iterable[Member]) -> dict[str, list[tuple[Member, Trial]]]:
    reasons: dict[str, list[tuple[Member, Trial]]] = {}
    for one in runs:
        for trial in one.run.trials:
            if trial.status == "failed":
                reasons.setdefault(trial.measurement.error or "no reason recorded", []).append((one, trial))
    return dict(sorted(reasons.items(), key=lambda reason: -len(reason[1])))


def _within(runs: Sequence[Member]) -> str:
    worlds = {one.world for one in runs if one.world is not None}
    if not worlds:
        return ""
    projected = sum(one.run.projections for one in runs)
    return f"Within a {' or a '.join(sorted(worlds))}; {projected:,} proposals were projected onto its rows."
