"""What a search would cost: measure a candidate or two before spending the budget on all of them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from ogive.core.architecture import Architecture
from ogive.core.evaluator import Evaluator, attempt
from ogive.core.rng import Seed
from ogive.core.trial import Measurement, Proposal
from ogive.session import Settings, assemble

__all__ = ["Estimate", "estimate"]

# An estimate whose first candidate takes longer than this needs no second one: warming up is a small part of it.
LONG_S = 20.0


@dataclass(frozen=True)
class Estimate:
    """What a search would cost: the size of its space, seconds of one trial here, seconds of all of them.

    `total_s` is infinite where nobody can say; `error` is why the one candidate that was tried failed, if it did.
    """

    size: float
    trial_s: float
    total_s: float
    error: str | None = None


def estimate(settings: Settings) -> Estimate:
    """Measure one random candidate, one that is trained at a few epochs, and multiply.

    The first work of a process is several times slower than the rest, and what a training does once is not to be
    multiplied. So one candidate warms up, unless it takes so long that this does not matter, and of the next one the
    second epoch is what counts.
    """
    parts = assemble(settings)
    parts.study()
    epochs = _epochs(parts.evaluator)
    once_s = _rehearsed(parts.evaluator)
    rng = Seed(settings.seed).numpy("estimate")
    first, second = parts.space.sample(rng), parts.space.sample(rng)
    measured, one_s = _timed(parts.evaluator, first, 1 if epochs else None)
    trial_s = one_s * (epochs or 1)
    if one_s < LONG_S:
        measured, one_s = _timed(parts.evaluator, second, 1 if epochs else None)
        trial_s = one_s
        if epochs is not None and epochs > 1:
            two_s = _timed(parts.evaluator, second, 2)[1]
            # Where the clock is coarser than an epoch, half of two of them is the best that is known.
            trial_s += (epochs - 1) * (two_s - one_s if two_s > one_s else two_s / 2)
    budget = settings.budget
    trials: float = math.inf if budget.trials is None else budget.trials
    if budget.benchmark_s is not None and measured.cost.benchmark_s > 0:
        trials = min(trials, math.ceil(budget.benchmark_s / measured.cost.benchmark_s))
    total_s = min(once_s + trials * trial_s / settings.workers, budget.wall_s or math.inf)
    return Estimate(parts.space.size, trial_s, total_s, measured.error)


def _timed(evaluator: Evaluator, arch: Architecture, fidelity: int | None) -> tuple[Measurement, float]:
    started = time.perf_counter()
    measured = attempt(evaluator, [Proposal(arch, fidelity=fidelity)])[0]
    return measured, time.perf_counter() - started


def _rehearsed(evaluator: Evaluator) -> float:
    """Seconds of what is done once before the first candidate, such as the training of a supernet; not done here."""
    own = getattr(evaluator, "rehearse", None)
    seconds = float(own()) if callable(own) else 0.0
    return seconds + sum(_rehearsed(part) for part in getattr(evaluator, "parts", ()))


def _epochs(evaluator: Evaluator) -> int | None:
    """The epochs of the first part that trains, if any does."""
    own = getattr(evaluator, "epochs", None)
    if isinstance(own, int):
        return own
    inner = (_epochs(part) for part in getattr(evaluator, "parts", ()))
    return next((epochs for epochs in inner if epochs), None)
