"""How long a predictor takes to be fitted, measured on a little of it: what a search says before it starts."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ogive.core.architecture import Architecture
from ogive.core.capabilities import lasting, rounds_of
from ogive.core.predictor import Observed, Predictor
from ogive.core.space import Choice, SearchSpace

__all__ = ["extrapolated", "rehearsed_fit", "rehearsed_labels"]

# So many seconds of rounds are enough to know how long one takes.
ENOUGH_S = 0.2
# So many draws for each label, before a space counts as too small for more.
DRAWS = 10


def rehearsed_labels(space: SearchSpace, count: int, rng: np.random.Generator) -> Observed:
    """Random architectures, each once; fewer than `count` where a space has no more.

    Their scores are sums of a number out of the air for each choice: noise takes some predictors longer to learn.
    """
    drawn: dict[Architecture, None] = {}
    for _ in range(DRAWS * count):
        drawn[space.sample(rng)] = None
        if len(drawn) == count:
            break
    worth = {
        place: rng.random(len(variable.options) if isinstance(variable, Choice) else 1).tolist()
        for place, variable in ((place, space.variables[place]) for place in space.modelled)
    }
    scores = (
        sum(one[int(arch.choices[place])] if len(one) > 1 else arch.choices[place] for place, one in worth.items())
        for arch in drawn
    )
    return Observed(tuple(drawn), tuple(map(float, scores)))


def rehearsed_fit(predictor: Predictor, labels: Observed) -> tuple[float, Predictor]:
    """About how many seconds a fit on these labels takes, and a predictor that was fitted, if only shortly."""
    fitted = predictor

    def fit(rounds: int) -> None:
        nonlocal fitted
        fitted = lasting(predictor, rounds)
        fitted.fit(labels)

    return extrapolated(fit, rounds_of(predictor)), fitted


def extrapolated(work: Callable[[int], object], rounds: int) -> float:
    """Seconds of so many rounds of some work, by the line through the last two of 1, 2, 4, … that take long enough."""
    before: tuple[int, float] | None = None
    done = 1
    while True:
        started = time.perf_counter()
        work(done)
        seconds = time.perf_counter() - started
        if done >= rounds:
            return seconds
        if before is not None and seconds >= ENOUGH_S:
            # Where the first took longer, as the first work of a process does, all are taken to be alike.
            one_s = (seconds - before[1]) / (done - before[0]) if seconds > before[1] else seconds / done
            return seconds + (rounds - done) * one_s
        before, done = (done, seconds), min(rounds, 2 * done)
