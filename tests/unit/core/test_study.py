"""The loop: alone, with executors and with workers. Over 500 lines: its tests share one space and its evaluators."""

from __future__ import annotations

import importlib
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import MissingData, ProtocolError, SpecError, StoreError
from ogive.core.evaluator import Cached, Evaluator, Screened
from ogive.core.graph import Graph
from ogive.core.metric import Metric
from ogive.core.objective import Maximize, Minimize
from ogive.core.rng import Seed
from ogive.core.space import Choice, SearchSpace
from ogive.core.study import HOPELESS, OpenChunk, Study
from ogive.core.trial import Budget, Cost, Fidelity, Measurement, Proposal, Trial
from ogive.executors.processes import Processes
from ogive.strategies.local import LocalSearch, RandomSearch, RegularizedEvolution
from ogive.strategies.nsga2 import NSGA2


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


SPACE = SearchSpace("toy", tuple(Choice(name, tuple("abcde")) for name in "pqrs"), draw)
ACCURACY = Maximize("val_acc")


class Quadratic:
    """Peaks at choices of 3; costs 10 benchmark seconds; knows a test accuracy; fails where `fails` says so."""

    metrics = (Metric("val_acc"), Metric("test_acc"))

    def __init__(self, fails: Callable[[tuple[int | float, ...]], bool] = lambda choices: False) -> None:
        self.fails = fails

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self._measured(proposal.arch.choices) for proposal in proposals]

    def _measured(self, choices: tuple[int | float, ...]) -> Measurement:
        if self.fails(choices):
            return Measurement(error="out of memory")
        accuracy = 100.0 - sum((choice - 3) ** 2 for choice in choices)
        return Measurement({"val_acc": accuracy, "test_acc": accuracy - 1}, Cost(benchmark_s=10.0))


class Napping(Quadratic):
    """Takes a few milliseconds that depend on the candidate, so that parallel results come in another order."""

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        time.sleep(
            sum((3, 1, 4, 1)[place] * choice for place, choice in enumerate(proposals[0].arch.choices)) % 7 / 500
        )
        return super().evaluate(proposals)


class Cheap:
    metrics = (Metric("guess"),)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({"guess": float(proposal.arch.choices[0])}) for proposal in proposals]


class Constant:
    def __init__(self, **metrics: float) -> None:
        self.found = metrics
        self.metrics = tuple(map(Metric, metrics))

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement(self.found) for _ in proposals]


