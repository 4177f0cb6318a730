"""What is told of a search while it works: its pace, the time left, and the best so far."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ogive.choice import limits_of
from ogive.core.architecture import Architecture
from ogive.core.executor import Began, Ended, Progress, Task
from ogive.core.metric import LATENCY, VAL_ACC, Metric
from ogive.core.objective import LatencyTradeoff, Maximize, Minimize, Objective
from ogive.core.trial import Budget, Cost, Fidelity, Measurement, Proposal, Trial
from ogive.runs import Record, Run
from ogive.session import Pace, Past, Watch


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def finished(
    number: int, seconds: float, score: float = 1.0, *, fidelity: int | None = None, bench_s: float = 0
) -> Trial:
    metrics = {"val_acc": score, "latency_ms": 4.0}
    arch = Architecture("nasbench201", (number,))
    measurement = Measurement(metrics, Cost(seconds, bench_s))
    return Trial(number, Proposal(arch, fidelity=fidelity), measurement, "ok", (score,))


def watched(
    clock: Clock,
    budget: Budget,
    objectives: Sequence[Objective] = (Maximize("val_acc"),),
    limits: Sequence[str] = (),
    metrics: Sequence[Metric] = (VAL_ACC, LATENCY),
    workers: int = 1,
    fidelity: Fidelity | None = None,
    past: Sequence[Trial] = (),
    most: float = math.inf,
) -> Watch:
    seconds = itertools.accumulate(trial.cost.wall_s for trial in past)
    run = Run(Path("nowhere"), {}, tuple(itertools.starmap(Record, zip(past, seconds, strict=True))))
    before = Past.of(run, fidelity, limits_of(limits)) if past else None
    pace = Pace(budget, clock(), workers, fidelity, lambda: most, before)
    return Watch(pace, objectives, metrics, limits_of(limits), clock)


def worked(
    watch: Watch, clock: Clock, number: int, seconds: float, *, start_s: float = 0.0, gap_s: float = 0.0
) -> None:
    """A trial of ten epochs, of which each is told."""
    task = Task(number, range(number, number + 1))
    watch.event(Began(task))
    clock.now_s += start_s
    for epoch in range(1, 11):
        clock.now_s += seconds / 10
        watch.event(Progress(task, f"epoch {epoch} of 10: loss 0.5", epoch / 10))
    watch.event(Ended(task))
    watch.trial(finished(number, start_s + seconds))
    clock.now_s += gap_s


def test_the_time_left_is_within_a_fifth_of_the_truth_after_three_trials() -> None:
    errors = []
    for seed in range(40):
        clock, seconds = Clock(), np.random.default_rng(seed).normal(50.0, 6.0, 12)
        watch = watched(clock, Budget(trials=12))
        for number, each in enumerate(seconds.tolist()):
            worked(watch, clock, number, each, start_s=90.0 if number == 0 else 0.5, gap_s=2.0)
            if number == 2:
                told_s = watch.left_s
        assert told_s is not None
        left_s = float(seconds[3:].sum()) + 9 * 2.5
        errors.append(abs(told_s - left_s) / left_s)
    assert max(errors) < 0.2


def test_the_trial_under_way_counts_by_its_epochs_and_tells_the_time_before_any_is_over() -> None:
    clock = Clock()
    watch = watched(clock, Budget(trials=4))
    assert watch.left_s is None
    task = Task(0, range(1))
    watch.event(Began(task))
    for epoch in range(1, 6):
        clock.now_s += 30.0 if epoch == 1 else 6.0  # the first one warms up
        watch.event(Progress(task, f"epoch {epoch} of 10: loss 0.5", epoch / 10))
    assert watch.left_s == pytest.approx(30 + 3 * 60)
    assert watch.share == pytest.approx(0.5 / 4)
    assert watch.headline == "0/4 trials, 54 s, about 3.5 min left"
    assert watch.under_way == ["trial 0: epoch 5 of 10: loss 0.5"]


def test_workers_share_what_is_left() -> None:
    clock = Clock()
    watch = watched(clock, Budget(trials=10), workers=2)
    for number in range(4):
        watch.event(Began(Task(number, range(number, number + 1))))
        if number % 2:
            clock.now_s += 20.0
            for done in (number - 1, number):
                watch.event(Ended(Task(done, range(done, done + 1))))
                watch.trial(finished(done, 20.0))
    assert watch.left_s == pytest.approx(6 * 20 / 2)


def test_a_search_that_goes_on_begins_with_what_is_stored() -> None:
    clock = Clock()
    past = [finished(number, 30.0, score) for number, score in enumerate((60.0, 70.0, 65.0))]
    watch = watched(clock, Budget(trials=12), past=past)
    assert watch.headline == "3/12 trials, 90 s, about 4.5 min left"
    assert watch.found == "best validation accuracy 70 % (trial 1)"


def test_epochs_seconds_and_benchmark_seconds_are_limits_as_well() -> None:
    fidelity = Fidelity("epochs", 20, continued=True)
    clock = Clock()
    watch = watched(clock, Budget(units=100, unit="epochs"), fidelity=fidelity)
    watch.event(Began(Task(0, range(1))))
    clock.now_s += 40.0
    watch.event(Ended(Task(0, range(1))))
    watch.trial(finished(0, 40.0))
    assert watch.headline == "1 trial, 20/100 epochs, 40 s, about 2.7 min left"
    assert watch.left_s == pytest.approx(160.0)
    timed = watched(clock, Budget(wall_s=600.0))
    clock.now_s += 60.0
    assert (timed.left_s, timed.share) == (pytest.approx(540.0), pytest.approx(0.1))
    tabular = watched(clock, Budget(benchmark_s=1000.0))
    tabular.event(Began(Task(0, range(1))))
    clock.now_s += 0.5
    tabular.event(Ended(Task(0, range(1))))
    tabular.trial(finished(0, 0.0, bench_s=100.0))
    assert tabular.left_s == pytest.approx(9 * 0.5)


def test_a_strategy_that_ends_by_itself_says_how_many_trials_there_are() -> None:
    assert watched(Clock(), Budget(trials=100), most=50).headline.startswith("0/50 trials")


def test_the_best_has_names_and_units_whatever_the_objective_makes_of_them() -> None:
    clock = Clock()
    traded = watched(clock, Budget(trials=9), (LatencyTradeoff(target_ms=5),))
    traded.trial(finished(0, 1.0, 44.71))
    assert traded.found == "best validation accuracy 44.71 %, latency 4 ms (trial 0)"
    size = Metric("params", "", "smaller", "parameters")
    small = watched(clock, Budget(trials=9), (Minimize("params"),), metrics=(size,))
    arch = Architecture("nasbench201", (0,))
    small.trial(Trial(3, Proposal(arch), Measurement({"params": 12345.0}), "ok", (-12345.0,)))
    small.trial(Trial(4, Proposal(arch), Measurement(error="out of memory"), "failed"))
    assert small.found == "best parameters 12,345 (trial 3), 1 failed"


def test_limits_and_fronts_are_told() -> None:
    limited = watched(Clock(), Budget(trials=9), limits=("latency_ms<=3",))
    limited.trial(finished(0, 1.0))
    assert limited.found == "no trial keeps latency_ms<=3 yet"
    both = watched(Clock(), Budget(trials=9), (Maximize("val_acc"), Minimize("latency_ms")))
    for number, (acc, ms) in enumerate(((60.0, 4.0), (70.0, 6.0), (50.0, 5.0))):
        measured = Measurement({"val_acc": acc, "latency_ms": ms})
        both.trial(Trial(number, Proposal(Architecture("nasbench201", (number,))), measured, "ok", (acc, -ms)))
    assert both.found == "front of 2, whose ends have validation accuracy 70 % and latency 4 ms"


def test_trainings_that_are_repeated_are_one_trial() -> None:
    clock = Clock()
    watch = watched(clock, Budget(trials=3))
    for number in range(2):
        task = Task(number, range(number, number + 1))
        watch.event(Began(task))
        for share in (0.5, 1.0, 0.5, 1.0)[: 4 if number == 0 else 3]:
            clock.now_s += 10.0
            watch.event(Progress(task, "", share))
        if number == 0:
            watch.event(Ended(task))
            watch.trial(finished(0, 40.0))
    assert watch.left_s == pytest.approx((3 - 1 - 0.75) * 40.0, rel=0.02)


def test_all_of_it_is_one_line_where_there_is_no_terminal() -> None:
    clock = Clock()
    watch = watched(clock, Budget(trials=4))
    worked(watch, clock, 0, 20.0)
    watch.note("epoch 3 of the supernet")
    assert re.fullmatch(
        r"1/4 trials, 20 s, about 60 s left; best validation accuracy 1 % \(trial 0\); epoch 3 of the supernet",
        watch.line,
    )
