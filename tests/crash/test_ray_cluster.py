"""Ray on several nodes of one machine: workers, nodes and the search itself are killed, and memory runs out."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.executors.evaluators_for_ray import Odd

import ogive
from ogive.executors.ray import Ray
from ogive.runs import read_run

ROOT = Path(__file__).parents[2]
TRIALS = 14
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra is not installed: pip install 'ogive[ray]'"
)
# A cluster of three nodes is started for each test, in some ten seconds.
pytestmark = [needs_ray, pytest.mark.slow]

DRIVER = """
import sys
import ogive
from ogive.executors.ray import Ray
from tests.unit.executors.evaluators_for_ray import Odd

folder, address = sys.argv[1:]
ogive.search(
    space="nasbench201", strategy="evolution", evaluator=Odd(0.5), budget=14, in_flight=8, out=folder,
    workers=Ray(3, address=address), resume=True,
)
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and two nodes of one processor each, whose workers import these tests."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", ":".join([str(ROOT), str(ROOT / "src"), *sys.path]))
    small: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=small)
    del small["include_dashboard"]
    made.nodes = [made.add_node(**small) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False, logging_level=40)
    yield made
    ray.shutdown()
    made.shutdown()


def searched(evaluator: Odd, workers: Any = 1, budget: int = TRIALS) -> ogive.Result:
    return ogive.search(
        space="nasbench201", strategy="evolution", evaluator=evaluator, budget=budget, workers=workers, in_flight=8
    )


def plain(trials: Any) -> list[Any]:
    return [(trial.number, trial.arch, trial.status, trial.scores) for trial in trials]


def test_a_worker_that_is_killed_costs_a_repetition(cluster: Any, tmp_path: Path) -> None:
    pool = Ray()
    assert pool.count == 3

    def kill() -> None:
        while not (begun := list(tmp_path.iterdir())):
            time.sleep(0.05)
        os.kill(int(begun[0].name.partition("-")[0]), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    found = searched(Odd(0.5, folder=tmp_path), pool)
    pool.stop()
    assert plain(found.trials) == plain(searched(Odd()).trials)
    assert len(list(tmp_path.iterdir())) == TRIALS + 1  # one was begun twice


def test_a_node_that_is_removed_costs_repetitions_and_a_place(cluster: Any, tmp_path: Path) -> None:
    pool = Ray(3)

    def remove() -> None:
        while len({path.name.partition("-")[0] for path in tmp_path.iterdir()}) < 3:
            time.sleep(0.05)
        cluster.remove_node(cluster.nodes[0], allow_graceful=False)

    threading.Thread(target=remove, daemon=True).start()
    found = searched(Odd(1.0, folder=tmp_path), pool)
    pool.stop()
    assert plain(found.trials) == plain(searched(Odd()).trials)
    assert len(list(tmp_path.iterdir())) > TRIALS


def test_a_search_that_is_killed_is_resumed_to_the_same_trials(cluster: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "run"), cluster.address]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while time.monotonic() < until:
        time.sleep(0.1)
        if (tmp_path / "run/run.json").exists() and len(read_run(tmp_path / "run").trials) >= 3:
            break
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = read_run(tmp_path / "run").trials
    assert 3 <= len(before) < TRIALS
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=240)
    after = read_run(tmp_path / "run").trials
    assert plain(after) == plain(searched(Odd()).trials)
    assert [after[trial.number] for trial in before] == list(before)  # none was measured again


def test_data_that_are_larger_than_the_object_store_are_searched_with_all_the_same(cluster: Any) -> None:
    pool = Ray(3)
    found = searched(Odd(megabytes=200), pool, budget=4)
    pool.stop()
    assert plain(found.trials) == plain(searched(Odd(), budget=4).trials)


def test_a_worker_that_ray_kills_for_its_memory_fails_its_trial_with_that_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its memory monitor is set so that everything is too much."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", ":".join([str(ROOT), str(ROOT / "src"), *sys.path]))
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False, logging_level=40)
    pool = Ray(1, retries=1)
    try:
        found = searched(Odd(2.0), pool, budget=2)
    finally:
        pool.stop()
        ray.shutdown()
        cluster.shutdown()
    assert [trial.status for trial in found.trials] == ["failed", "failed"]
    for trial in found.trials:
        assert (trial.measurement.error or "").startswith("2 workers died of it (the last: ")
        assert "memory" in (trial.measurement.error or "")
