"""What is known of the winner's latency: what it was each time, how far that agrees, and whether it met its target."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ogive.catalog import build
from ogive.core.errors import OgiveError
from ogive.core.limit import Limit
from ogive.core.metric import LATENCY, LATENCY_CPU, LATENCY_HIGH, LATENCY_LOW, LATENCY_SPREAD, was_busy
from ogive.core.objective import LatencyTradeoff
from ogive.core.trial import Trial, counted
from ogive.reporting.markup import title, told
from ogive.reporting.member import Member, Winner

__all__ = ["latency_lines", "targets_of"]

Verdict = Literal["met", "missed", "cannot be told"]

DISAGREE = 0.1  # by so much may one look differ from another
WIDE = 0.05  # relative width of an interval, from which on it is spoken of


@dataclass(frozen=True, slots=True)
class _Look:
    """One measurement: when, milliseconds, the ends of the median's 95 % interval, and the processor's own time.

    NaN stands for what is not known, or tells nothing.
    """

    when: str
    middle: float
    low: float
    high: float
    cpu: float

    @property
    def is_busy(self) -> bool:
        """Whether something else kept the machine busy meanwhile."""
        return was_busy({LATENCY_CPU.name: self.cpu, LATENCY.name: self.middle})

    def __str__(self) -> str:
        known = not math.isnan(self.low + self.high)
        about = f"95 % interval of the median {self.low:.3g} to {self.high:.3g}" if known else ""
        worked = f"the processor worked {self.cpu:.3g} ms of them" if self.is_busy else ""
        within = "; ".join(part for part in (about, worked) if part)
        return f"{self.middle:.3g} ms {self.when}{f' ({within})' if within else ''}"


def latency_lines(best: Winner) -> list[str]:
    """Sentences about the measured latency of the winner; none where the search measured none."""
    one, looks = best.one, _looks(best)
    if not looks:
        return []
    final = one.run.remeasured.get(best.trial.number)
    asked = any(LATENCY.name in objective.needs for objective in one.sought)
    lines = [f"Its latency was measured {_times(len(looks))}: {', '.join(map(str, looks))}.{_agreement(looks)}"]
    lines += _targets(one, next((look for look in reversed(looks) if not look.is_busy), None))
    if final is None and asked:
        again = shlex.join(["ogive", "resume", str(one.run.folder)])
        lines.append(f"It was not measured again side by side with its rivals: {again} does that.")
    return [*lines, *_doubts(one)]


def _looks(best: Winner) -> list[_Look]:
    """Every measurement of the winner's latency; none where the search measured none."""
    one, trial = best.one, best.trial
    if LATENCY.name not in trial.metrics or LATENCY_SPREAD[0].name not in one.run.metrics:
        return []
    final = one.run.remeasured.get(trial.number)
    return [_of(one, trial.metrics, "in the search"), *_side_by_side(one, final), *_after_training(one.final)]


def _of(one: Member, metrics: Mapping[str, float], when: str) -> _Look:
    low, high, cpu = (metrics.get(each.name, math.nan) for each in (LATENCY_LOW, LATENCY_HIGH, LATENCY_CPU))
    return _Look(when, metrics[LATENCY.name], low, high, cpu if _on_processor(one) else math.nan)


def _on_processor(one: Member) -> bool:
    return one.config.get("device") in (None, "cpu")


def _side_by_side(one: Member, final: Trial | None) -> list[_Look]:
    if final is None or LATENCY.name not in final.metrics:
        return []
    others = len({trial.arch for trial in one.run.remeasured.values()}) - 1
    when = f"in alternation with {counted(others, 'other finalist')}" if others else "once more after the search"
    return [_of(one, final.metrics, when)]


def _after_training(final: Mapping[str, Any]) -> list[_Look]:
    found = final.get("latency")
    if not isinstance(found, Mapping) or not isinstance(found.get("median_ms"), (int, float)):
        return []
    low, high, cpu = (float(found.get(name, math.nan)) for name in ("low_ms", "high_ms", "cpu_ms"))
    cpu = cpu if found.get("device") == "cpu" else math.nan
    return [_Look("after its full training", float(found["median_ms"]), low, high, cpu)]


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _agreement(looks: Sequence[_Look]) -> str:
    """Whether all looks found about the same."""
    middles = [look.middle for look in looks]
    if len(middles) < 2:
        return ""
    apart = max(middles) / min(middles) - 1
    if apart <= DISAGREE:
        return f" They agree within {100 * apart:.2g} %."
    return (
        f" The longest is {100 * apart:.0f} % above the shortest: the machine was not equally busy, or the networks "
        "were not of one size. What counts is the last one for which the machine was free."
    )


