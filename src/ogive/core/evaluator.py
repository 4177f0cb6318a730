"""Evaluator: how good is it? Measured makes one of a function, Together, Cached and Screened of others."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from ogive.core.architecture import Architecture
from ogive.core.capabilities import walk
from ogive.core.errors import OgiveError, ProtocolError, SpecError, shortened
from ogive.core.metric import Metric, metric_named, names_of
from ogive.core.mishaps import checked, named, number_of, reason_of, shown, storable
from ogive.core.objective import Objective, best_of
from ogive.core.trial import Cost, Measurement, Proposal, Trial

__all__ = [
    "Batched",
    "Cached",
    "Clocked",
    "Evaluator",
    "Labelled",
    "Measured",
    "Screened",
    "Together",
    "attempt",
    "recall",
]

logger = logging.getLogger(__name__)


@runtime_checkable
class Evaluator(Protocol):
    """Anything that measures proposals.

    Errors are data: an architecture that cannot be measured (NaN, out of memory, not in the table) gets a Measurement
    whose `error` says why. A result must depend on the proposal and on the evaluator's own arguments only, not on what
    was evaluated before, so that a resumed run finds what an uninterrupted one would have found.
    """

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All that a successful measurement holds; the first is what a search is for unless it says otherwise."""
        ...

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """One measurement for each proposal, in the same order."""
        ...


@runtime_checkable
class Batched(Evaluator, Protocol):
    """An evaluator that wants several proposals at once."""

    @property
    def batch(self) -> int:
        """How many proposals it wants at once."""
        ...

    def proposals_for(self, trials: int) -> int:
        """How many proposals to hand in so that `trials` of them are evaluated in earnest."""
        ...


@runtime_checkable
class Labelled(Evaluator, Protocol):
    """An evaluator that learns from measured architectures, its labels, before it measures in its own way.

    The labels are the first trials of a search, which its budget counts and its strategy is told. Until `learn` was
    called, `evaluate` measures labels; afterwards it depends on them, its arguments and the proposal only.
    """

    @property
    def sample(self) -> Sequence[Proposal]:
        """The proposals to be measured first."""
        ...

    def learn(self, trials: Sequence[Trial]) -> None:
        """Take note of the trials of all of them, in the order of `sample`; failed ones are among them."""
        ...


