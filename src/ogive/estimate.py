"""What a search would cost: measure a candidate or two before spending the budget on all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Listening, Repeated, Scheduled, fidelity_of, rehearsed, walk
from ogive.core.evaluator import Evaluator, Labelled, Together, attempt
from ogive.core.executor import Progress, Task
from ogive.core.rng import Seed
from ogive.core.strategy import Strategy
from ogive.core.trial import Measurement, Proposal
from ogive.session import Parts, Settings, UnderWay, assemble

__all__ = ["GLIMPSED_S", "Estimate", "estimate"]

# How long the training of a candidate is watched for its pace, in seconds: where it is all that is wanted, and before a
# search that begins at once.
WATCHED_S, GLIMPSED_S = 5.0, 1.0
# An estimate whose first candidate takes longer than this needs no second one: warming up is a small part of it.
LONG_S = 20.0


@dataclass(frozen=True)
class Estimate:
    """What a search would cost: the size of its space, seconds of one trial here, seconds of all of the search.

    `total_s` is infinite where nobody can say. `asking_s` is what the strategy takes of it, such as one that trains a
    supernet. `error` is why the one candidate that was tried failed, if it did.
    """

    size: float
    trial_s: float
    total_s: float
    asking_s: float = 0.0
    error: str | None = None


def estimate(
    settings: Settings, strategies: Sequence[str] = (), *, parts: Parts | None = None, watched_s: float = WATCHED_S
) -> Estimate:
    """Measure a random candidate or two, let the parts rehearse, and add up.

    Of a candidate that tells of its training, only the pace of `watched_s` seconds is measured; of others whose
    trainings have epochs, those at a few of them. With `strategies`, the total is that of one search with each of them
    instead of that of the settings, and the workers share searches instead of trials. `parts` may be given ready-made.
    """
    parts = parts or assemble(settings)
    parts.study()
    once_s = rehearsed(parts.evaluator)
    measured, trial_s = _measured(parts, settings, watched_s)
    trials = math.inf if settings.budget.trials is None else settings.budget.trials
    if settings.budget.benchmark_s is not None and measured.cost.benchmark_s > 0:
        trials = min(trials, math.ceil(settings.budget.benchmark_s / measured.cost.benchmark_s))
    fidelity = fidelity_of(parts.evaluator)
    if settings.budget.units is not None and fidelity is not None:
        trials = min(trials, math.ceil(settings.budget.units / fidelity.full))
    # Predictions take next to nothing: what is measured are the labels before them.
    labels = min((len(part.sample) for part in walk(parts.evaluator) if isinstance(part, Labelled)), default=math.inf)
    in_a_search, beside = (1, settings.count) if strategies else (settings.count, 1)
    total_s = all_asking_s = 0.0
    built = {"space": parts.space, "evaluator": parts.evaluator, "weights": parts.context["weights"]}
    for name in strategies or (settings.strategy,):
        strategy = assemble(replace(settings, strategy=name), given=built).strategy if strategies else parts.strategy
        asked, asking_s = _asked(strategy, trials)
        search_s = once_s + asking_s + min(asked, labels) * trial_s / in_a_search
        total_s += min(search_s, settings.budget.wall_s or math.inf) / beside
        all_asking_s += asking_s
    return Estimate(parts.space.size, trial_s, total_s, all_asking_s, measured.error)


def _asked(strategy: Strategy, trials: float) -> tuple[float, float]:
    """How many proposals a strategy makes for so many trials, and the seconds that it takes to make them."""
    seconds = rehearsed(strategy)  # first: how many parts of given weights are searched is known once there are any
    most = min((part.proposals for part in walk(strategy) if isinstance(part, Scheduled)), default=math.inf)
    asked = min(trials, most)
    return asked, seconds if math.isinf(most) else seconds * asked / most


def _measured(parts: Parts, settings: Settings, watched_s: float) -> tuple[Measurement, float]:
    """What became of a random candidate, and the seconds of a trial."""
    rng = Seed(settings.seed).numpy("estimate")
    first, second = parts.space.sample(rng), parts.space.sample(rng)
    paced = _paced(parts.evaluator, first, watched_s)
    if paced is not None:
        return paced
    return _of_few_epochs(parts.evaluator, first, second)


class _Enough(BaseException):
    """The pace of a training is known, so that nobody needs the rest of it."""


def _paced(evaluator: Evaluator, arch: Architecture, watched_s: float) -> tuple[Measurement, float] | None:
    """A measurement and the seconds of a whole one, by the pace of its trainings; None if they do not tell that.

    Evaluators that work together are measured one after the other, since a training that is broken off would take
    those after it with it.
    """
    inner = evaluator.parts if isinstance(evaluator, Together) else (evaluator,)
    telling = [part for part in inner if isinstance(part, Listening) and fidelity_of(part) is not None]
    if not telling:
        return None
    whole, total_s = Measurement(), 0.0
    for part in inner:
        measured, seconds = _followed(part, arch, watched_s) if part in telling else _timed(part, arch, None)
        if measured.error is not None:
            return measured, total_s + seconds
        whole, total_s = Measurement(cost=whole.cost + measured.cost), total_s + seconds
    return whole, total_s


def _followed(evaluator: Evaluator, arch: Architecture, watched_s: float) -> tuple[Measurement, float]:
    """What became of a candidate whose training was broken off after so many seconds, and those of a whole one."""
    under_way = UnderWay(Task(0, range(1)), time.perf_counter())

    def hear(said: object) -> None:
        event, now_s = Progress.of(under_way.task, said), time.perf_counter()
        under_way.tell(event.text, event.share, now_s)
        if under_way.training_s is not None and now_s - under_way.told[0][0] > watched_s:
            raise _Enough

    assert isinstance(evaluator, Listening)
    before, evaluator.progress = evaluator.progress, hear
    repeats = evaluator.repeats if isinstance(evaluator, Repeated) else 1
    try:
        measured, seconds = _timed(evaluator, arch, None)
    except _Enough:
        return Measurement(), repeats * (under_way.training_s or 0.0)
    finally:
        evaluator.progress = before
    return measured, seconds - under_way.start_s


def _of_few_epochs(evaluator: Evaluator, first: Architecture, second: Architecture) -> tuple[Measurement, float]:
    """What became of a candidate, and the seconds of a trial.

    The first work of a process is several times slower than the rest, and what a training does once is not to be
    multiplied. So one candidate warms up, unless it takes so long that this does not matter, and of the next one the
    second epoch is what counts.
    """
    fidelity = fidelity_of(evaluator)
    epochs = fidelity.full if fidelity is not None and fidelity.rungs is None else None  # one of which can be measured
    measured, one_s = _timed(evaluator, first, 1 if epochs else None)
    if one_s >= LONG_S:
        return measured, one_s * (epochs or 1)
    measured, one_s = _timed(evaluator, second, 1 if epochs else None)
    if epochs is None or epochs == 1:
        return measured, one_s
    two_s = _timed(evaluator, second, 2)[1]
    # Where the clock is coarser than an epoch, half of two of them is the best that is known.
    return measured, one_s + (epochs - 1) * (two_s - one_s if two_s > one_s else two_s / 2)


def _timed(evaluator: Evaluator, arch: Architecture, fidelity: int | None) -> tuple[Measurement, float]:
    started = time.perf_counter()
    measured = attempt(evaluator, [Proposal(arch, fidelity=fidelity)])[0]
    return measured, time.perf_counter() - started
