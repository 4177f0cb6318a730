"""Executors: useful evaluations a second against workers, and what a trial costs the process of the search.

``make bench ARGS="-k executors"`` prints the figures. The evaluator sleeps, so that more workers than cores are no
nonsense, and needs no torch: what is seen is what the executor and the driver take. ``OGIVE_BENCH_WORKERS=256`` goes on
to that many processes.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import ogive
from ogive.core.metric import Metric
from ogive.core.objective import Maximize
from ogive.core.rng import Seed
from ogive.core.study import Study
from ogive.core.trial import Budget, Measurement, Proposal
from ogive.executors.processes import Processes
from ogive.strategies.local import RandomSearch

Show = Callable[[str], None]

SLEEP_S = 1.0
MOST = int(os.environ.get("OGIVE_BENCH_WORKERS", "32"))
WORKERS = [2**power for power in range(9) if 2**power <= MOST]
RAY = [workers for workers in WORKERS if workers <= 32]


class Sleeping:
    """Takes a second and measures nothing in it."""

    metrics = (Metric("val_acc"),)

    def __init__(self, seconds: float = SLEEP_S) -> None:
        self.seconds = seconds

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        time.sleep(self.seconds)
        return [Measurement({"val_acc": 1.0}) for _ in proposals]


def measured(pool: Any, workers: int) -> tuple[float, float, float]:
    """Evaluations a second once all workers are at work, their share of the ideal, and driver's seconds a trial.

    Rounds of as many trials as workers, of which the last three count: the more workers, the longer the last of them
    takes to start.
    """
    trials = max(5, workers // 2) * workers
    study = Study(RandomSearch(ogive.space("nasbench201"), Seed(0)), Sleeping(), Maximize("val_acc"))
    before = resource.getrusage(resource.RUSAGE_SELF)
    found = study.run(Budget(trials=trials), executor=pool, in_flight=4 * workers)
    ended = [time.perf_counter() for _ in found]
    after = resource.getrusage(resource.RUSAGE_SELF)
    pool.shutdown()
    driver_s = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / trials
    rate = 3 * workers / (ended[-1] - ended[-3 * workers - 1])
    return rate, rate * SLEEP_S / workers, driver_s


@pytest.mark.parametrize("workers", WORKERS)
def test_executors_processes(workers: int, show: Show) -> None:
    rate, share, driver_s = measured(Processes(workers), workers)
    show(f"processes({workers}): {rate:.1f} evaluations a second, {share:.0%}; driver {1e3 * driver_s:.1f} ms a trial")


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra is not installed: pip install 'ogive[ray]'"
)
@pytest.mark.parametrize("workers", RAY)
def test_executors_ray(workers: int, show: Show) -> None:
    import ray

    from ogive.executors.ray import Ray

    root = Path(__file__).parents[1]
    paths = {"PYTHONPATH": f"{root}:{root / 'src'}:{os.environ.get('PYTHONPATH', '')}"}
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": 40}
    ray.init(address="local", num_cpus=workers, runtime_env={"env_vars": paths}, **options)
    try:
        rate, share, driver_s = measured(Ray(workers), workers)
    finally:
        ray.shutdown()
    show(f"ray({workers}): {rate:.1f} evaluations a second, {share:.0%}; driver {1e3 * driver_s:.1f} ms a trial")


def test_executors_driver_alone(show: Show, tmp_path: Path) -> None:
    """What a trial costs the search itself: without a store, and stored."""
    for name, out in (("in memory", None), ("stored", tmp_path / "run")):
        started = time.process_time()
        ogive.search(space="nasbench201", strategy="random", evaluator=Sleeping(0.0), budget=2000, out=out)
        show(f"a trial {name}: {1e6 * (time.process_time() - started) / 2000:.0f} µs of the driver")
