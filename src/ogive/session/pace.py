"""The pace of a search: how much of its budget is spent, and how long the rest of it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ogive.choice import Limit
from ogive.core.executor import Began, Event, Progress, Task
from ogive.core.trial import Budget, Fidelity, Spent, Trial
from ogive.runs import Run

__all__ = ["Pace", "Past", "UnderWay"]

ENOUGH = 3  # trials of this sitting, from which on those of an earlier one, perhaps on another machine, count no more
RECENT = 1000  # of them tell how long a trial takes, of however many there were
LITTLE = 0.02  # less than this share of a first trial says nothing about the whole


@dataclass(slots=True)
class UnderWay:
    """A task that began: when, in seconds; what it told last; how many of its trainings are over, and how much of one.

    A task is several trainings where they are repeated, or where it measures several candidates. `told` are the first
    and the last moment at which it told how much of them was over, with how much that was.
    """

    task: Task
    since_s: float
    text: str = ""
    over: int = 0
    share: float = 0.0
    told: tuple[tuple[float, float], ...] = ()

    def tell(self, text: str, share: float | None, now_s: float) -> None:
        """Take note of what it told: a share that fell says that the next training began."""
        self.text = text
        if share is not None:
            self.over += share < self.share
            self.share = share
            self.told = (*self.told[:1], (now_s, self.over + share))

    def done(self, trainings: int) -> float:
        """How much of it is over, 0 to 1, if it is so many trainings."""
        return min(1.0, (self.over + self.share) / max(trainings, self.over + 1))

    @property
    def training_s(self) -> float | None:
        """Seconds of one training at the pace since it told something first; None before it is known."""
        if len(self.told) < 2 or self.told[1][1] - self.told[0][1] < LITTLE:
            return None
        (first_s, first), (last_s, last) = self.told
        return (last_s - first_s) / (last - first)

    @property
    def start_s(self) -> float:
        """Seconds from its beginning until its training was at work; 0 where that is not known."""
        training_s = self.training_s
        return 0.0 if training_s is None else max(0.0, self.told[0][0] - self.since_s - self.told[0][1] * training_s)


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier sitting of a search spent and found.

    `costs` are the seconds of its last measurements in full, `front` its best trial, or those of several objectives.
    """

    spent: Spent
    elapsed_s: float
    costs: Sequence[float]
    failed: int
    screened: int
    front: tuple[Trial, ...]
    infeasible: int = 0

    @classmethod
    def of(cls, run: Run, fidelity: Fidelity | None, limits: Sequence[Limit]) -> Past:
        """That of a stored run; with one objective, its best is chosen within the limits."""
        columns = run.log.columns
        costs = columns.measured_s[columns.places("ok", "failed", "infeasible")][-RECENT:].tolist()
        best = run.chosen(limits).trial
        front = run.front if columns.scores.shape[1] > 1 else [] if best is None else [best]
        counts = (run.count("failed"), run.count("screened"))
        return cls(run.spent(fidelity), run.elapsed_s, costs, *counts, tuple(front), run.count("infeasible"))