@runtime_checkable
class Clocked(Evaluator, Protocol):
    """An evaluator that measures by a clock: no two measurements agree, and those of several can alternate."""

    def side_by_side(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """As `evaluate`, but so that what slows the machine down meanwhile meets all the proposals alike."""
        ...


class Measured:
    """What a function says of an architecture: one number, or one for each of the metrics by name.

    An exception of the function is a failed measurement, with its first line as the reason.
    """

    def __init__(
        self,
        function: Callable[[Architecture], float | Mapping[str, float]],
        metrics: Sequence[Metric] = (Metric("value"),),
    ) -> None:
        if not metrics:
            raise SpecError("Measured(function, metrics=...) needs at least one Metric.")
        self.function, self.metrics = function, tuple(metrics)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """One measurement for each proposal; ProtocolError where the function does not give what was promised."""
        return [self._measured(proposal.arch) for proposal in proposals]

    def _measured(self, arch: Architecture) -> Measurement:
        started = time.perf_counter()
        try:
            found = self.function(arch)
        except OgiveError:
            raise
        except (Exception, SystemExit) as mishap:  # noqa: BLE001 - what one candidate runs into must not cost others
            return Measurement(error=reason_of(mishap))
        names = names_of(self.metrics)
        values = found if isinstance(found, Mapping) else dict.fromkeys(names, found)
        if set(values) != set(names) or (len(names) > 1 and values is not found):
            got = ", ".join(map(str, values)) if values is found else repr(found)
            raise ProtocolError(
                f"The function of Measured(...) promised {', '.join(names)} for {arch}, but returned {shortened(got)}."
            )
        numbers = {name: number_of(value, name, "The function of Measured(...)") for name, value in values.items()}
        return Measurement(numbers, Cost(time.perf_counter() - started))


class Together:
    """Several evaluators of the same proposals, whose metrics are put together.

    A proposal that one of them fails is not given to the next; its measurement keeps what was found before.
    """

    def __init__(self, *parts: Evaluator) -> None:
        if not parts:
            raise SpecError("together(...) needs at least one evaluator.")
        for part in parts:
            _refuse_batched(part, "together")
        self.parts = parts
        self.metrics = joined_metrics(parts)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """One merged measurement for each proposal; costs add up."""
        merged = [Measurement() for _ in proposals]
        for part in self.parts:
            alive = [index for index, measurement in enumerate(merged) if measurement.error is None]
            found = part.evaluate([proposals[index] for index in alive]) if alive else []
            for index, measurement in zip(alive, found, strict=True):
                merged[index] = _merged(merged[index], measurement)
        return merged


class Cached:
    """Remembers what another evaluator found, by architecture and fidelity; a remembered measurement costs nothing."""

    def __init__(self, inner: Evaluator) -> None:
        _refuse_batched(inner, "cached")
        self.parts = (inner,)
        self.metrics = inner.metrics
        self._known: dict[tuple[Architecture, int | None], Measurement] = {}

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """Measurements, of which only the unknown ones are asked of the inner evaluator, each once."""
        new = {_key(proposal): proposal for proposal in proposals if _key(proposal) not in self._known}
        results = self.parts[0].evaluate(list(new.values())) if new else []
        fresh = dict(zip(new, results, strict=True))
        self._known.update({key: _free(measurement) for key, measurement in fresh.items()})
        keys = [_key(proposal) for proposal in proposals]
        # The first proposal of a fresh key carries its cost, so that the costs of a run add up to what was spent.
        return [fresh.pop(key) if key in fresh else self._known[key] for key in keys]

    def recall(self, trials: Iterable[Trial]) -> None:
        """Take over what an earlier part of the run found."""
        for trial in trials:
            names = names_of(self.metrics)
            if trial.status == "screened" or not set(names) <= set(trial.metrics):
                continue
            metrics = {name: trial.metrics[name] for name in names}
            self._known.setdefault(_key(trial.proposal), Measurement(metrics))


class Screened:
    """Scores a pool of proposals with a cheap evaluator and passes only the best on to an expensive one.

    Of every `pool` proposals the best `keep` by `by` are evaluated in earnest; the others come back as screened, with
    their cheap metrics. `by` is a metric of the cheap evaluator (default: its first) or an objective over its metrics.
    Of a smaller pool the same share is kept, at least one. What cannot be scored ranks last.
    """

    def __init__(
        self,
        cheap: Evaluator,
        expensive: Evaluator,
        *,
        keep: int = 4,
        pool: int = 20,
        by: str | Objective | None = None,
    ) -> None:
        if not 1 <= keep <= pool:
            raise SpecError(f"screened(...) needs 1 <= keep <= pool, but got keep={keep}, pool={pool}.")
        if not cheap.metrics:
            raise SpecError("The cheap evaluator of screened(...) must measure something.")
        self.parts = (cheap, expensive)
        self.metrics = joined_metrics(self.parts)
        self.keep, self.batch = keep, pool
        wanted = cheap.metrics[0].name if by is None else by
        kind = "metric of the cheap evaluator"
        self.by = best_of(metric_named(cheap.metrics, wanted, kind)) if isinstance(wanted, str) else wanted
        for metric in self.by.needs:
            metric_named(cheap.metrics, metric, kind)

    def proposals_for(self, trials: int) -> int:
        """The smallest pool of which `trials` are kept."""
        return math.ceil(self.batch * trials / self.keep)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """A full measurement for the best, a screened one for the rest."""
        cheap, expensive = self.parts
        measurements = cheap.evaluate(proposals)
        ranks = [self._rank(proposal, found) for proposal, found in zip(proposals, measurements, strict=True)]
        ranked = sorted(range(len(proposals)), key=ranks.__getitem__, reverse=True)
        kept = sorted(ranked[: max(1, len(proposals) * self.keep // self.batch)])
        results = [replace(measurement, screened=True) for measurement in measurements]
        for index, found in zip(kept, expensive.evaluate([proposals[index] for index in kept]), strict=True):
            results[index] = _merged(measurements[index], found)
        return results

    def _rank(self, proposal: Proposal, measurement: Measurement) -> float:
        if measurement.error is not None:
            return -math.inf
        value = self.by(proposal.arch, measurement.metrics)
        return -math.inf if math.isnan(value) else value


def attempt(evaluator: Evaluator, proposals: Sequence[Proposal]) -> list[Measurement]:
    """Evaluate, and turn an unexpected exception, or an exit, into failed measurements.

    Errors of ogive itself pass through. ProtocolError for what is no measurement, one for each proposal.
    """
    try:
        measurements = evaluator.evaluate(proposals)
    except OgiveError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - candidates are code of other people
        # As plain text: a log is written to files and terminals that take no lone surrogates.
        trace = storable(traceback.format_exc().rstrip())
        logger.error("The evaluator raised an exception; the trial counts as failed.\n%s", trace)
        return [Measurement(error=reason_of(error)) for _ in proposals]
    if not isinstance(measurements, Sequence):
        raise ProtocolError(
            f"{named(evaluator)} must return a list of measurements, but returned {shown(measurements)}."
        )
    if len(measurements) != len(proposals):
        raise ProtocolError(
            f"evaluate must return one measurement for each proposal: {named(evaluator)} was given {len(proposals)} "
            f"and returned {len(measurements)}."
        )
    return [checked(found, evaluator) for found in measurements]


def recall(evaluator: Evaluator, trials: Sequence[Trial]) -> None:
    """Give every part of an evaluator that remembers (``Cached``) the trials of an earlier part of the run."""
    for part in walk(evaluator):
        if isinstance(part, Cached):
            part.recall(trials)


def joined_metrics(parts: Sequence[Evaluator]) -> tuple[Metric, ...]:
    """The metrics of all the parts; two parts that measure the same one are refused."""
    metrics = [metric for part in parts for metric in part.metrics]
    names = names_of(metrics)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"Each metric may be measured by one evaluator only, but {', '.join(twice)} by more than one.")
    return tuple(metrics)


def _key(proposal: Proposal) -> tuple[Architecture, int | None]:
    return proposal.arch, proposal.fidelity


def _free(measurement: Measurement) -> Measurement:
    return Measurement(measurement.metrics, error=measurement.error, screened=measurement.screened)


def _merged(first: Measurement, second: Measurement) -> Measurement:
    metrics: Mapping[str, float] = {**first.metrics, **second.metrics}
    error = "; ".join(reason for reason in (first.error, second.error) if reason) or None
    return Measurement(metrics, first.cost + second.cost, error, first.screened or second.screened)


def _refuse_batched(part: Evaluator, name: str) -> None:
    if isinstance(part, Batched):
        raise SpecError(
            f"{type(part).__name__} wants {part.batch} proposals at once, which {name}(...) would not gather for it: "
            "make it the outermost evaluator, as in screened(cached(...), together(...))."
        )
