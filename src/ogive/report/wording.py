"""How the page writes metrics and numbers: their words, units and directions are those of the records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ogive.core.metric import Metric

__all__ = ["Sought", "axis", "direction", "duration", "heading", "listed", "noun", "number", "title", "told"]


@dataclass(frozen=True, slots=True)
class Sought:
    """An objective as it was written; `metric` is what it is about where it is one metric and nothing else.

    The metric is better as it was sought. Scores are always maximised, so that of a metric of which less is better is
    its value with the sign turned. `needs` names the metrics that a score is made of.
    """

    written: str
    metric: Metric | None = None
    needs: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        """Its name in a sentence: "latency (lower is better)"."""
        return self.written if self.metric is None else noun(self.metric)

    @property
    def heading(self) -> str:
        """Its name above numbers without units: "latency (ms, lower is better)"."""
        return self.written if self.metric is None else heading(self.metric)

    @property
    def falls(self) -> bool:
        """Whether its value is better the lower it is."""
        return self.metric is not None and self.metric.better == "smaller"

    def value(self, score: float) -> float:
        """The metric that a score stands for, or the score itself."""
        return -score if self.falls else score

    def told(self, score: float) -> str:
        """The same in words, with its unit."""
        return number(score) if self.metric is None else told(self.metric, self.value(score))

    def span(self, low: float, high: float) -> str:
        """Two scores as the range of what they stand for, without units."""
        return " to ".join(number(value) for value in sorted((self.value(low), self.value(high))))


def title(metric: Metric) -> str:
    """A metric in words, such as "validation accuracy"."""
    return metric.title.replace("_", " ")


def direction(metric: Metric) -> str:
    """Which way is better; empty for a share of which more is better, such as an accuracy, where everybody knows."""
    if metric.better == "smaller":
        return "lower is better"
    return "" if metric.unit == "%" else "higher is better"


def noun(metric: Metric) -> str:
    """A metric in a sentence: "latency (lower is better)"."""
    return title(metric) + (f" ({direction(metric)})" if direction(metric) else "")


def axis(metric: Metric) -> str:
    """A metric with its unit: "latency (ms)"."""
    return f"{title(metric)} ({metric.unit})" if metric.unit else title(metric)


def heading(metric: Metric) -> str:
    """A metric with its unit and direction: "latency (ms, lower is better)"."""
    inside = ", ".join(part for part in (metric.unit, direction(metric)) if part)
    return f"{title(metric)} ({inside})" if inside else title(metric)


def told(metric: Metric, value: float | None) -> str:
    """A value with its unit: "94.31 %", "1.84 ms", "1,073,466"; a dash where there is none.

    The space before a unit does not break.
    """
    if value is None:
        return "–"
    if metric.unit == "%":
        return f"{value:.2f}\u00a0%"
    return f"{number(value)}\u00a0{metric.unit}" if metric.unit else number(value)


def listed(metrics: Iterable[Metric], values: Mapping[str, float]) -> list[str]:
    """Each metric that has a value, with it: "latency 1.84 ms"."""
    return [f"{title(metric)} {told(metric, values[metric.name])}" for metric in metrics if metric.name in values]


def number(value: float) -> str:
    """Whole numbers in full with thousands separators, others to two decimals or four significant digits."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use: "0.4 s", "92 s", "14.2 min", "3.1 h"."""
    for limit, unit, name in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (math.inf, 3600.0, "h")):
        if seconds < limit:
            amount = seconds / unit
            return f"{amount:.3g} {name}" if amount < 100 else f"{amount:,.0f} {name}"
    return f"{seconds} s"