class Recording(RandomSearch):
    """Random search that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(SPACE, Seed(0))
        self.told: list[Trial] = []

    def tell(self, trials: Sequence[Trial]) -> None:
        self.told += trials


class Greedy(RandomSearch):
    def ask(self, n: int = 1) -> list[Proposal]:
        return super().ask(n + 1)


def evolution(seed: int = 0) -> RegularizedEvolution:
    return RegularizedEvolution(SPACE, Seed(seed), population=5, tournament=2)


def screened() -> Screened:
    return Screened(Cheap(), Quadratic(), keep=2, pool=6)


# -- one search -------------------------------------------------------------------------------------------------------


def test_a_search_yields_as_many_trials_as_the_budget_says_numbered_in_order() -> None:
    trials = list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=30)))
    assert [trial.number for trial in trials] == list(range(30))
    assert all(trial.scores == (trial.metrics["val_acc"],) for trial in trials)
    assert {trial.status for trial in trials} == {"ok"}


def test_the_same_seed_gives_the_same_trials_and_another_seed_others() -> None:
    runs = [list(Study(evolution(seed), Quadratic(), ACCURACY).run(Budget(trials=20))) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_the_strategy_never_sees_the_test_set_and_the_record_does() -> None:
    strategy = Recording()
    trials = list(Study(strategy, Quadratic(), ACCURACY).run(Budget(trials=3)))
    assert all("test_acc" in trial.metrics for trial in trials)
    assert [set(trial.metrics) for trial in strategy.told] == [{"val_acc"}] * 3
    assert [trial.number for trial in strategy.told] == [0, 1, 2]


def test_a_budget_of_benchmark_seconds_ends_the_search_when_they_are_spent() -> None:
    assert len(list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(benchmark_s=95.0)))) == 10


def test_a_budget_of_wall_seconds_counts_what_an_interrupted_run_took() -> None:
    assert list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(wall_s=60.0), elapsed_s=60.0)) == []
    started = time.perf_counter()
    trials = list(Study(evolution(), Napping(), ACCURACY).run(Budget(wall_s=0.2)))
    assert len(trials) > 3
    assert time.perf_counter() - started < 5


def test_the_search_ends_when_the_strategy_has_nothing_more_to_ask() -> None:
    strategy = RandomSearch(SPACE, Seed(0), without_replacement=True)
    trials = list(Study(strategy, Quadratic(), ACCURACY).run(Budget(trials=1000)))
    assert len({trial.arch for trial in trials}) == len(trials) == 625


def test_a_failed_measurement_is_a_failed_trial_that_counts() -> None:
    evaluator = Quadratic(lambda choices: choices[0] == 0)
    trials = list(Study(evolution(), evaluator, ACCURACY).run(Budget(trials=40)))
    failed = [trial for trial in trials if trial.status == "failed"]
    assert len(trials) == 40
    assert failed
    assert all(trial.scores is None and trial.measurement.error == "out of memory" for trial in failed)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_finite_number_is_a_failed_trial_that_keeps_its_metrics(value: float) -> None:
    trial = next(Study(Recording(), Constant(val_acc=value, params=3.0), ACCURACY).run(Budget(trials=1)))
    assert trial.status == "failed"
    assert trial.scores is None
    assert trial.metrics["params"] == 3.0
    assert str(value) in (trial.measurement.error or "")


def test_several_objectives_give_several_scores() -> None:
    study = Study(NSGA2(SPACE, Seed(0)), Constant(val_acc=90.0, params=5.0), [ACCURACY, Minimize("params")])
    assert next(study.run(Budget(trials=1))).scores == (90.0, -5.0)


def test_what_does_not_fit_together_is_refused_before_anything_runs() -> None:
    with pytest.raises(SpecError, match="made for 1 objective"):
        Study(evolution(), Constant(val_acc=1.0, params=1.0), [ACCURACY, Minimize("params")])
    with pytest.raises(SpecError, match="'params'"):
        Study(evolution(), Quadratic(), Minimize("params"))
    with pytest.raises(SpecError, match="test set"):
        Study(evolution(), Quadratic(), Maximize("test_acc"))


def test_an_evaluator_that_breaks_its_promise_is_named() -> None:
    evaluator = Constant(val_acc=1.0)
    evaluator.metrics = (Metric("val_acc"), Metric("latency_ms"))
    with pytest.raises(ProtocolError, match="Constant promised the metrics latency_ms"):
        list(Study(evolution(), evaluator, ACCURACY).run(Budget(trials=1)))


def test_a_strategy_that_proposes_too_much_is_named() -> None:
    with pytest.raises(ProtocolError, match="Greedy"):
        list(Study(Greedy(SPACE, Seed(0)), Quadratic(), ACCURACY).run(Budget(trials=1)))


def test_a_search_in_which_nothing_ever_works_stops_with_the_reason() -> None:
    trials: list[Trial] = []
    with pytest.raises(ProtocolError, match=r"all failed.*out of memory"):
        trials += Study(evolution(), Quadratic(lambda _: True), ACCURACY).run(Budget(trials=1000))
    assert len(trials) == HOPELESS  # what was yielded before the error is not lost


def test_failures_after_a_success_never_stop_a_search() -> None:
    seen: list[int] = []

    def after_the_first(choices: tuple[int | float, ...]) -> bool:
        seen.append(1)
        return len(seen) > 1

    trials = list(Study(evolution(), Quadratic(after_the_first), ACCURACY).run(Budget(trials=3 * HOPELESS)))
    assert len(trials) == 3 * HOPELESS


# -- screened ---------------------------------------------------------------------------------------------------------


def test_screened_candidates_are_told_stored_and_free() -> None:
    strategy = Recording()
    trials = list(Study(strategy, screened(), ACCURACY).run(Budget(trials=6)))
    by_status = {status: [t for t in trials if t.status == status] for status in ("ok", "screened")}
    assert len(by_status["ok"]) == 6
    assert len(by_status["screened"]) == 12
    assert [trial.number for trial in strategy.told] == list(range(18))
    assert all(set(trial.metrics) == {"guess"} and trial.scores is None for trial in by_status["screened"])


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 7])
def test_a_budget_that_is_no_multiple_of_the_kept_is_met_exactly(budget: int) -> None:
    trials = list(Study(Recording(), screened(), ACCURACY).run(Budget(trials=budget)))
    assert sum(trial.status == "ok" for trial in trials) == budget


# -- resuming ---------------------------------------------------------------------------------------------------------


def studies() -> dict[str, Callable[[], Study]]:
    fails = Quadratic(lambda choices: choices[1] == 0)
    return {
        "evolution": lambda: Study(evolution(), fails, ACCURACY),
        "local search": lambda: Study(LocalSearch(SPACE, Seed(0)), Quadratic(), ACCURACY),
        "nsga2": lambda: Study(NSGA2(SPACE, Seed(0), population=4), Quadratic(), [ACCURACY, Minimize("val_acc")]),
        "screened": lambda: Study(evolution(), screened(), ACCURACY),
        "cached": lambda: Study(evolution(), Cached(Quadratic()), ACCURACY),
    }


@pytest.mark.parametrize("kind", list(studies()))
def test_a_run_cut_off_after_any_trial_goes_on_as_if_nothing_had_happened(kind: str) -> None:
    make = studies()[kind]
    whole = list(make().run(Budget(trials=24)))
    for cut in range(len(whole) + 1):
        rest = list(make().run(Budget(trials=24), past=whole[:cut]))
        assert rest == whole[cut:]


def test_a_finished_run_goes_on_under_a_larger_budget() -> None:
    short = list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=10)))
    whole = list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=25)))
    assert list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=25), past=short)) == whole[10:]


def test_replay_counts_what_was_spent_and_evaluates_nothing_again() -> None:
    class Refusing(Quadratic):
        def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
            raise MissingData("nothing is to be measured")

    whole = list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(benchmark_s=200.0)))
    assert list(Study(evolution(), Refusing(), ACCURACY).run(Budget(benchmark_s=200.0), past=whole)) == []


@pytest.mark.parametrize("more", [0, 5])
def test_the_end_of_a_replay_is_told_once_before_anything_new_is_asked_for(more: int) -> None:
    whole = list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=10)))
    study, seen = Study(evolution(), Quadratic(), ACCURACY), list[tuple[int, int]]()
    list(study.run(Budget(trials=10 + more), past=whole, replayed=lambda: seen.append((study.told, study.asked))))
    assert seen == [(10, 10)]
    assert list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=3), replayed=seen.clear))
    assert seen


def test_a_run_of_other_settings_is_refused_at_the_first_difference() -> None:
    whole = list(Study(evolution(0), Quadratic(), ACCURACY).run(Budget(trials=10)))
    with pytest.raises(StoreError, match="Trial 0 of the run is toy:"):
        list(Study(evolution(1), Quadratic(), ACCURACY).run(Budget(trials=10), past=whole))
    changed = [*whole[:4], replace(whole[4], proposal=Proposal(whole[4].arch, fidelity=3)), *whole[5:]]
    with pytest.raises(StoreError, match=r"Trial 4 .*fidelity 3"):
        list(Study(evolution(0), Quadratic(), ACCURACY).run(Budget(trials=10), past=changed))


def test_a_run_longer_than_the_search_is_refused() -> None:
    whole = list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=10)))
    with pytest.raises(StoreError, match="the search ends before it"):
        list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=8), past=whole))


def test_a_trial_that_is_recorded_but_never_asked_for_is_named() -> None:
    whole = list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=10)))
    with pytest.raises(StoreError, match="holds trial 8, but the search ends"):
        list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=5), past=[*whole[:5], whole[8]]))


@pytest.mark.parametrize("cut", [0, 1, 7, 19])
def test_a_saved_strategy_goes_on_without_replay(cut: int, tmp_path: Path) -> None:
    whole = list(Study(evolution(), Quadratic(), ACCURACY).run(Budget(trials=20)))
    strategy = evolution()
    study = Study(strategy, Quadratic(), ACCURACY)
    trials = study.run(Budget(trials=20))
    before = [next(trials) for _ in range(cut + 1)]
    # The trial that was yielded last is told only when the search is asked for the next one.
    strategy.save(tmp_path)
    told, waiting = before[: study.told], [OpenChunk(chunk.first, chunk.proposals) for chunk in study.open]
    successor = evolution(99)
    successor.load(tmp_path)
    resumed = Study(successor, Quadratic(), ACCURACY)
    resumed.resume_from(told, study.asked, waiting)
    assert list(resumed.run(Budget(trials=20), past=before[study.told :])) == whole[cut + 1 :]


# -- several in flight ------------------------------------------------------------------------------------------------


def threads() -> Executor:
    return ThreadPoolExecutor(3)


def test_with_an_executor_the_budget_is_met_exactly_and_trials_come_as_they_finish() -> None:
    with threads() as executor:
        trials = list(Study(evolution(), Napping(), ACCURACY).run(Budget(trials=40), executor=executor, in_flight=3))
    numbers = [trial.number for trial in trials]
    assert sorted(numbers) == list(range(40))
    assert numbers != sorted(numbers)


@pytest.mark.parametrize("kind", ["evolution", "joint", "nsga2"])
def test_what_is_found_depends_on_the_proposals_in_flight_and_not_on_who_was_faster(kind: str) -> None:
    make: Callable[[Evaluator], Study] = {
        "evolution": lambda expensive: Study(evolution(), expensive, ACCURACY),
        "joint": lambda expensive: Study(Jointly(), Screened(Cheap(), expensive, keep=2, pool=3), ACCURACY),
        "nsga2": lambda expensive: Study(
            NSGA2(SPACE, Seed(0), population=4), expensive, [ACCURACY, Minimize("val_acc")]
        ),
    }[kind]

    def by_number(trials: Iterable[Trial]) -> list[Trial]:
        return sorted(trials, key=lambda trial: trial.number)

    budget = Budget(trials=24)
    serial = by_number(make(Quadratic()).run(budget, in_flight=5))
    for workers in (1, 3, 8):
        with ThreadPoolExecutor(workers) as executor:
            assert by_number(make(Napping()).run(budget, executor=executor, in_flight=5)) == serial
    assert by_number(make(Quadratic()).run(budget)) != serial


def test_never_more_than_so_many_are_in_flight() -> None:
    lock, now, most = threading.Lock(), [0], [0]

    class Counting(Quadratic):
        def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.005)
            with lock:
                now[0] -= 1
            return super().evaluate(proposals)

    with ThreadPoolExecutor(8) as executor:
        list(Study(evolution(), Counting(), ACCURACY).run(Budget(trials=30), executor=executor, in_flight=4))
    assert most[0] == 4


@pytest.mark.parametrize("kind", ["evolution", "screened", "nsga2"])
def test_a_parallel_run_cut_off_anywhere_is_replayed_in_its_own_order(kind: str) -> None:
    expensive = Napping()
    make = {
        "evolution": lambda: Study(evolution(), expensive, ACCURACY),
        "screened": lambda: Study(evolution(), Screened(Cheap(), expensive, keep=2, pool=6), ACCURACY),
        "nsga2": lambda: Study(NSGA2(SPACE, Seed(0), population=4), expensive, [ACCURACY, Minimize("val_acc")]),
    }[kind]
    with threads() as executor:
        whole = list(make().run(Budget(trials=20), executor=executor, in_flight=3))
        for cut in range(0, len(whole) + 1, 3):
            rest = list(make().run(Budget(trials=20), executor=executor, in_flight=3, past=whole[:cut]))
            found = [*whole[:cut], *rest]
            assert sorted(trial.number for trial in found) == list(range(len(found)))
            assert sum(trial.status == "ok" for trial in found) == 20


class Backwards(Quadratic):
    """Keeps the first of three candidates back until the two after it are measured."""

    def __init__(self) -> None:
        super().__init__()
        self._lock, self._asked, self._done = threading.Lock(), 0, threading.Semaphore(0)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        with self._lock:
            place, self._asked = self._asked % 3, self._asked + 1
        if place == 0:
            assert self._done.acquire(timeout=30)
            assert self._done.acquire(timeout=30)
        else:
            self._done.release()
        return super().evaluate(proposals)


def test_in_the_order_of_finishing_each_trial_is_told_at_once() -> None:
    strategy = Recording()
    with threads() as executor:
        study = Study(strategy, Backwards(), ACCURACY)
        trials = list(study.run(Budget(trials=9), executor=executor, in_flight=3, order="finish"))
    numbers = [trial.number for trial in trials]
    assert [trial.number for trial in strategy.told] == numbers
    assert sorted(numbers) == list(range(9))
    assert 0 not in numbers[:2]


@pytest.mark.parametrize("kind", ["evolution", "screened", "nsga2"])
def test_a_run_in_the_order_of_finishing_is_replayed_in_that_order(kind: str) -> None:
    expensive = Napping()
    make = {
        "evolution": lambda: Study(evolution(), expensive, ACCURACY),
        "screened": lambda: Study(evolution(), Screened(Cheap(), expensive, keep=2, pool=6), ACCURACY),
        "nsga2": lambda: Study(NSGA2(SPACE, Seed(0), population=4), expensive, [ACCURACY, Minimize("val_acc")]),
    }[kind]
    with threads() as executor:
        whole = list(make().run(Budget(trials=20), executor=executor, in_flight=3, order="finish"))
    numbers = [trial.number for trial in whole]
    assert numbers != sorted(numbers)
    # All are recorded: their replay asks for the same architectures, which no other order of telling does.
    assert list(make().run(Budget(trials=20), in_flight=3, order="finish", past=whole)) == []
    for cut in range(1, len(whole), 4):
        rest = list(make().run(Budget(trials=20), in_flight=3, order="finish", past=whole[:cut]))
        found = [*whole[:cut], *rest]
        assert sorted(trial.number for trial in found) == list(range(len(found)))
        assert sum(trial.status == "ok" for trial in found) == 20
    with pytest.raises(StoreError, match="the strategy now asks for"):
        list(make().run(Budget(trials=20), in_flight=3, past=whole))


def test_closing_a_search_cancels_what_has_not_started() -> None:
    release, evaluated = threading.Event(), []

    class Waiting(Quadratic):
        def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
            evaluated.append(proposals[0])
            if len(evaluated) > 1:
                release.wait(30)
            return super().evaluate(proposals)

    with ThreadPoolExecutor(1) as executor:
        trials = Study(evolution(), Waiting(), ACCURACY).run(Budget(trials=9), executor=executor, in_flight=5)
        next(trials)
        trials.close()  # type: ignore[attr-defined]
        release.set()
    assert len(evaluated) <= 2


def test_when_time_is_out_what_runs_is_stopped_and_what_waits_never_begins() -> None:
    class Slow(Quadratic):
        def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
            time.sleep(0.4)
            return super().evaluate(proposals)

    with ThreadPoolExecutor(1) as executor:
        study = Study(evolution(), Slow(), ACCURACY)
        trials = list(study.run(Budget(wall_s=0.5), executor=executor, in_flight=8))
    assert [trial.number for trial in trials] == [0]
    assert [number for number, _ in study.stopped] == [1]
    again = Study(evolution(), Quadratic(), ACCURACY)
    rest = list(again.run(Budget(trials=12), in_flight=8, past=trials))
    assert [trial.number for trial in rest] == list(range(1, 12))


def test_time_that_is_up_ends_an_evaluator_here_and_a_strategy_in_the_middle_of_its_work() -> None:
    class Endless(Quadratic):
        def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
            if self.calls == 3:
                time.sleep(60)
            self.calls += 1
            return super().evaluate(proposals)

        calls = 0

    started = time.perf_counter()
    study = Study(evolution(), Endless(), ACCURACY)
    trials = list(study.run(Budget(wall_s=0.3)))
    assert ([trial.number for trial in trials], [number for number, _ in study.stopped]) == ([0, 1, 2], [3])
    assert not study.asking

    class Dreaming(RandomSearch):
        def ask(self, n: int) -> list[Proposal]:
            if self.dreams:
                time.sleep(60)
            self.dreams = True
            return super().ask(n)

        dreams = False

    study = Study(Dreaming(SPACE, Seed(0)), Quadratic(), ACCURACY)
    trials = list(study.run(Budget(wall_s=0.3)))
    assert ([trial.number for trial in trials], study.stopped, study.asking) == ([0], [], True)
    assert time.perf_counter() - started < 30


# -- workers ----------------------------------------------------------------------------------------------------------

# What workers run must be importable in a new process, so it lies in a module of its own.
CRASHING = '''
import os, signal
from ogive.core.metric import Metric
from ogive.core.errors import MissingData
from ogive.core.trial import Measurement


class Crashing:
    """Ends its process for every candidate whose first choice is 0."""

    metrics = (Metric("val_acc"),)

    def __init__(self, end):
        self.end = end

    def evaluate(self, proposals):
        for proposal in proposals:
            if proposal.arch.choices[0] == 0:
                if self.end == "exit":
                    os._exit(1)
                if self.end == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self.end == "missing":
                    raise MissingData("no table; get it with: ogive tables import nb201.parquet")
                raise ValueError("bad shape")
        return [Measurement({"val_acc": float(sum(proposal.arch.choices))}) for proposal in proposals]
'''


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Evaluator]:
    (tmp_path / "crashing_evaluator.py").write_text(CRASHING, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "crashing_evaluator", raising=False)
    found: Callable[[str], Evaluator] = importlib.import_module("crashing_evaluator").Crashing
    return found


def searched(evaluator: Evaluator, past: Sequence[Trial] = ()) -> list[Trial]:
    with Processes(2) as workers:
        strategy = RandomSearch(SPACE, Seed(3))
        study = Study(strategy, evaluator, ACCURACY)
        return list(study.run(Budget(trials=10), executor=workers, in_flight=2, past=past))


@pytest.mark.parametrize("end", ["exit", "kill", "raise"])
def test_a_crashed_worker_costs_one_failed_trial_and_never_the_run(
    end: str, crashing: Callable[[str], Evaluator]
) -> None:
    trials = searched(crashing(end))
    assert sorted(trial.number for trial in trials) == list(range(10))
    failed = {trial.number for trial in trials if trial.status == "failed"}
    assert failed == {trial.number for trial in trials if trial.arch.choices[0] == 0}
    assert 0 < len(failed) < 10
    reason = "ValueError: bad shape" if end == "raise" else "worker process died"
    assert all(reason in (trial.measurement.error or "") for trial in trials if trial.status == "failed")


def test_a_run_with_crashes_resumes_with_its_failures(crashing: Callable[[str], Evaluator]) -> None:
    whole = searched(crashing("exit"))
    rest = searched(crashing("exit"), past=whole[:6])
    found = {trial.number: (trial.arch, trial.status) for trial in [*whole[:6], *rest]}
    assert found == {trial.number: (trial.arch, trial.status) for trial in whole}


def test_an_error_of_ogive_in_a_worker_stops_the_search_with_its_message(
    crashing: Callable[[str], Evaluator],
) -> None:
    with pytest.raises(MissingData, match="ogive tables import"):
        searched(crashing("missing"))


class Jointly(RandomSearch):
    """Draws each batch from a stream that its size, and all calls before, decide."""

    def __init__(self) -> None:
        super().__init__(SPACE, Seed(0))
        self.calls: list[str] = []

    def ask(self, n: int = 1) -> list[Proposal]:
        self.calls.append(f"ask {n}")
        rng = Seed(0).numpy(" ".join(self.calls))
        return [Proposal(SPACE.sample(rng)) for _ in range(n)]

    def tell(self, trials: Sequence[Trial]) -> None:
        self.calls.append(f"tell {[trial.number for trial in trials]}")


@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.parametrize("budget", [5, 9])
def test_a_strategy_of_joint_batches_is_called_again_as_it_was(in_flight: int, budget: int) -> None:
    """Cut off anywhere, and under another budget, whose last batch is of another size."""

    def search(trials: int, past: Sequence[Trial]) -> tuple[list[Trial], list[str]]:
        strategy = Jointly()
        study = Study(strategy, Screened(Cheap(), Napping(), keep=2, pool=6), ACCURACY)
        found = list(study.run(Budget(trials=trials), executor=executor, in_flight=in_flight, past=past))
        return found, strategy.calls

    with threads() as executor:
        whole, calls = search(5, [])
        for cut in range(len(whole) + 1):
            rest, again = search(budget, whole[:cut])
            assert sum(trial.status == "ok" for trial in [*whole[:cut], *rest]) == budget
            if cut == len(whole) and (in_flight == 1 or budget == 5):  # with more, a larger budget asks on meanwhile
                assert again[: len(calls)] == calls


# -- budgets in units -------------------------------------------------------------------------------------------------


class Rungs(RandomSearch):
    """Each architecture at 12, then at 36, then at all epochs."""

    def __init__(self) -> None:
        super().__init__(SPACE, Seed(0))
        self.left: list[Proposal] = []

    def ask(self, n: int = 1) -> list[Proposal]:
        if not self.left:
            (proposal,) = super().ask(1)
            self.left = [Proposal(proposal.arch, rung) for rung in (12, 36, None)]
        return [self.left.pop(0)]


class Epochs(Quadratic):
    def __init__(self, *, continued: bool) -> None:
        super().__init__()
        self.fidelity = Fidelity("epochs", 200, continued=continued)


@pytest.mark.parametrize(("continued", "trials"), [(True, 9), (False, 7)])
def test_a_budget_of_epochs_ends_the_search_when_they_are_spent(continued: bool, trials: int) -> None:
    """Three rungs cost 200 epochs where one goes on from the other, and 248 where each is a training of its own."""
    study = Study(Rungs(), Cached(Epochs(continued=continued)), ACCURACY)
    assert len(list(study.run(Budget(units=600 if continued else 497, unit="epochs")))) == trials
    assert study.spent.units == (600 if continued else 508)


def test_a_budget_of_epochs_is_resumed_where_it_stood() -> None:
    budget = Budget(units=1000, unit="epochs")
    whole = list(Study(Rungs(), Epochs(continued=True), ACCURACY).run(budget))
    for cut in range(len(whole) + 1):
        rest = Study(Rungs(), Epochs(continued=True), ACCURACY).run(budget, past=whole[:cut])
        assert list(rest) == whole[cut:]


def test_a_budget_in_units_that_nobody_counts_is_refused() -> None:
    steps = Budget(units=600, unit="steps")
    with pytest.raises(
        SpecError, match="A budget of 600 steps needs an evaluator that counts steps, but Epochs counts"
    ):
        list(Study(Rungs(), Epochs(continued=True), ACCURACY).run(steps))
    with pytest.raises(SpecError, match="but Quadratic counts no fidelity"):
        list(Study(Rungs(), Quadratic(), ACCURACY).run(steps))