def _targets(one: Member, last: _Look | None) -> list[str]:
    """Of every target for the latency, whether the last look at it on a free machine met it."""
    targets = [target for text in one.objectives if (target := _target(text)) is not None]
    targets += [limit.bound for limit in one.run.limits if limit.metric == LATENCY.name and limit.sign.startswith("<")]
    return [_met(target, last) for target in dict.fromkeys(targets)]


def _target(written: str) -> float | None:
    try:
        objective = build("objective", written)
    except OgiveError:  # of somebody's own
        return None
    timed = isinstance(objective, LatencyTradeoff) and objective.latency == LATENCY.name
    return objective.target_ms if timed else None


def _met(target: float, last: _Look | None) -> str:
    verdict = _verdict(target, last)
    if last is None:
        return f"Whether the target of {target:g} ms is met cannot be told: the machine was busy each time."
    said = f"The target of {target:g} ms is"
    if verdict == "met":
        return f"{said} met."
    if verdict == "missed":
        return f"{said} missed by {100 * (last.middle / target - 1):.3g} %."
    return f"Whether the target of {target:g} ms is met cannot be told: it lies within the interval."


def _verdict(target: float, last: _Look | None) -> Verdict:
    """Whether the last look that counts keeps to a target with its whole interval."""
    if last is None:
        return "cannot be told"
    low, high = (last.middle if math.isnan(end) else end for end in (last.low, last.high))
    return "met" if high <= target else "missed" if low > target else "cannot be told"


def targets_of(best: Winner) -> list[tuple[str, Verdict, str]]:
    """Every target of the search and of its choice, whether the winner met it, and what it has.

    A latency that was measured here counts as it was measured last on a free machine, with its whole interval.
    """
    one = best.one
    limits = [*one.run.constraints, *one.run.limits]
    timed = [target for text in one.objectives if (target := _target(text)) is not None]
    limits += [Limit(LATENCY.name, "<=", target) for target in timed]
    looks = _looks(best)
    found = []
    for limit in dict.fromkeys(limits):
        metric = best.metrics.get(limit.metric)
        value = best.values.get(limit.metric, best.final_trial.metrics.get(limit.metric))
        words = f"{limit.metric if metric is None else title(metric)} {limit.sign} "
        words += f"{limit.bound:g}" if metric is None else told(metric, limit.bound)
        if looks and limit.metric == LATENCY.name and limit.sign.startswith("<"):
            last = next((look for look in reversed(looks) if not look.is_busy), None)
            found.append((words, _verdict(limit.bound, last), "the machine was busy" if last is None else str(last)))
        elif value is not None:
            verdict: Verdict = "met" if limit.keeps({limit.metric: value}) else "missed"
            found.append((words, verdict, f"{value:g}" if metric is None else told(metric, value)))
    return found


def _doubts(one: Member) -> list[str]:
    """What speaks against the latencies of the search as a whole."""
    timed = [trial.metrics for trial in one.run.trials if LATENCY.name in trial.metrics]
    busy = [metrics for metrics in timed if was_busy(metrics)]
    widths = [(m[LATENCY_HIGH.name] - m[LATENCY_LOW.name]) / m[LATENCY.name] for m in timed if LATENCY_HIGH.name in m]
    wide = [width for width in widths if width > WIDE]
    lines = []
    if busy and _on_processor(one):
        lines.append(
            f"In {len(busy):,} of {len(timed):,} measurements of the search the processor worked less than nine tenths "
            "of the time: something else kept the machine busy."
        )
    if wide:
        lines.append(
            f"In {len(wide):,} of {len(timed):,} the 95 % interval of the median stayed wider than {100 * WIDE:g} % of "
            f"it, up to {100 * max(wide):.0f} %."
        )
    return lines
