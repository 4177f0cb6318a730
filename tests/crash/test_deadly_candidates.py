"""A candidate that kills the process of its search: the third start fails its trial and finishes the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ogive import catalog, session
from ogive.begun import DIED_TWICE
from ogive.core.architecture import Architecture
from ogive.core.evaluator import Measured
from ogive.core.objective import Maximize
from ogive.core.rng import Seed
from ogive.core.study import Study
from ogive.core.trial import Budget, Trial
from ogive.executors.serial import Serial
from ogive.run_store import RunStore
from ogive.runs import read_run
from ogive.strategies.local import RandomSearch

# An evaluator that, at one architecture, ends the process or raises an exception.
SEARCH = """
import os, sys
import ogive
from ogive.core.trial import Measurement

class Deadly:
    metrics = (ogive.Metric("value"),)
    def evaluate(self, proposals):
        return [self.measured(proposal.arch) for proposal in proposals]
    def measured(self, arch):
        if str(arch) == sys.argv[2]:
            if sys.argv[3] == "exit":
                os._exit(86)
            raise ValueError("deadly")
        return Measurement({"value": float(sum(arch.choices))})

if __name__ == "__main__":
    ogive.search(space="natssize", strategy="evolution(population=4, tournament=2)", evaluator=Deadly(), budget=16,
                 out=sys.argv[1], resume=True, workers=int(sys.argv[4]))
"""


def started(script: Path, folder: Path, victim: str, deed: str = "exit", workers: int = 1) -> int:
    command = [sys.executable, str(script), str(folder), victim, deed, str(workers)]
    return subprocess.run(command, check=False, capture_output=True, timeout=100).returncode


def what(trials: list[Trial]) -> list[tuple[object, ...]]:
    return [(trial.number, trial.arch, trial.status, trial.scores) for trial in trials]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("deadly") / "deadly_search.py"
    path.write_text(SEARCH, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def victim(script: Path) -> str:
    """The seventh architecture that the search asks for."""
    folder = script.parent / "whole"
    assert started(script, folder, "nobody") == 0
    return str(read_run(folder).trials[6].arch)


def test_third_start_finishes_a_search_whose_candidate_kills_the_process(script: Path, victim: str) -> None:
    killed, raised = script.parent / "killed", script.parent / "raised"
    assert [started(script, killed, victim) for _ in range(3)] == [86, 86, 0]
    assert started(script, raised, victim, "raise") == 0
    trials = read_run(killed).trials
    failed = [trial for trial in trials if trial.status == "failed"]
    assert str(trials[6].arch) == victim
    assert {trial.measurement.error for trial in failed if trial.number == 6} == {DIED_TWICE}
    assert what(trials) == what(read_run(raised).trials)


def test_two_workers_finish_at_the_second_start(script: Path, victim: str) -> None:
    folder = script.parent / "workers"
    assert started(script, folder, victim) == 86
    assert started(script, folder, victim, workers=2) == 0
    trials = read_run(folder).trials
    assert len(trials) == 16
    assert trials[6].measurement.error == "the worker process died (killed, or out of memory)"


def test_ctrl_c_and_saved_work_do_not_count(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", session.Settings(space="natssize", budget=Budget(trials=3)).config()):
        pass
    unfinished = tmp_path / "run" / "artifacts" / "unfinished"

    def begun() -> str | None:
        with RunStore.open(tmp_path / "run") as store:
            return store.begin(0)

    assert [begun(), begun(), begun()] == [None, None, DIED_TWICE]
    with RunStore.open(tmp_path / "run") as store:
        store.interrupted()
    assert [begun(), begun()] == [None, None]
    unfinished.mkdir()
    (unfinished / "epochs").write_bytes(os.urandom(8))
    assert [begun(), begun(), begun()] == [None, None, DIED_TWICE]
    (unfinished / "epochs").write_bytes(os.urandom(8))  # another checkpoint of the same size
    assert [begun(), begun()] == [None, None]
    (tmp_path / "run" / "artifacts" / "begun.json").write_text("[[")
    assert begun() is None


@pytest.mark.parametrize("listened", [False, True])
def test_every_trial_of_this_process_is_noted_before_it_is_measured(listened: bool) -> None:
    measured: list[int] = []
    began: list[int] = []

    def value(arch: Architecture) -> float:
        measured.append(began[-1])
        return float(sum(arch.choices))

    def begin(number: int) -> str | None:
        began.append(number)
        return DIED_TWICE if number == 2 else None

    space = catalog.build("space", "natssize")
    study = Study(RandomSearch(space, Seed(0)), Measured(value), Maximize("value"))
    with Serial() as pool:
        if listened:
            pool.on_event(lambda _: None)
        trials = list(study.run(Budget(trials=5), executor=pool, begin=begin))
    assert (began, measured) == ([0, 1, 2, 3, 4], [0, 1, 3, 4])
    assert [trial.measurement.error for trial in trials] == [None, None, DIED_TWICE, None, None]
