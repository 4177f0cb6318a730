"""The promises of an evaluator."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from typing import Any

from ogive.core.architecture import Architecture
from ogive.core.capabilities import walk
from ogive.core.errors import OgiveError, ProtocolError
from ogive.core.evaluator import Clocked, Evaluator, Labelled
from ogive.core.metric import LATENCY, LATENCY_SPREAD, Metric, names_of
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.testing.parts import made, require, require_picklable, require_same_elsewhere, target

__all__ = ["CLOCKED", "check_evaluator", "trace_of_evaluator"]

# What is measured with a clock differs from one time to the next.
CLOCKED = names_of((LATENCY, *LATENCY_SPREAD))


def check_evaluator(
    evaluator: Evaluator | str,
    space: SearchSpace | str,
    *,
    proposals: int = 4,
    noisy: Collection[str] = CLOCKED,
    subprocess: bool = False,
) -> None:
    """Names, one measurement a proposal, complete metrics, errors as data, independence of order, and picklability.

    The metrics in `noisy`, and those of parts that are `Clocked`, are measured with a clock and may differ
    between two measurements of the same proposal.
    """
    checked: Evaluator = made(evaluator, Evaluator)
    clocked = [part for part in walk(checked) if isinstance(part, Clocked)]
    noisy = {*noisy, *(name for part in clocked for name in names_of(part.metrics))}
    batch = _proposals(made(space, SearchSpace), proposals)
    name = type(checked).__name__
    _check_names(checked.metrics, name)
    _let_learn(checked)
    require(checked.evaluate([]) == [], f"{name}: no proposals give no measurements.")
    together = checked.evaluate(batch)
    _check_measurements(checked, batch, together)
    for part in clocked:
        _check_measurements(part, batch, part.side_by_side(batch))
    apart = [checked.evaluate([proposal])[0] for proposal in reversed(batch)][::-1]
    for proposal, first, second in zip(batch, together, apart, strict=True):
        same = _steady(first, noisy) == _steady(second, noisy)
        require(
            same or first.screened or second.screened,
            f"{name}: a measurement depends on its proposal alone, but {proposal.arch} gave {_steady(first, noisy)} "
            f"in a batch and {_steady(second, noisy)} alone.",
        )
    _check_foreign(checked, batch[0].arch)
    require_picklable(checked, name)
    if subprocess:
        arguments = [target(evaluator), target(space), str(proposals), json.dumps(sorted(noisy))]
        here = [_steady(measurement, noisy) for measurement in together]
        require_same_elsewhere("ogive.testing.evaluators:trace_of_evaluator", arguments, here, name)


def trace_of_evaluator(evaluator: str, space: str, proposals: str, noisy: str) -> list[str]:
    """What an evaluator measures, as lines that must be the same in every process."""
    checked: Evaluator = made(evaluator, Evaluator)
    batch = _proposals(made(space, SearchSpace), int(proposals))
    _let_learn(checked)
    return [_steady(measurement, json.loads(noisy)) for measurement in checked.evaluate(batch)]


def _let_learn(evaluator: Evaluator) -> None:
    """Give what learns from labels its labels, as a search does before all else."""
    for part in walk(evaluator):
        if isinstance(part, Labelled):
            found = zip(part.sample, evaluator.evaluate(part.sample), strict=True)
            part.learn([Trial(n, *one, "ok" if one[1].error is None else "failed") for n, one in enumerate(found)])


def _proposals(space: SearchSpace, count: int) -> list[Proposal]:
    rng = Seed(0).numpy("proposals")
    return [Proposal(space.sample(rng)) for _ in range(count)]


def _steady(measurement: Measurement, noisy: Collection[str]) -> str:
    if measurement.error is not None:
        return "failed"
    return json.dumps({name: value for name, value in sorted(measurement.metrics.items()) if name not in noisy})


def _check_names(metrics: Any, name: str) -> None:
    proper = isinstance(metrics, tuple) and metrics and all(isinstance(metric, Metric) for metric in metrics)
    require(bool(proper), f"{name}: metrics must be a tuple of Metric records, not {metrics!r}.")
    require(len(set(names_of(metrics))) == len(metrics), f"{name}: a metric is named twice: {metrics}.")


def _check_measurements(evaluator: Evaluator, batch: Sequence[Proposal], found: Sequence[Measurement]) -> None:
    name = type(evaluator).__name__
    require(len(found) == len(batch), f"{name}: {len(batch)} proposals gave {len(found)} measurements.")
    for measurement in found:
        require(isinstance(measurement, Measurement), f"{name}: evaluate returns Measurements, not {measurement!r}.")
        cost = measurement.cost
        require(min(cost.wall_s, cost.benchmark_s) >= 0, f"{name}: costs are seconds and not negative: {cost}.")
        if measurement.error is None and not measurement.screened:
            _check_metrics(evaluator, measurement)
    reasons = [measurement.error for measurement in found]
    require(None in reasons, f"{name}: all of {len(batch)} random architectures failed, the first with {reasons[0]!r}.")


def _check_metrics(evaluator: Evaluator, measurement: Measurement) -> None:
    name = type(evaluator).__name__
    missing = sorted(set(names_of(evaluator.metrics)) - set(measurement.metrics))
    require(not missing, f"{name}: promised {missing} but measured only {sorted(measurement.metrics)}.")
    values: dict[str, Any] = dict(measurement.metrics)
    for metric, value in values.items():
        number = isinstance(value, (int, float)) and not math.isnan(value) and value != math.inf
        require(number, f"{name}: {metric} is {value!r}; what cannot be measured is an error.")


def _check_foreign(evaluator: Evaluator, arch: Architecture) -> None:
    """An architecture of another space is an error: as data, or one of ogive's own."""
    foreign, name = Proposal(Architecture("nowhere", arch.choices)), type(evaluator).__name__
    try:
        measurement = evaluator.evaluate([foreign])[0]
    except OgiveError:
        return
    except Exception as error:
        raise ProtocolError(
            f"{name}: an architecture of another space must be a failed measurement, not {error!r}."
        ) from error
    refused = measurement.error is not None or measurement.screened
    require(refused, f"{name}: measured {foreign.arch}, which belongs to no space of its own.")
