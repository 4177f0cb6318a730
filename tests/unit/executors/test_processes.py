from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, wait
from pathlib import Path
from types import ModuleType

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import ProtocolError, SpecError, UnknownName
from ogive.core.executor import Began, Ended, Event, Progress
from ogive.core.metric import Metric, names_of
from ogive.core.study import Evaluation
from ogive.core.trial import Measurement, Proposal
from ogive.executors.processes import Processes

# What workers run must be importable in a new process, so it lies in a module of its own.
TASKS = """
import os, signal, time
from ogive.core.metric import Metric
from ogive.core.errors import UnknownName
from ogive.core.trial import Measurement


def leave():
    os._exit(3)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def nap(seconds):
    time.sleep(seconds)
    return os.getpid()


def refuse():
    raise UnknownName("space", "nasbench21", ["nasbench201"])


class Telling:
    # Tells of its work, as trainings do.

    metrics = (Metric("pid"),)
    progress = None

    def evaluate(self, proposals):
        for step in range(2):
            if self.progress is not None:
                self.progress(f"step {step} of {proposals[0].arch.choices[0]}")
            time.sleep(proposals[0].arch.choices[0] / 10)
        if proposals[0].arch.choices[0] == 3:
            os._exit(1)
        return [Measurement({"pid": float(os.getpid())}) for _ in proposals]


class Pid:
    metrics = (Metric("pid"),)

    def evaluate(self, proposals):
        return [Measurement({"pid": float(os.getpid())}) for _ in proposals]
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "worker_tasks.py").write_text(TASKS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "worker_tasks", raising=False)
    return importlib.import_module("worker_tasks")


def test_workers_run_tasks_in_other_processes(tasks: ModuleType, patience_s: float) -> None:
    with Processes(2) as workers:
        pids = {workers.submit(tasks.nap, 0.3).result(patience_s) for _ in range(2)}
        together = [workers.submit(tasks.nap, 0.5) for _ in range(2)]
        pids |= {future.result(patience_s) for future in together}
    assert os.getpid() not in pids
    assert len(pids) == 2


@pytest.mark.parametrize("end", ["leave", "killed"])
def test_a_worker_that_dies_costs_its_own_task_only(tasks: ModuleType, end: str, patience_s: float) -> None:
    with Processes(2) as workers:
        survivor = workers.submit(tasks.nap, 1.0)
        victim = workers.submit(getattr(tasks, end))
        assert isinstance(victim.exception(patience_s), BrokenExecutor)
        assert survivor.result(patience_s) > 0
        assert all(workers.submit(tasks.nap, 0.0).result(patience_s) > 0 for _ in range(3))


def test_a_worker_that_is_killed_while_it_waits_costs_nothing(tasks: ModuleType, patience_s: float) -> None:
    with Processes(1) as workers:
        pid = workers.submit(tasks.nap, 0.0).result(patience_s)
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)  # until the pool has noticed
        successor = workers.submit(tasks.nap, 0.0).result(patience_s)
        assert successor != pid


def test_an_exception_of_a_task_comes_back_as_it_was(tasks: ModuleType, patience_s: float) -> None:
    with Processes(1) as workers:
        error = workers.submit(tasks.refuse).exception(patience_s)
        assert workers.submit(abs, -3).result(patience_s) == 3
    assert isinstance(error, UnknownName)
    assert "Did you mean 'nasbench201'?" in str(error)


def test_leaving_the_pool_finishes_the_tasks_that_wait(tasks: ModuleType) -> None:
    with Processes(1) as workers:
        futures = [workers.submit(abs, -number) for number in range(4)]
    assert [future.result(0) for future in futures] == [0, 1, 2, 3]


def test_a_pool_that_is_shut_down_takes_no_tasks_and_can_drop_those_that_wait(
    tasks: ModuleType, patience_s: float
) -> None:
    workers = Processes(1)
    running = workers.submit(tasks.nap, 0.5)
    waiting = [workers.submit(tasks.nap, 60.0) for _ in range(3)]
    workers.shutdown(cancel_futures=True)
    assert running.result(patience_s) > 0
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(RuntimeError, match="after shutdown"):
        workers.submit(abs, 1)


def test_an_evaluator_that_a_worker_cannot_import_is_named(
    tasks: ModuleType, monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    with Processes(1) as workers:
        shared = workers.share(tasks.Pid())
        monkeypatch.setattr(
            sys, "path", [place for place in sys.path if Path(place) != Path(tasks.__file__ or "").parent]
        )
        error = workers.submit(shared.evaluate, []).exception(patience_s)
    assert isinstance(error, SpecError)
    assert "No module named 'worker_tasks'" in str(error)


STARTING = """
import time
from ogive.executors.processes import Processes
if __name__ == "__main__":
    workers = Processes(2)
    tasks = [workers.submit(time.sleep, 60) for _ in range(2)]
    try:
        print("started", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        workers.stop()
        print("stopped", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no process groups that get Ctrl-C together")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_does_not_reach_workers_that_are_still_starting(tmp_path: Path, patience_s: float) -> None:
    (tmp_path / "starting.py").write_text(STARTING, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, tmp_path / "starting.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # what a terminal interrupts is a group of its own
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=patience_s)
    assert out == "stopped\n"
    assert err == ""


def test_stopping_ends_a_task_that_would_take_long(tasks: ModuleType, patience_s: float) -> None:
    workers = Processes(2)
    assert workers.submit(tasks.nap, 0.0).result(patience_s)
    futures = [workers.submit(tasks.nap, 600.0) for _ in range(3)]
    time.sleep(0.2)
    workers.stop()
    assert not wait(futures, timeout=patience_s).not_done


def test_a_task_that_waits_can_be_cancelled(tasks: ModuleType, patience_s: float) -> None:
    with Processes(1) as workers:
        first, second = workers.submit(tasks.nap, 0.5), workers.submit(tasks.nap, 60.0)
        assert second.cancel()
        assert first.result(patience_s) > 0
        assert workers.submit(abs, -1).result(patience_s) == 1


def test_an_evaluator_is_sent_once_and_found_in_every_worker(tasks: ModuleType, patience_s: float) -> None:
    proposal = Proposal(Architecture("toy", (0,)))
    with Processes(2) as workers:
        stand_in = workers.share(tasks.Pid())
        assert names_of(stand_in.metrics) == ("pid",)
        found = workers.submit(stand_in.evaluate, [proposal]).result(patience_s)
        assert isinstance(found[0], Measurement)
        assert found[0].metrics["pid"] != os.getpid()
        with pytest.raises(ProtocolError, match="before the first task"):
            workers.share(tasks.Pid())
    with pytest.raises(ProtocolError, match="no worker"):
        stand_in.evaluate([proposal])


def test_an_evaluator_that_cannot_be_sent_is_refused_before_anything_runs() -> None:
    class Local:
        metrics = (Metric("val_acc"),)

        def evaluate(self, proposals: list[Proposal]) -> list[Measurement]:
            return [Measurement({"val_acc": 1.0}) for _ in proposals]

    with Processes(1) as workers, pytest.raises(SpecError, match="cannot be sent to a worker process"):
        workers.share(Local())


def test_events_of_tasks_come_from_the_workers_in_their_order(tasks: ModuleType, patience_s: float) -> None:
    heard: list[Event] = []
    with Processes(2) as workers:
        workers.on_event(heard.append)
        shared = workers.share(tasks.Telling())
        trials = [
            workers.submit(Evaluation(range(place, place + 1)), shared, [Proposal(Architecture("toy", (place,)))])
            for place in range(4)
        ]
        wait(trials, timeout=patience_s)
    for place in range(4):
        own = [event for event in heard if event.task.trials == range(place, place + 1)]
        assert own == [
            Began(own[0].task),
            Progress(own[0].task, f"step 0 of {place}"),
            Progress(own[0].task, f"step 1 of {place}"),
            Ended(own[0].task, "its worker died" if place == 3 else None),
        ]
    assert [event.task.number for event in heard if isinstance(event, Began)] == [0, 1, 2, 3]


def test_progress_is_told_while_the_task_is_at_work(tasks: ModuleType, patience_s: float) -> None:
    told = threading.Event()
    with Processes(1) as workers:
        workers.on_event(lambda event: told.set() if isinstance(event, Progress) else None)
        shared = workers.share(tasks.Telling())
        future = workers.submit(shared.evaluate, [Proposal(Architecture("toy", (600,)))])
        assert told.wait(patience_s)
        assert not future.done()
        workers.stop()


def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(SpecError, match="at least one worker"):
        Processes(0)
