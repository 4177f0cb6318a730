from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import ogive
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, StoreError, UnknownName
from ogive.core.executor import Began, Ended, Event, Pool, Progress
from ogive.core.metric import Metric
from ogive.core.trial import Budget, Measurement, Proposal
from ogive.executors import at_work, opened, workers_of
from ogive.executors.processes import Processes
from ogive.executors.serial import Serial
from ogive.files import write_json
from ogive.runs import read_run
from ogive.session import Settings, resume, search


class Telling:
    """Tells of its work; its third candidate makes it raise."""

    metrics = (Metric("val_acc"),)

    def __init__(self) -> None:
        self.progress: Any = None
        self.count = 0

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        self.count += 1
        if self.progress is not None:
            self.progress(f"candidate {self.count}")
        if self.count == 3:
            raise ValueError("bad shape")
        return [Measurement({"val_acc": float(self.count)}) for _ in proposals]


class Threads(Pool):
    """An executor of one's own."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.inner = ThreadPoolExecutor(count)
        self.submitted = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        return self.inner.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.inner.shutdown(wait, cancel_futures=cancel_futures)


@pytest.mark.parametrize(
    ("written", "kind", "count"),
    [(1, Serial, 1), ("1", Serial, 1), ("serial", Serial, 1), (3, Processes, 3), (" 3", Processes, 3),
     ("processes(3)", Processes, 3), ("processes(1)", Processes, 1)],
)  # fmt: skip
def test_workers_are_a_number_or_an_executor(written: int | str, kind: type[Pool], count: int) -> None:
    pool = opened(written)
    assert type(pool) is kind
    assert pool.count == workers_of(written) == count


def test_what_is_no_executor_is_said_in_one_line() -> None:
    with pytest.raises(UnknownName, match="processes, ray, serial"):
        opened("threads(4)")
    with pytest.raises(SpecError, match="at least one worker, but got workers=0"):
        opened("processes(0)")
    with pytest.raises(SpecError, match="at least one worker"):
        Settings(space="nasbench201", workers="0")
    with pytest.raises(SpecError, match="in_flight=0"):
        Settings(space="nasbench201", in_flight=0)


def test_a_trial_limit_is_written_with_a_unit_and_is_for_searches_only() -> None:
    assert opened("processes(3, trial_limit=10m)").trial_limit_s == 600.0
    assert (
        opened('processes(3, trial_limit="90s")').trial_limit_s == opened("processes(3, trial_limit=90)").trial_limit_s
    )
    assert opened("processes(3)").trial_limit_s is None
    assert workers_of("processes(3, trial_limit=10m)") == 3
    with pytest.raises(SpecError, match="trial_limit is a time such as 90s, 15m or 2h, but got -1"):
        opened("processes(3, trial_limit=-1)")
    with pytest.raises(SpecError, match="Only the trials of a search have a trial_limit"):
        workers_of("processes(3, trial_limit=10m)", limited=False)


def test_a_pool_that_was_opened_here_is_stopped_and_that_of_others_is_not() -> None:
    with at_work(1) as pool:
        assert pool.submit(abs, -1).result() == 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(abs, -1)
    own = Serial()
    with at_work(own) as pool:
        assert pool is own
    assert own.submit(abs, -1).result() == 1


def test_serial_tasks_tell_what_becomes_of_them() -> None:
    heard: list[Event] = []
    pool = Serial()
    pool.on_event(heard.append)
    evaluator = pool.share(Telling())
    proposals = [Proposal(Architecture("toy", (0,)))]
    for _ in range(2):
        pool.submit(evaluator.evaluate, proposals).result()
    assert isinstance(pool.submit(evaluator.evaluate, proposals).exception(), ValueError)
    tasks = [event.task for event in heard if isinstance(event, Began)]
    assert heard == [
        event
        for number, task in enumerate(tasks, start=1)
        for event in (
            Began(task),
            Progress(task, f"candidate {number}"),
            Ended(task, "ValueError: bad shape" if number == 3 else None),
        )
    ]


def test_ctrl_c_in_a_serial_task_ends_the_search(tmp_path: Path) -> None:
    def interrupted(arch: Architecture) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ogive.search(space="nasbench201", evaluator=interrupted, budget=3, out=tmp_path / "run")


def test_a_listener_that_raises_costs_the_run_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise OSError("no terminal")

    pool = Serial()
    pool.on_event(broken)
    assert [pool.submit(abs, -number).result() for number in range(3)] == [0, 1, 2]
    assert caplog.text.count("told nothing more") == 1


def test_an_executor_of_ones_own_is_handed_in_and_stays_open(invented_table: Path) -> None:
    options = {"space": "nasbench201", "strategy": "evolution(population=10)", "table": str(invented_table)}
    pool = Threads(3)
    own = ogive.search(**options, budget=60, workers=pool)
    assert pool.submitted == 60
    assert own.trials == ogive.search(**options, budget=60, in_flight=12).trials
    assert own.trials != ogive.search(**options, budget=60).trials
    assert pool.submit(abs, -1).result() == 1
    pool.shutdown()


def test_events_of_a_search_are_those_of_its_trials(tmp_path: Path, invented_table: Path) -> None:
    heard: list[Event] = []
    settings = Settings(space="nasbench201", table=str(invented_table), budget=Budget(trials=5))
    search(settings, tmp_path / "run", on_event=heard.append)
    assert [event.task.trials for event in heard if isinstance(event, Began)] == [range(n, n + 1) for n in range(5)]
    assert [event.reason for event in heard if isinstance(event, Ended)] == [None] * 5


def test_a_search_goes_on_with_other_workers_and_finds_the_same(tmp_path: Path, invented_table: Path) -> None:
    settings = Settings(
        space="nasbench201", strategy="evolution(population=10)", table=str(invented_table), budget=Budget(trials=40)
    )
    whole = search(replace_workers(settings), tmp_path / "whole")
    assert whole.config["in_flight"] == 8
    part = search(replace_workers(settings, trials=15), tmp_path / "part")
    assert len(part.trials) == 15
    assert resume(part.folder, budget=settings.budget, workers=1).trials == whole.trials
    serial = search(settings, tmp_path / "serial")
    assert serial.config["in_flight"] == 1
    assert serial.trials != whole.trials


def replace_workers(settings: Settings, trials: int = 40) -> Settings:
    return Settings(
        space=settings.space,
        strategy=settings.strategy,
        table=settings.table,
        budget=Budget(trials=trials),
        workers="processes(2)",
    )


def test_a_run_of_several_workers_of_version_0_1_is_refused_in_one_line(tmp_path: Path, invented_table: Path) -> None:
    run = search(Settings(space="nasbench201", table=str(invented_table), budget=Budget(trials=3)), tmp_path / "run")
    config = {name: value for name, value in run.config.items() if name != "in_flight"}
    write_json(run.folder / "run.json", {**config, "ogive": "0.1.0"})
    assert len(resume(run.folder, budget=Budget(trials=4)).trials) == 4
    write_json(run.folder / "run.json", {**config, "ogive": "0.1.0", "workers": 2})
    with pytest.raises(StoreError, match=r"its 2 workers finished.*resume it with ogive 0\.1\.0"):
        resume(run.folder, budget=Budget(trials=5))
    assert len(read_run(run.folder).trials) == 4
