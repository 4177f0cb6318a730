from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import ogive
from ogive.api import open_run
from ogive.choice import choose, choose_last, limits_of, pareto_front
from ogive.core.architecture import Architecture
from ogive.core.errors import StoreError
from ogive.core.evaluator import Together
from ogive.core.metric import LATENCY, LATENCY_SPREAD, VAL_ACC
from ogive.core.objective import LatencyTradeoff, Maximize, Minimize, Objective
from ogive.core.study import Study
from ogive.core.trial import Budget, Cost, Measurement, Proposal, Trial
from ogive.files import write_json
from ogive.reporting.page import write_page
from ogive.runs import read_run
from ogive.session import Parts, Settings, assemble, resume, search
from ogive.session.finalists import FINALISTS, remeasured
from ogive.strategies.local import RandomSearch


class Accuracy:
    metrics = (VAL_ACC,)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        raise AssertionError("the search is over")


class Clock:
    """Measures a latency; side by side, what `truth` says of it in milliseconds."""

    metrics = (LATENCY, *LATENCY_SPREAD)

    def __init__(self, truth: Mapping[int, float]) -> None:
        self.truth = truth
        self.fields: list[list[int]] = []

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        raise AssertionError("the search is over")

    def side_by_side(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        names = [int(proposal.arch.choices[0]) for proposal in proposals]
        self.fields.append(names)
        return [
            Measurement(latencies(self.truth[name])) if name in self.truth else Measurement(error="out of memory")
            for name in names
        ]


def latencies(middle: float, *, cpu: float | None = None, width: float = 0.02) -> dict[str, float]:
    ends = {"latency_low_ms": middle * (1 - width), "latency_high_ms": middle * (1 + width)}
    return {"latency_ms": middle, "latency_cpu_ms": middle if cpu is None else cpu, **ends}


def study(truth: Mapping[int, float], *objectives: Objective) -> tuple[Study, Clock]:
    clock = Clock(truth)
    return Study(
        RandomSearch.__new__(RandomSearch), Together(Accuracy(), clock), objectives or (LatencyTradeoff(target_ms=5.0),)
    ), clock


def trials(of: Study, *found: tuple[int, float, dict[str, float]]) -> list[Trial]:
    """Trials of the architectures of these names, with an accuracy and latencies."""
    return [
        of.scored(
            number, Proposal(Architecture("toy", (name,))), Measurement({"val_acc": accuracy, **latency}, Cost(1.0))
        )
        for number, (name, accuracy, latency) in enumerate(found)
    ]


def test_a_network_that_was_measured_on_a_busy_machine_gets_its_chance() -> None:
    # The two are equal: 4.0 ms of the processor; of the second the machine took 25.1 ms for them.
    of, clock = study({0: 4.0, 1: 3.9, 2: 40.0})
    told = trials(
        of,
        (0, 90.0, latencies(7.9, cpu=4.0)),
        (1, 90.5, latencies(25.1, cpu=4.0)),
        (2, 90.0, latencies(60.0, cpu=40.0)),
    )
    assert choose(told).found.number == 0
    final = remeasured(of, told, choose)
    assert clock.fields == [[0, 1]]  # the third could not win even if its processor alone counted
    assert [trial.number for trial in final] == [0, 1]
    assert [trial.metrics["latency_ms"] for trial in final] == [4.0, 3.9]
    assert [trial.metrics["val_acc"] for trial in final] == [90.0, 90.5]
    assert [trial.scores for trial in final] == [(LatencyTradeoff(target_ms=5.0)(t.arch, t.metrics),) for t in final]
    assert choose(final).found.number == 1


def test_on_a_gpu_the_processor_says_nothing_of_a_network() -> None:
    of, clock = study({0: 7.9})
    told = trials(of, (0, 90.0, latencies(7.9, cpu=4.0)), (1, 90.5, latencies(25.1, cpu=4.0)))
    remeasured(of, told, choose, device="cuda")
    assert clock.fields == [[0]]


def test_at_most_five_are_measured_the_most_promising_first() -> None:
    of, clock = study(dict.fromkeys(range(9), 4.0))
    told = trials(of, *((name, 90.0 + 0.01 * name, latencies(4.0, width=0.2)) for name in range(9)))
    final = remeasured(of, told, choose)
    assert clock.fields == [[8, 7, 6, 5, 4]]
    assert len(final) == FINALISTS == 5


def test_who_is_ahead_without_having_been_measured_again_is_measured_with_the_best() -> None:
    # The lucky one falls behind the third, which nobody had thought a rival.
    of, clock = study({0: 9.0, 1: 9.5, 2: 5.1})
    told = trials(of, (0, 90.0, latencies(4.0)), (1, 90.0, latencies(4.05)), (2, 90.0, latencies(5.0)))
    final = remeasured(of, told, choose)
    assert clock.fields == [[0, 1], [2, 0]]
    assert [trial.metrics["latency_ms"] for trial in final] == [9.0, 9.5, 5.1]
    assert choose(final).found.number == 2


def test_one_network_that_was_tried_twice_is_measured_once() -> None:
    of, clock = study({0: 4.0})
    told = trials(of, (0, 90.0, latencies(4.2)), (0, 90.0, latencies(4.1)))
    final = remeasured(of, told, choose)
    assert clock.fields == [[0]]
    assert [trial.metrics["latency_ms"] for trial in final] == [4.0, 4.0]


def test_a_finalist_that_fails_is_none() -> None:
    of, clock = study({1: 4.0})
    told = trials(of, (0, 95.0, latencies(4.0)), (1, 90.0, latencies(4.0)))
    final = remeasured(of, told, choose)
    assert clock.fields == [[0], [1]]
    assert [(trial.number, trial.status) for trial in final] == [(0, "failed"), (1, "ok")]
    assert final[0].measurement.error == "out of memory"


def test_of_several_objectives_those_are_measured_that_may_be_on_the_front() -> None:
    of, clock = study(dict.fromkeys(range(4), 4.0), Maximize("val_acc"), Minimize("latency_ms"))
    told = trials(
        of,
        (0, 90.0, latencies(4.0)),
        (1, 95.0, latencies(9.0)),
        (2, 89.0, latencies(4.05)),  # beaten, but within the noise
        (3, 80.0, latencies(9.0)),
    )
    remeasured(of, told, choose)
    assert [sorted(field) for field in clock.fields] == [[0, 1, 2]]


def test_limits_of_the_choice_are_asked_at_the_best_of_each() -> None:
    of, clock = study({0: 4.9, 1: 4.8}, Maximize("val_acc"), Minimize("latency_ms"))

    within = partial(choose, limits=limits_of(["latency_ms<=5"]))
    told = trials(of, (0, 90.0, latencies(4.9)), (1, 95.0, latencies(5.05)), (2, 99.0, latencies(9.0)))
    final = remeasured(of, told, within)
    assert [sorted(field) for field in clock.fields] == [[0, 1]]
    assert within(final).found.number == 1


def test_a_search_that_needs_no_clock_has_no_finalists() -> None:
    of, clock = study({0: 4.0}, Maximize("val_acc"))
    assert remeasured(of, trials(of, (0, 90.0, latencies(4.0))), choose) == []
    assert clock.fields == []


# -- in a run ---------------------------------------------------------------------------------------------------------


class Noisy:
    """Measures the sum of the choices as an accuracy, and latencies of which those of the search are luck."""

    metrics = (VAL_ACC, LATENCY, *LATENCY_SPREAD)

    def __init__(self, *, slower_is_better: bool = False) -> None:
        self.fields: list[list[Architecture]] = []
        self.interrupted = False
        self._slope_ms = 0.1 if slower_is_better else -0.1

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self._measured(proposal.arch, lucky=sum(proposal.arch.choices) % 3 == 0) for proposal in proposals]

    def side_by_side(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        if self.interrupted:
            raise KeyboardInterrupt
        self.fields.append([proposal.arch for proposal in proposals])
        return [self._measured(proposal.arch, lucky=False) for proposal in proposals]

    def _measured(self, arch: Architecture, *, lucky: bool) -> Measurement:
        middle = 10.0 + self._slope_ms * sum(arch.choices)
        ends = {"latency_p10_ms": 1.0, "latency_p90_ms": 99.0}
        return Measurement({"val_acc": float(sum(arch.choices)), **ends, **latencies(0.1 if lucky else middle)})


SETTINGS = Settings(
    space="natssize",
    strategy="random",
    evaluator="own",
    objectives=("minimize(latency_ms)",),
    budget=Budget(trials=12),
)


def parts(noisy: Noisy) -> Parts:
    return assemble(SETTINGS, given={"evaluator": noisy})


def test_finalists_are_a_record_of_their_own_and_the_trials_stay_as_they_were(tmp_path: Path) -> None:
    noisy = Noisy()
    run = search(SETTINGS, tmp_path / "run", parts=parts(noisy))
    lucky = {trial.arch for trial in run.trials if sum(trial.arch.choices) % 3 == 0}
    assert lucky
    assert set(noisy.fields[0]) <= lucky  # of these five are measured first
    assert all(trial.metrics["latency_ms"] == 0.1 for trial in run.trials if trial.arch in lucky)
    final = run.remeasured
    assert {trial.arch for trial in final.values()} == {arch for field in noisy.fields for arch in field}
    assert all(trial.metrics["latency_ms"] > 1.0 for trial in final.values())
    assert all(trial.metrics["val_acc"] == run.trials[number].metrics["val_acc"] for number, trial in final.items())
    assert all(trial.scores == (-trial.metrics["latency_ms"],) for trial in final.values())
    # The winner is the fastest by what was measured last, and told as the search found it.
    winner = run.choice.found
    assert winner in run.trials
    assert -final[winner.number].scores[0] == min(t.metrics["latency_ms"] for t in run.final_trials)  # type: ignore[index]
    again = open_run(run.folder)
    assert again.best == winner
    assert {trial.number for trial in again.remeasured} == set(final)


def test_what_only_luck_had_beaten_stands_in_the_front_again(tmp_path: Path) -> None:
    wanted = ("maximize(val_acc)", "minimize(latency_ms)")
    settings = replace(SETTINGS, objectives=wanted, budget=Budget(trials=20), seed=2)
    noisy = Noisy(slower_is_better=True)  # so that no two trials beat each other, but for luck
    run = search(settings, tmp_path / "run", parts=assemble(settings, given={"evaluator": noisy}))
    by_luck = {trial.number for trial in pareto_front(run.trials)}
    final = pareto_front(run.final_trials)
    assert {trial.number for trial in final} - by_luck - set(run.remeasured)
    assert run.front == final
    assert run.choice == choose_last(run.trials, run.remeasured, run.objectives)
    page = write_page([run], tmp_path / "report.html").read_text("utf-8")
    assert f"{len(final)} of 20 measured trials are on the Pareto front" in page


def test_what_was_measured_side_by_side_is_not_measured_again_until_there_are_new_trials(tmp_path: Path) -> None:
    noisy = Noisy()
    run = search(SETTINGS, tmp_path / "run", parts=parts(noisy))
    before = (run.artifacts / "finalists.json").read_bytes()
    count = len(noisy.fields)
    assert resume(run.folder, parts=parts(noisy)).remeasured == run.remeasured
    assert len(noisy.fields) == count
    assert (run.artifacts / "finalists.json").read_bytes() == before
    longer = resume(run.folder, parts=parts(noisy), budget=Budget(trials=20))
    assert len(noisy.fields) > count
    assert longer.is_settled
    assert longer.choice.found.number in longer.remeasured


def test_a_search_that_was_interrupted_before_its_finalists_measures_them_when_it_goes_on(tmp_path: Path) -> None:
    noisy = Noisy()
    noisy.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        search(SETTINGS, tmp_path / "run", parts=parts(noisy))
    cut = read_run(tmp_path / "run")
    assert len(cut.trials) == 12
    assert (cut.remeasured, cut.is_settled) == ({}, False)
    noisy.interrupted = False
    run = resume(tmp_path / "run", parts=parts(noisy))
    assert run.records == cut.records
    assert run.choice.found.number in run.remeasured


def test_a_search_that_is_not_stored_has_finalists_too() -> None:
    noisy = Noisy()
    result = ogive.search(
        space="natssize", strategy="random", evaluator=noisy, objective="minimize(latency_ms)", budget=12
    )
    assert noisy.fields
    assert result.best in result.trials
    assert result.best.number in {trial.number for trial in result.remeasured}
    assert result.pareto()[0].number == result.best.number


def test_what_is_noted_of_each_search_is_told(tmp_path: Path) -> None:
    notes: list[str] = []
    search(SETTINGS, tmp_path / "run", parts=parts(Noisy()), on_note=notes.append)
    assert notes[0].endswith("finalists side by side")


@pytest.mark.parametrize("change", [{"trial": 99}, {"arch": "natssize:0,0,0,0,0"}, {"metrics": None}])
def test_a_damaged_record_of_finalists_is_a_line(tmp_path: Path, change: dict[str, object]) -> None:
    run = search(SETTINGS, tmp_path / "run", parts=parts(Noisy()))
    path = run.artifacts / "finalists.json"
    entry = json.loads(path.read_text())["finalists"][0]
    write_json(path, {"trials": 12, "finalists": [{**entry, **change}]})
    with pytest.raises(StoreError, match=r"finalists\.json is damaged .* measures again"):
        _ = read_run(run.folder).choice


def test_a_search_that_found_nothing_has_no_finalists() -> None:
    of, clock = study({})
    assert remeasured(of, [], choose) == []
    assert clock.fields == []
