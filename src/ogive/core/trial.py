"""Proposal, Measurement, Trial, Cost and Budget: the frozen records that pass between the parts of a search."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import Metric, is_reported

__all__ = [
    "FREE",
    "Budget",
    "Call",
    "Cost",
    "Fidelity",
    "Measurement",
    "Proposal",
    "Spent",
    "Status",
    "Trial",
    "counted",
    "duration",
]

Status = Literal["ok", "failed", "screened", "infeasible"]


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

    @property
    def height(self) -> float:
        """The fidelity as a number that can be compared with others: infinite for a whole measurement."""
        return math.inf if self.fidelity is None else self.fidelity


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What the fidelities of an evaluator count, and how many of them a whole measurement takes.

    `continued` says that more of it goes on from less, so that the less of an architecture is part of the more: epochs
    of one training, not trainings whose schedules have other ends. `rungs` are those that there are, in ascending
    order; None for every number from 1 to the full one.
    """

    unit: str
    full: int
    continued: bool = False
    rungs: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an evaluator found out about one proposal, or the reason why it could not.

    Names of metrics carry their units: ``val_acc`` (per cent), ``latency_ms``, ``params``, ``macs``. Metrics that
    are `reported`, as those whose names start with ``test_``, are for the record only: no strategy and no objective
    ever sees them.
    `screened` says that a cheap evaluator judged the proposal not worth the expensive one.
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
    where calls are not all for one; by it a resumed search calls as the interrupted one did. An "infeasible" trial was
    measured, but is beyond constraints of the search, by `violation` in shares of their bounds.
    """

    number: int
    proposal: Proposal
    measurement: Measurement
    status: Status
    scores: tuple[float, ...] | None = None
    call: Call | None = field(default=None, compare=False)
    violation: float = 0.0

    @property
    def measured(self) -> bool:
        """Whether the whole measurement succeeded, whatever it found."""
        return self.status in ("ok", "infeasible")

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

    def blind(self, known: Mapping[str, Metric]) -> Trial:
        """The same trial without what is for the record only: the form in which strategies are told.

        `known` are the metrics of the evaluator by their names.
        """
        metrics = self.measurement.metrics
        seen = {name: value for name, value in metrics.items() if not is_reported(name, known)}
        if len(seen) == len(metrics):
            return self
        found = self.measurement
        told = Measurement(seen, found.cost, found.error, found.screened)
        return Trial(self.number, self.proposal, told, self.status, self.scores, self.call, self.violation)


MOST = 10**12  # of whatever a budget counts: more than thirty thousand years of seconds


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search has had enough: the first limit reached ends it; None means no such limit.

    `trials` counts evaluated candidates (failed ones too); screened-out candidates are free. `wall_s` is time on this
    machine, `benchmark_s` the simulated time of a table. `units` counts what the evaluator's fidelity does, named
    `unit`: nominal ones, so that a failed training counts as a whole one, and one that goes on from a shorter one of
    the same architecture as the difference.
    """

    trials: int | None = None
    wall_s: float | None = None
    benchmark_s: float | None = None
    units: int | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        limits = {
            "trials": self.trials,
            "wall_s": self.wall_s,
            "benchmark_s": self.benchmark_s,
            self.unit or "units": self.units,
        }
        for name, limit in limits.items():
            if limit is not None and not 0 < limit < math.inf:
                raise SpecError(f"A budget's {name} must be a positive number, but got {limit!r}.")
            if limit is not None and limit > MOST:
                got = f"{limit:.4g}" if limit < 10**300 else "one of hundreds of digits"
                raise SpecError(f"A budget's {name} must be at most {MOST:,}, but got {got}.")
        if all(limit is None for limit in limits.values()):
            raise SpecError("A budget needs a limit: trials, wall_s, benchmark_s or units.")
        if (self.units is None) != (not self.unit):
            raise SpecError(f"A budget of units names them, but got units={self.units}, unit={self.unit!r}.")

    def to_json(self) -> Mapping[str, int | float | str | None]:
        """The limits, as keywords of another budget; units only where they are limited."""
        limits = {"trials": self.trials, "wall_s": self.wall_s, "benchmark_s": self.benchmark_s}
        return dict(limits) if self.units is None else {**limits, "units": self.units, "unit": self.unit}

    def __str__(self) -> str:
        parts = (
            counted(self.trials, "trial") if self.trials is not None else "",
            f"{self.wall_s:g} s" if self.wall_s is not None else "",
            f"{self.benchmark_s:g} benchmark s" if self.benchmark_s is not None else "",
            f"{self.units} {self.unit}" if self.units is not None else "",
        )
        return ", ".join(part for part in parts if part)


def counted(count: int, noun: str) -> str:
    """1 trial, 2 trials."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float, digits: int = 3) -> str:
    """1.4 s, 12 min, 3.5 h, 2.1 days, with so many digits that count."""
    scales = ((100.0, "s", 1.0), (6000.0, "min", 60.0), (172_800.0, "h", 3600.0), (math.inf, "days", 86_400.0))
    _, unit, scale = next((entry for entry in scales if seconds < entry[0]), scales[-1])
    amount = seconds / scale
    return f"{amount:.{digits}g} {unit}" if amount < 10**digits - 0.5 else f"{amount:.0f} {unit}"


@dataclass(slots=True)
class Spent:
    """The running total that a budget is compared with; `units` are counted where there is a `fidelity`."""

    trials: int = 0
    cost: Cost = field(default=FREE)
    fidelity: Fidelity | None = None
    units: int = 0
    _reached: dict[Architecture, int] = field(default_factory=dict)

    def add(self, trial: Trial) -> None:
        """Count one finished trial."""
        self.cost = self.cost + trial.cost
        if trial.status == "screened":
            return
        self.trials += 1
        if self.fidelity is None:
            return
        self.units += self.units_of(trial.proposal)
        if trial.measured and self.fidelity.continued:
            wanted = trial.proposal.fidelity or self.fidelity.full
            self._reached[trial.arch] = max(wanted, self._reached.get(trial.arch, 0))

    def units_of(self, proposal: Proposal) -> int:
        """The nominal units of a proposal: those beyond what its architecture has reached, if they go on from there.

        What goes no further than that is measured anew and counts in full, so that every budget ends.
        """
        if self.fidelity is None:
            return 0
        wanted = proposal.fidelity or self.fidelity.full
        reached = self._reached.get(proposal.arch, 0) if self.fidelity.continued else 0
        return wanted - reached if wanted > reached else wanted

    def exhausts(self, budget: Budget, wall_s: float, running: Iterable[Proposal] = ()) -> bool:
        """Whether nothing new may be started, `wall_s` seconds into the search and with these being measured."""
        return (
            (budget.trials is not None and self.trials >= budget.trials)
            or (budget.wall_s is not None and wall_s >= budget.wall_s)
            or (budget.benchmark_s is not None and self.cost.benchmark_s >= budget.benchmark_s)
            or (budget.units is not None and self.units + sum(map(self.units_of, running)) >= budget.units)
        )
