"""Watching a search: what is done and under way, how long the rest takes and the best so far, in words."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

from ogive.choice import Limit, limits_of, pareto_front
from ogive.core.capabilities import Scheduled, fidelity_of, walk
from ogive.core.executor import Began, Event
from ogive.core.metric import Metric, metric_named
from ogive.core.objective import Objective
from ogive.core.trial import Trial, counted, duration
from ogive.runs import Run
from ogive.session.assembly import Parts
from ogive.session.pace import Pace, Past, UnderWay
from ogive.session.settings import Settings

__all__ = ["Watch", "watch_of"]


class Watch:
    """Where a search stands; it is told trials, events of the executor and what a strategy is doing.

    It may be told and asked from several threads.
    """

    def __init__(
        self,
        pace: Pace,
        objectives: Sequence[Objective],
        metrics: Sequence[Metric],
        limits: Sequence[Limit] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.pace, self._clock = pace, clock
        self._objectives, self._metrics, self._limits = tuple(objectives), tuple(metrics), tuple(limits)
        self._lock = threading.RLock()
        self._note = ""
        past = pace.past
        self._failed, self._screened = (0, 0) if past is None else (past.failed, past.screened)
        self._infeasible = 0 if past is None else past.infeasible
        self._front: list[Trial] = [] if past is None else list(past.front)

    def note(self, text: object) -> None:
        """Take note of what a strategy does before its next trial, or an evaluator outside of one."""
        with self._lock:
            self._note = str(text)

    def event(self, event: Event) -> None:
        """Take note of what became of a task."""
        with self._lock:
            if isinstance(event, Began):
                self._note = ""
            self.pace.event(event, self._clock())

    def trial(self, trial: Trial) -> None:
        """Take note of a finished trial."""
        with self._lock:
            self.pace.trial(trial)
            self._count(trial)

    @property
    def share(self) -> float | None:
        """How much of the search is over, 0 to 1; None if nobody knows."""
        with self._lock:
            return self.pace.share(self._clock())

    @property
    def left_s(self) -> float | None:
        """Seconds until it is over; None while nothing was measured from which to tell."""
        with self._lock:
            return self.pace.left_s(self._clock())

    @property
    def headline(self) -> str:
        """What is done of the budget, and how long the rest takes."""
        with self._lock:
            now_s, pace = self._clock(), self.pace
            left_s = pace.left_s(now_s)
            told = [self._spent(), duration(pace.taken_s(now_s))]
            if left_s is not None:
                told.append(f"about {duration(left_s, 2)} left")
            return ", ".join(told)

    @property
    def found(self) -> str:
        """The best so far with its unit, and how many trials failed or were screened out; empty before the first."""
        with self._lock:
            told = [
                self._best(),
                f"{self._failed} failed" if self._failed else "",
                f"{self._infeasible} infeasible" if self._infeasible else "",
                f"{self._screened} screened out" if self._screened else "",
            ]
            return ", ".join(filter(None, told))

    @property
    def under_way(self) -> list[str]:
        """What is being done, a line for each task that tells it, and what the strategy says."""
        with self._lock:
            lines = [_line(one) for one in self.pace.under_way.values()]
            return [*lines, *([self._note] if self._note else [])]

    @property
    def line(self) -> str:
        """All of it in one line."""
        return "; ".join(filter(None, (self.headline, self.found, *self.under_way)))

    def _spent(self) -> str:
        pace, budget = self.pace, self.pace.budget
        spent, limit = pace.spent, pace.limit
        trials = f"{spent.trials}/{limit:.0f} trials" if math.isfinite(limit) else counted(spent.trials, "trial")
        told = [trials]
        if budget.units is not None:
            told.append(f"{spent.units}/{budget.units} {budget.unit}")
        if budget.benchmark_s is not None:
            told.append(f"{spent.cost.benchmark_s:.3g}/{budget.benchmark_s:.3g} benchmark seconds")
        return ", ".join(told)

    def _count(self, trial: Trial) -> None:
        self._failed += trial.status == "failed"
        self._screened += trial.status == "screened"
        self._infeasible += trial.status == "infeasible"
        if trial.scores is None:
            return
        if len(self._objectives) > 1:
            self._front = pareto_front([*self._front, trial])
        elif all(limit.keeps(trial.metrics) for limit in self._limits):
            before = self._front[0] if self._front else None
            if before is None or (trial.proposal.height, trial.scores) > (before.proposal.height, before.scores or ()):
                self._front = [trial]

    def _best(self) -> str:
        if not self._front:
            kept = self.pace.spent.trials > self._failed
            limits = " and ".join(map(str, self._limits))
            return f"no trial keeps {limits} yet" if limits and kept else ""
        if len(self._objectives) > 1:
            ends = []
            for place, objective in enumerate(self._objectives):
                end = max(self._front, key=lambda trial: (trial.scores or ())[place])
                ends.append(_valued(objective, end, self._metrics))
            return f"front of {len(self._front)}, whose ends have {' and '.join(ends)}"
        best = self._front[0]
        return f"best {_valued(self._objectives[0], best, self._metrics)} (trial {best.number})"


def watch_of(
    settings: Settings, parts: Parts, before: Run | None = None, limits: Sequence[Limit] | None = None
) -> Watch:
    """The watch of a search, or of one that goes on from what was stored `before`, within these limits if any."""

    def most() -> float:
        return min((part.proposals for part in walk(parts.strategy) if isinstance(part, Scheduled)), default=math.inf)

    fidelity, within = fidelity_of(parts.evaluator), limits_of(settings.prefer) if limits is None else limits
    past = None if before is None else Past.of(before, fidelity, within)
    pace = Pace(settings.budget, time.perf_counter(), settings.count, fidelity, most, past)
    return Watch(pace, parts.objectives, parts.evaluator.metrics, within)


def _valued(objective: Objective, trial: Trial, metrics: Sequence[Metric]) -> str:
    """What a trial reached in the metrics of an objective, with their names and units."""
    told = []
    for name in objective.needs:
        metric, value = metric_named(metrics, name), trial.metrics[name]
        number = f"{value:,.0f}" if value == round(value) and abs(value) >= 1000 else f"{value:.4g}"
        told.append(f"{metric.title} {number} {metric.unit}".rstrip())
    return ", ".join(told) or f"score {(trial.scores or (math.nan,))[0]:.4g}"


def _line(one: UnderWay) -> str:
    trials = one.task.trials
    if not len(trials):
        return one.text
    which = f"trial {trials[0]}" if len(trials) == 1 else f"trials {trials[0]} to {trials[-1]}"
    return f"{which}: {one.text}" if one.text else which
