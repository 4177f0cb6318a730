"""ASHA and Hyperband with two workers whose trials take lognormal times: how much of the time both are at work.

``make bench ARGS="-k brackets"`` prints the shares, beside those of random search, in which no trial depends on
another. The evaluator sleeps; the processor is idle.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sleeping import SleepingInRungs

import ogive
from ogive.core.study import Order
from ogive.core.trial import Trial

Show = Callable[[str], None]

WORKERS, TRIALS, SEEDS, MEAN_S, SIGMA = 2, 150, 4, 0.1, 1.0


def busy_share(trials: list[Trial]) -> float:
    """How much of the workers' time they sleep, from when all are at work until the last trial begins."""
    spans = sorted((trial.metrics["began_s"], trial.metrics["ended_s"]) for trial in trials)
    start, end = spans[WORKERS - 1][0], spans[-1][0]
    slept = sum(max(0.0, min(ended, end) - max(began, start)) for began, ended in spans)
    return slept / (WORKERS * (end - start))


def share_of(strategy: str, in_flight: int, order: Order, *, by_epochs: bool, seeds: int = SEEDS) -> float:
    """The mean over seeds: of a few hundred lognormal times the largest decide much."""
    found = [
        ogive.search(
            space="nasbench201",
            strategy=strategy,
            evaluator=SleepingInRungs(MEAN_S, SIGMA, by_epochs=by_epochs),
            objective="maximize(sum)",
            budget=TRIALS,
            seed=seed,
            workers=WORKERS,
            in_flight=in_flight,
            order=order,
        )
        for seed in range(seeds)
    ]
    return sum(busy_share(list(one.trials)) for one in found) / seeds


@pytest.mark.parametrize("strategy", ["asha", "hyperband", "random"])
def test_brackets_keep_two_workers_busy(strategy: str, show: Show) -> None:
    """Eight proposals in flight, told in their order, every trial with a time of its own."""
    share = share_of(strategy, 8, "number", by_epochs=False)
    show(f"{strategy}, lognormal seconds (sigma 1), in_flight 8: {share:.1%} of two workers' time")
    if strategy == "asha":
        assert share >= 0.95


@pytest.mark.parametrize("order", ["number", "finish"])
def test_brackets_whose_trials_also_take_as_long_as_their_epochs(order: Order, show: Show) -> None:
    """A whole training takes 18 times as long as the lowest rung; told in their order, who is next waits for it."""
    share = share_of("asha", 8 if order == "number" else WORKERS, order, by_epochs=True, seeds=1)
    show(f"asha, seconds by epochs, told in the order {order}: {share:.1%} of two workers' time")