@dataclass(slots=True)
class Pace:
    """What was spent and what it took, told by trials and by the events of an executor of `workers`.

    `most` says how many trials there can be at all, whatever the budget says, as far as is known when it is asked;
    `past` is an earlier sitting of the search, if there was one. `since_s` and all other moments are on the clock of
    whoever tells them.
    """

    budget: Budget
    since_s: float
    workers: int = 1
    fidelity: Fidelity | None = None
    most: Callable[[], float] = field(default=lambda: math.inf)
    past: Past | None = None
    spent: Spent = field(init=False)
    under_way: dict[int, UnderWay] = field(init=False, default_factory=dict)
    _settled_s: dict[int, float] = field(init=False, default_factory=dict)
    _costs: list[float] = field(init=False, default_factory=list)
    _screened_s: float = field(init=False, default=0.0)
    _tasks: int = field(init=False, default=0)
    _trainings: int = field(init=False, default=1)
    _busy_s: float = field(init=False, default=0.0)
    _idle_s: float = field(init=False, default=0.0)
    _idle_since_s: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.spent = Spent(fidelity=self.fidelity) if self.past is None else self.past.spent

    def event(self, event: Event, now_s: float) -> None:
        """Take note of what became of a task."""
        number = event.task.number
        if isinstance(event, Began):
            if not self.under_way and self._idle_since_s is not None:
                self._idle_s += now_s - self._idle_since_s
            self.under_way[number] = UnderWay(event.task, now_s)
        elif isinstance(event, Progress):
            if number in self.under_way:
                self.under_way[number].tell(event.text, event.share, now_s)
        elif number in self.under_way:
            ended = self.under_way.pop(number)
            self._busy_s += now_s - ended.since_s
            if self._tasks < self.workers:
                alone = len(ended.task.trials) == 1
                settled_s = now_s - ended.since_s - ended.start_s if alone else ended.training_s or math.inf
                self._settled_s |= dict.fromkeys(ended.task.trials, settled_s)
            self._tasks += 1
            if ended.share:
                self._trainings = ended.over + 1
            if not self.under_way:
                self._idle_since_s = now_s

    def trial(self, trial: Trial) -> None:
        """Take note of a finished trial."""
        self.spent.add(trial)
        seconds = trial.measurement.cost.wall_s
        if trial.status == "screened":
            self._screened_s += seconds
        else:
            # The first work of a process is many times slower than the rest, until its training is at work.
            self._costs.append(min(seconds, self._settled_s.get(trial.number, seconds)))

    @property
    def limit(self) -> float:
        """How many trials there will be at most; infinite where only other limits are known."""
        return min(self.most(), math.inf if self.budget.trials is None else self.budget.trials)

    def left_s(self, now_s: float) -> float | None:
        """Seconds until the first limit is reached; None while nothing was measured from which to tell."""
        known = [left for left in self._lefts(now_s) if left is not None and math.isfinite(left)]
        return min(known, default=None)

    def share(self, now_s: float) -> float | None:
        """How much of the search is over, 0 to 1: of the limit that will be reached first; None if nobody knows."""
        limits = {"trials": self.limit, "units": self.budget.units, "benchmark": self.budget.benchmark_s}
        begun = self._begun(now_s)
        done = {
            "trials": self.spent.trials + begun,
            "units": self.spent.units + begun * self._units_each(),
            "benchmark": self.spent.cost.benchmark_s,
        }
        shares = [done[name] / limit for name, limit in limits.items() if limit is not None and math.isfinite(limit)]
        if self.budget.wall_s is not None:
            shares.append(self.taken_s(now_s) / self.budget.wall_s)
        return min(1.0, max(shares)) if shares else None

    def taken_s(self, now_s: float) -> float:
        """Seconds that the search took, sittings before this one included."""
        return (0.0 if self.past is None else self.past.elapsed_s) + now_s - self.since_s

    def _lefts(self, now_s: float) -> Iterator[float | None]:
        if self.budget.wall_s is not None:
            yield max(0.0, self.budget.wall_s - self.taken_s(now_s))
        each_s, begun, trials = self._trial_s(now_s), self._begun(now_s), self.spent.trials
        if each_s is None:
            return
        yield max(0.0, self.limit - trials - begun) * each_s
        if self.budget.units is not None and self._units_each():
            yield max(0.0, (self.budget.units - self.spent.units) / self._units_each() - begun) * each_s
        if self.budget.benchmark_s is not None and self.spent.cost.benchmark_s > 0:
            left = self.budget.benchmark_s - self.spent.cost.benchmark_s
            yield max(0.0, left / (self.spent.cost.benchmark_s / trials) - begun) * each_s

    def _units_each(self) -> float:
        if self.spent.trials:
            return self.spent.units / self.spent.trials
        return 0.0 if self.fidelity is None else float(self.fidelity.full)

    def _trials_each(self) -> float:
        """Trials that a task becomes."""
        return len(self._costs) / self._tasks if self._tasks and self._costs else 1.0

    def _begun(self, now_s: float) -> float:
        """How many trials' worth of work the tasks under way have done."""
        each_s = self._busy_s / self._tasks if self._tasks else math.inf
        each = self._trials_each()
        return sum(
            # One that tells nothing of itself is as far as the others were after so long, but not at its end.
            each * (one.done(self._trainings) or min(0.9, (now_s - one.since_s) / each_s if each_s else 0.0))
            for one in tuple(self.under_way.values())
        )

    def _trial_s(self, now_s: float) -> float | None:
        """Seconds between two trials."""
        measured_s = self._measured_s(now_s)
        if measured_s is None:
            return None
        between = max(1, self._tasks + len(self.under_way) - 1)
        idle_s = self._idle_s / between / self._trials_each()
        return measured_s / self.workers + idle_s

    def _measured_s(self, now_s: float) -> float | None:
        """Seconds that a worker takes for a trial, as far as it is known."""
        costs = self._costs
        if len(costs) < ENOUGH and self.past is not None:
            costs = [*costs, *self.past.costs]
        if sum(costs) > 0:
            return _typical(costs) + (self._screened_s / len(self._costs) if self._costs else 0.0)
        if self._costs:
            return self._busy_s / len(self._costs)
        known = [one.training_s for one in tuple(self.under_way.values()) if one.training_s is not None]
        return self._trainings * sum(known) / len(known) if known else None


def _typical(costs: Sequence[float]) -> float:
    """Their mean; without the first of several where that is more than all others by far, as first work is."""
    rest = costs[1:]
    kept = rest if len(rest) > 1 and costs[0] > 2 * max(rest) else costs
    return sum(kept) / len(kept)
