"""Objective: turns the metrics of one architecture into one number to maximise. Arithmetic only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName, quoted, shortened
from ogive.core.metric import Metric, is_reported, spelt

__all__ = ["LatencyTradeoff", "Maximize", "Minimize", "Objective", "best_of", "check_objectives", "written"]


@runtime_checkable
class Objective(Protocol):
    """A number to maximise, and the metrics that it is made of."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the metrics that must have been measured."""
        ...

    def __call__(self, arch: Architecture, metrics: Mapping[str, float]) -> float:
        """Larger is better."""
        ...


@dataclass(frozen=True, slots=True)
class Maximize:
    """The metric itself."""

    metric: str

    @property
    def needs(self) -> tuple[str, ...]:
        """The metric."""
        return (self.metric,)

    def __call__(self, arch: Architecture, metrics: Mapping[str, float]) -> float:
        """The value of the metric."""
        return metrics[self.metric]


@dataclass(frozen=True, slots=True)
class Minimize:
    """The metric with its sign turned."""

    metric: str

    @property
    def needs(self) -> tuple[str, ...]:
        """The metric."""
        return (self.metric,)

    def __call__(self, arch: Architecture, metrics: Mapping[str, float]) -> float:
        """Minus the value of the metric."""
        return -metrics[self.metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTradeoff:
    """Rewards of an accuracy and a latency, of which there are three.

    MnasNet's is accuracy x (latency / target) ** w (Tan et al., CVPR 2019, eqs. 2-3), where w is `below` where
    latency <= target and `above` beyond. ``mode="soft"`` sets both to -0.07, so that a doubled latency must buy about
    5 % relative accuracy; with equal exponents the target cancels: it only rescales the reward and moves no optimum,
    which lies where an elasticity of 0.07 is. ``mode="hard"`` sets 0 and -1: no reward for being faster than the
    target. Give `below` and `above` themselves for anything in between, such as -0.15 twice, which MobileNetV3-Small
    was searched with (Howard et al., ICCV 2019).

    ``mode="absolute"`` is TuNAS's reward (Bender et al., CVPR 2020), accuracy - penalty x |latency / target - 1|, which
    does aim at the target, from both sides. How many units of the accuracy, `penalty`, a latency of twice the target
    costs is ours: 7 for accuracies in per cent.
    """

    target_ms: float
    accuracy: str = "val_acc"
    latency: str = "latency_ms"
    mode: Literal["soft", "hard", "absolute"] = "soft"
    below: float | None = None
    above: float | None = None
    penalty: float = 7.0
    _exponents: tuple[float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.target_ms < math.inf:
            raise SpecError(f"The target latency must be positive, but got target_ms={self.target_ms!r}.")
        modes = {"soft": (-0.07, -0.07), "hard": (0.0, -1.0), "absolute": (0.0, 0.0)}  # MnasNet, section 3.1
        if self.mode not in modes:
            raise UnknownName("latency mode", self.mode, modes)
        if self.mode == "absolute" and (self.below is not None or self.above is not None):
            raise SpecError("The absolute reward has no exponents: leave below and above out, and give a penalty.")
        if not 0 < self.penalty < math.inf:
            raise SpecError(f"The penalty of a latency must be positive, but got penalty={self.penalty!r}.")
        below, above = modes[self.mode]
        exponents = (below if self.below is None else self.below, above if self.above is None else self.above)
        object.__setattr__(self, "_exponents", exponents)

    @property
    def needs(self) -> tuple[str, ...]:
        """The accuracy and the latency."""
        return (self.accuracy, self.latency)

    def __call__(self, arch: Architecture, metrics: Mapping[str, float]) -> float:
        """The reward, in the unit of the accuracy; NaN, which fails the trial, of a latency that is not positive."""
        ratio = metrics[self.latency] / self.target_ms
        if not ratio > 0:
            return math.nan
        if self.mode == "absolute":
            return float(metrics[self.accuracy] - self.penalty * abs(ratio - 1))
        below, above = self._exponents
        return float(metrics[self.accuracy] * ratio ** (below if ratio <= 1 else above))


def best_of(metric: Metric) -> Maximize | Minimize:
    """The objective of a metric in its own direction."""
    return Maximize(metric.name) if metric.better == "larger" else Minimize(metric.name)


def check_objectives(objectives: Sequence[Objective], measured: Sequence[Metric]) -> None:
    """Refuse, before an hour is spent, objectives that nobody measures or that look at the test set."""
    if not objectives:
        raise SpecError("A search needs at least one objective, such as Maximize('val_acc').")
    known = {metric.name: metric for metric in measured}
    for objective in objectives:
        said = shortened(written(objective), 200)
        for metric in objective.needs:
            if is_reported(metric, known):
                raise SpecError(
                    f"The search never sees the test set, but {said} needs {quoted(metric)}; use a validation metric."
                )
            if metric not in known:
                name = shortened(spelt(metric), 200)
                raise SpecError(
                    f"The objective {said} needs the metric {quoted(metric)}, but the evaluator measures "
                    f"{', '.join(sorted(known)) or 'nothing'}: add what measures it, as in "
                    f"together(trained, training_free({name})) or, where a table has it, tabular(also=[{name}])."
                )


def written(objective: Objective) -> str:
    """The objective as it is written, such as minimize(params); an own one by its class."""
    name = type(objective).__name__
    return f"{name.lower()}({spelt(objective.metric)})" if isinstance(objective, (Maximize, Minimize)) else name
