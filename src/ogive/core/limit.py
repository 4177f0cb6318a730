"""Limit: what a metric must keep to, such as ``latency_ms<=5``; a constraint of a search, or of a choice after it."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ogive.core.errors import SpecError, quoted, shortened
from ogive.core.metric import Metric, is_reported, spelt

__all__ = ["Limit", "check_constraints", "violation"]

_SIGNS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_LIMIT = re.compile(r"\s*(?P<metric>[^<>]+?)\s*(?P<sign><=|>=|<|>)\s*(?P<bound>[^<>=\s]+)\s*")
# What a limit of 0, or one that is kept but for the equality of its bound, is broken by at least.
LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Limit:
    """What a metric must keep to, such as ``latency_ms<=5``."""

    metric: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read ``latency_ms<=5``; names with signs of their own may stand in quotes. SpecError for anything else."""
        match = _LIMIT.fullmatch(text)
        try:
            bound = math.nan if match is None else float(match["bound"])
        except ValueError:
            bound = math.nan
        if match is None or math.isnan(bound):
            raise SpecError(
                f"A limit of a metric is written such as latency_ms<=5, but got {shortened(repr(text))}; --prefer also "
                "takes knee, for none."
            )
        name = match["metric"]
        in_quotes = len(name) > 2 and name[0] == name[-1] and name[0] in "\"'"
        return cls(name[1:-1] if in_quotes else name, match["sign"], bound)

    def keeps(self, metrics: Mapping[str, float]) -> bool:
        """Whether the metric is there, within the limit."""
        return bool(_SIGNS[self.sign](metrics.get(self.metric, math.nan), self.bound))

    def excess(self, metrics: Mapping[str, float]) -> float:
        """By which share of its bound the metric is beyond it: 0 where the limit is kept, of a bound of 0 the value."""
        if self.keeps(metrics):
            return 0.0
        beyond = abs(self.signed_excess(metrics))
        return beyond if math.isnan(beyond) else max(LEAST, beyond)

    def signed_excess(self, metrics: Mapping[str, float]) -> float:
        """The same with a sign: negative within the limit, NaN where the metric is not there."""
        beyond = (metrics.get(self.metric, math.nan) - self.bound) / (abs(self.bound) or 1.0)
        return beyond if self.sign in ("<=", "<") else -beyond

    def __str__(self) -> str:
        return f"{spelt(self.metric)}{self.sign}{self.bound:.12g}"


def violation(constraints: Iterable[Limit], metrics: Mapping[str, float]) -> float:
    """The sum of what is beyond each limit, in shares of its bound; NaN where a metric is no number."""
    return math.fsum(limit.excess(metrics) for limit in constraints)


def check_constraints(constraints: Sequence[Limit], measured: Sequence[Metric]) -> None:
    """Refuse, before an hour is spent, constraints on what nobody measures, or on what was measured on a test set."""
    known = {metric.name: metric for metric in measured}
    for limit in constraints:
        said = shortened(str(limit), 200)
        if is_reported(limit.metric, known):
            raise SpecError(f"The search never sees the test set, but the constraint {said} does.")
        if limit.metric not in known:
            raise SpecError(
                f"The constraint {said} needs the metric {quoted(limit.metric)}, but the evaluator measures "
                f"{', '.join(sorted(known)) or 'nothing'}: add what measures it, as in together(trained, latency)."
            )
