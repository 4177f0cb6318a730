"""Proposal, Measurement, Trial, Cost and Budget: the frozen records that pass between the parts of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import Metric

__all__ = ["Budget", "Call", "Cost", "Measurement", "Proposal", "Status", "Trial", "counted"]

Status = Literal["ok", "failed", "screened"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on two clocks: what the work took here, and what a benchmark table says it took there."""

    wall_s: float = 0.0
    benchmark_s: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall_s + other.wall_s, self.benchmark_s + other.benchmark_s)


FREE = Cost()


@dataclass(frozen=True, slots=True)
class Proposal:
    """An architecture that a strategy wants measured.

    `fidelity` is how much to spend on it, in the evaluator's unit (epochs for ``trained``); None means the evaluator's
    default. `cost` is what making the proposal took (one epoch of a supernet, say).
    """

    arch: Architecture
    fidelity: int | None = None
    cost: Cost = FREE


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an evaluator found out about one proposal, or the reason why it could not.

    Names of metrics carry their units: ``val_acc`` (per cent), ``latency_ms``, ``params``, ``macs``. Metrics whose
    name starts with ``test_`` are for the record only: no strategy and no objective ever sees them.
    `screened` says that a cheap evaluator judged the proposal not worth the dear one.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    cost: Cost = FREE
    error: str | None = None
    screened: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call of ``ask``: for how many proposals, and after how many trials had been told."""

    wanted: int
    told: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One finished line of a search.

    `number` counts proposals in the order in which the strategy made them. `scores` are larger-is-better, one for each
    objective, and finite; None unless `status` is "ok". `call` is the call of ``ask`` that the proposal came from,
    where calls are not all for one; by it a resumed search calls as the interrupted one did.
    """

    number: int
    proposal: Proposal
    measurement: Measurement
    status: Status
    scores: tuple[float, ...] | None = None
    call: Call | None = field(default=None, compare=False)

    @property
    def arch(self) -> Architecture:
        """The architecture of the proposal."""
        return self.proposal.arch

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics of the measurement."""
        return self.measurement.metrics

    @property
    def cost(self) -> Cost:
        """What the proposal and its measurement took together."""
        return self.proposal.cost + self.measurement.cost

    def blind(self) -> Trial:
        """The same trial without its ``test_`` metrics: the form in which strategies are told."""
        metrics = self.measurement.metrics
        if not any(Metric(name).test for name in metrics):
            return self
        seen = {name: value for name, value in metrics.items() if not Metric(name).test}
        return replace(self, measurement=replace(self.measurement, metrics=seen))


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search has had enough: the first limit reached ends it; None means no such limit.

    `trials` counts evaluated candidates (failed ones too); screened-out candidates are free. `wall_s` is time on this
    machine, `benchmark_s` the simulated time of a table.
    """

    trials: int | None = None
    wall_s: float | None = None
    benchmark_s: float | None = None

    def __post_init__(self) -> None:
        limits = {"trials": self.trials, "wall_s": self.wall_s, "benchmark_s": self.benchmark_s}
        for name, limit in limits.items():
            if limit is not None and not (limit > 0 and math.isfinite(limit)):
                raise SpecError(f"A budget's {name} must be a positive number, but got {limit!r}.")
        if all(limit is None for limit in limits.values()):
            raise SpecError("A budget needs a limit: trials, wall_s or benchmark_s.")

    def __str__(self) -> str:
        parts = (
            counted(self.trials, "trial") if self.trials is not None else "",
            f"{self.wall_s:g} s" if self.wall_s is not None else "",
            f"{self.benchmark_s:g} benchmark s" if self.benchmark_s is not None else "",
        )
        return ", ".join(part for part in parts if part)


def counted(count: int, noun: str) -> str:
    """1 trial, 2 trials."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(slots=True)
class Spent:
    """The running total that a budget is compared with."""

    trials: int = 0
    cost: Cost = field(default=FREE)

    def add(self, trial: Trial) -> None:
        """Count one finished trial."""
        self.cost = self.cost + trial.cost
        if trial.status != "screened":
            self.trials += 1

    def exhausts(self, budget: Budget, wall_s: float) -> bool:
        """Whether nothing new may be started, `wall_s` seconds into the search."""
        return (
            (budget.trials is not None and self.trials >= budget.trials)
            or (budget.wall_s is not None and wall_s >= budget.wall_s)
            or (budget.benchmark_s is not None and self.cost.benchmark_s >= budget.benchmark_s)
        )
