"""A real Ray of two workers on this machine; `tests/crash/test_ray_cluster.py` is about several nodes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.executors.evaluators_for_ray import Holding, Odd

import ogive
from ogive.core.errors import SpecError
from ogive.core.executor import Began, Ended, Event, Progress
from ogive.executors import opened
from ogive.executors.ray import Ray

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="the extra is not installed: pip install 'ogive[ray]'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A node of two processors whose object store is as small as Ray allows; workers import these tests."""
    import ray

    root = str(Path(__file__).parents[3])
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=80 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=40,
        runtime_env={"env_vars": {"PYTHONPATH": ":".join([root, str(Path(root) / "src"), *sys.path])}},
    )
    yield ray
    ray.shutdown()


def searched(evaluator: Odd, workers: Any = 1, budget: str | int = 12, **options: Any) -> ogive.Result:
    return ogive.search(
        space="nasbench201", strategy="evolution", evaluator=evaluator, budget=budget, workers=workers, in_flight=8,
        **options,
    )  # fmt: skip


def plain(result: ogive.Result) -> list[Any]:
    return [(trial.number, trial.arch, trial.status, trial.scores) for trial in result.trials]


@needs_ray
def test_trials_on_ray_are_those_of_this_process_whatever_dies_hangs_or_is_large(cluster: Any, tmp_path: Path) -> None:
    """One test, since a worker of Ray takes seconds to start: a lost worker, progress, and large data."""
    heard: list[Event] = []
    pool = Ray(2, trial_limit="60s")
    pool.on_event(heard.append)
    found = searched(Odd(0.6, folder=tmp_path, once=True, megabytes=100), pool)
    pool.stop()
    assert plain(found) == plain(searched(Odd()))
    assert len(list(tmp_path.iterdir())) == 13  # one was begun twice
    assert [event.task.number for event in heard if isinstance(event, Began)] == list(range(12))
    assert sorted(event.task.number for event in heard if isinstance(event, Ended)) == list(range(12))
    assert any(isinstance(event, Progress) and event.text.startswith("begins with") for event in heard)


@needs_ray
@pytest.mark.slow
def test_what_kills_every_worker_and_what_never_ends_are_failed_trials(cluster: Any) -> None:
    pool = Ray(2, retries=1, trial_limit=4)
    found = searched(Odd(deadly=[1], endless=[2]), pool)
    pool.stop()
    reasons = {trial.arch.choices[0]: trial.measurement.error or "" for trial in found.trials}
    assert {first for first, reason in reasons.items() if not reason} == set(reasons) - {1, 2}
    assert {1, 2} <= set(reasons)
    assert reasons[1].startswith("2 workers died of it")
    assert reasons[2] == "it took longer than the trial limit of 4 s"


@needs_ray
@pytest.mark.slow
def test_what_runs_is_ended_when_it_must(cluster: Any) -> None:
    pool = Ray(2)
    pool.submit(time.sleep, 0.0).result(timeout=120)  # the workers have started
    started = time.monotonic()
    waiting = [pool.submit(time.sleep, 1000.0) for _ in range(3)]
    time.sleep(2.0)
    pool.interrupt()
    assert time.monotonic() - started < 20.0
    assert sum(one.done() for one in waiting) == 2
    pool.stop()
    assert all(one.done() or one.cancelled() for one in waiting)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(time.sleep, 0.0)


@needs_ray
def test_what_no_node_has_is_refused_at_once(cluster: Any) -> None:
    memory = "1 CPU and 1e[+]06 GiB of memory"
    for text, said in (("ray(gpus=1)", "1 CPU and 1 GPU"), ("ray(1, memory_gib=1e6)", memory)):
        with pytest.raises(SpecError, match=f"A worker needs {said}, but no node of the cluster has that: the most"):
            opened(text).count  # noqa: B018
    assert opened("ray(cpus=2)").count == 1
    assert opened("ray(cpus=0.5)").count == 4


@needs_ray
def test_what_cannot_be_sent_is_named(cluster: Any) -> None:
    with pytest.raises(SpecError, match=r"cannot be sent .* because of Holding\.inner\['parts'\]\[1\] \(a lock\)"):
        Ray(1).share(Holding())


@needs_ray
@pytest.mark.slow
def test_exceptions_of_a_task_come_back(cluster: Any) -> None:
    pool = Ray(1)
    with pytest.raises(ValueError, match="invalid literal"):
        pool.submit(int, "x").result(timeout=120)
    assert pool.submit(int, "5").result(timeout=120) == 5
    pool.shutdown()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "1 to 256 workers"),
        ({"retries": -1}, "0 times or more"),
        ({"cpus": 0}, "some of something"),
        ({"gpus": float("nan")}, "some of something"),
        ({"trial_limit": "soon"}, "trial_limit is a time"),
    ],
)
def test_nonsense_is_refused_before_a_cluster_is_sought(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Ray(**options)


@needs_ray
def test_where_no_cluster_is_that_is_said() -> None:
    """In a process of its own, which is connected to none."""
    code = """
from ogive.core.errors import SpecError
from ogive.executors import opened
for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
    try:
        opened(f"ray(1, address='{address}')").count
        opened(f"ray(1, address='{address}')").share(None)
    except SpecError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for line, address in zip(done.stdout.splitlines(), ("127.0.0.1:1", "ray://127.0.0.1:1"), strict=True):
        assert line.startswith(f"There is no cluster of Ray at '{address}': ")


def test_without_the_package_the_way_out_is_told() -> None:
    code = """
import sys
sys.modules["ray"] = None
from ogive.executors.ray import Ray
try:
    Ray(2).share(None)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = "MissingData ray(...) needs the package ray: pip install 'ogive[ray]'. Where pip finds none"
    assert done.stdout.startswith(told)
