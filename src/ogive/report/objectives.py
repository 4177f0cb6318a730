"""What a search sought, as its reader knows it: a metric with its direction, or the score where several make one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ogive.core.errors import SpecError
from ogive.report.findings import Shown
from ogive.report.wording import axis_title, metric_name, metric_unit, number, value_of
from ogive.spec import parse

__all__ = ["Goal", "goal", "goals_of", "same_goal"]


@dataclass(frozen=True, slots=True)
class Goal:
    """An objective as it was written; `metric` is what it is about where it is one metric and nothing else.

    Scores are always maximised, so that of a metric that is minimised (`falls`) is its value with the sign turned.
    """

    written: str
    metric: str | None = None
    falls: bool = False

    @property
    def direction(self) -> str:
        """Which way is better; empty for an accuracy, where everybody knows, and for a score."""
        if self.metric is None or (self.metric.endswith("_acc") and not self.falls):
            return ""
        return "lower is better" if self.falls else "higher is better"

    @property
    def noun(self) -> str:
        """The name in a sentence: "latency (lower is better)"."""
        if self.metric is None:
            return self.written
        return metric_name(self.metric).replace("_", " ") + (f" ({self.direction})" if self.direction else "")

    @property
    def heading(self) -> str:
        """The name above numbers without units: "latency (ms, lower is better)"."""
        if self.metric is None:
            return self.written
        if not self.direction:
            return axis_title(self.metric)
        inside = ", ".join(part for part in (metric_unit(self.metric), self.direction) if part)
        return f"{metric_name(self.metric).replace('_', ' ')} ({inside})"

    def value(self, score: float) -> float:
        """The metric that a score stands for, or the score itself."""
        return -score if self.falls else score

    def told(self, score: float) -> str:
        """The same in words, with its unit."""
        return number(score) if self.metric is None else value_of(self.metric, self.value(score))

    def span(self, low: float, high: float) -> str:
        """Two scores as the range of what they stand for, without units."""
        return " to ".join(number(value) for value in sorted((self.value(low), self.value(high))))


def goal(written: str) -> Goal:
    """The goal of an objective such as ``minimize(latency_ms)``; anything else is known by its score alone."""
    try:
        spec = parse(written)
    except SpecError:  # an objective of somebody's own, named as they like
        return Goal(written)
    given = [*spec.args, *spec.options.values()]
    if spec.name not in ("maximize", "minimize") or len(given) != 1:
        return Goal(written)
    # A bare name is read as a part without options.
    return Goal(written, str(given[0]), spec.name == "minimize")


def goals_of(one: Shown) -> list[Goal]:
    """The goals of a run, in the order of its scores."""
    return [goal(written) for written in one.objectives]


def same_goal(runs: Sequence[Shown], rank: int = 0) -> Goal | None:
    """The goal that all runs share in this place; None where they differ."""
    found = {tuple(one.objectives[rank : rank + 1]) for one in runs}
    only = next(iter(found)) if len(found) == 1 else ()
    return goal(only[0]) if only else None
