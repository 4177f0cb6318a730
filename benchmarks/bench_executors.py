"""Executors: how busy workers are where trials are told in their order, by how many of them are in flight.

``make bench ARGS="-k workers"`` prints the shares; each stands beside what a schedule without any overhead would reach.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from sleeping import Sleeping

from ogive.core.objective import Minimize
from ogive.core.rng import Seed
from ogive.core.study import Study
from ogive.core.trial import Budget, Trial
from ogive.executors import opened
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.local import RandomSearch

Show = Callable[[str], None]

WORKERS, TRIALS, MEAN_S = 2, 300, 0.1
SIGMAS = (0.5, 1.0)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_workers_are_busy_with_four_trials_in_flight_for_each(sigma: float, show: Show) -> None:
    """Two processes, trials of lognormal seconds, told oldest first; the same trials whoever is faster."""
    evaluator = Sleeping(MEAN_S, sigma)
    shares = {}
    for in_flight in (WORKERS, 4 * WORKERS):
        trials = searched(evaluator, in_flight)
        seconds = [evaluator.seconds(trial.proposal) for trial in sorted(trials, key=lambda one: one.number)]
        shares[in_flight] = busy([span(trial) for trial in trials])
        ideal = busy(scheduled(seconds, in_flight))
        long = busy(scheduled(np.random.default_rng(0).lognormal(0, sigma, 20_000).tolist(), in_flight))
        show(
            f"{WORKERS} processes, {TRIALS} trials of {1e3 * MEAN_S:.0f} ms on average, lognormal with σ = {sigma:g}, "
            f"in_flight {in_flight}: {100 * shares[in_flight]:.1f} % busy (the same without overhead "
            f"{100 * ideal:.1f} %, and 20,000 trials {100 * long:.1f} %)"
        )
    assert shares[4 * WORKERS] > shares[WORKERS]


def searched(evaluator: Sleeping, in_flight: int) -> list[Trial]:
    study = Study(RandomSearch(nasbench201(), Seed(0)), evaluator, Minimize("began_s"))
    with opened(WORKERS) as executor:
        return list(study.run(Budget(trials=TRIALS), executor=executor, in_flight=in_flight))


def span(trial: Trial) -> tuple[float, float]:
    return trial.measurement.metrics["began_s"], trial.measurement.metrics["ended_s"]


def busy(spans: Sequence[tuple[float, float]]) -> float:
    """The share of all workers' time that is work, from when the last of them began to when the last trial began."""
    began = sorted(one for one, _ in spans)
    first, last = began[WORKERS - 1], began[-1]
    worked = sum(max(0.0, min(end, last) - max(start, first)) for start, end in spans)
    return worked / (WORKERS * (last - first))


def scheduled(seconds: Sequence[float], in_flight: int) -> list[tuple[float, float]]:
    """When trials begin and end if nothing but them takes time: the next is asked for when the oldest is told."""
    spans: list[tuple[float, float]] = []
    told = [0.0]  # when so many trials are told
    free = [0.0] * WORKERS  # when each worker has nothing to do
    for number, taken in enumerate(seconds):
        # Asked for once all but the newest in_flight - 1 before it are told.
        start = max(heapq.heappop(free), told[max(0, number - in_flight + 1)])
        spans.append((start, start + taken))
        heapq.heappush(free, start + taken)
        told.append(max(told[-1], start + taken))
    return spans
