from __future__ import annotations

import math

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.metric import VAL_ACC, Metric
from ogive.core.trial import Budget, Cost, Fidelity, Measurement, Proposal, Spent, Trial

ARCH = Architecture("toy", (1,))


def trial(status: str = "ok", **metrics: float) -> Trial:
    measurement = Measurement(metrics, Cost(wall_s=2.0, benchmark_s=100.0))
    scores = (1.0,) if status == "ok" else None
    return Trial(0, Proposal(ARCH, cost=Cost(wall_s=0.5)), measurement, status, scores)  # type: ignore[arg-type]


def test_costs_add_on_both_clocks() -> None:
    assert Cost(1.0, 10.0) + Cost(2.0, 20.0) == Cost(3.0, 30.0)


def test_a_trial_costs_its_proposal_and_its_measurement() -> None:
    assert trial().cost == Cost(2.5, 100.0)
    assert trial().arch == ARCH


def test_a_blind_trial_has_nothing_that_is_for_the_record_only() -> None:
    known = {
        metric.name: metric
        for metric in (VAL_ACC, Metric("final", reported=True), Metric("test_of_speed", reported=False))
    }
    seen = trial(val_acc=90.0, test_acc=91.0, test_loss=0.1, final=5.0, test_of_speed=3.0).blind(known)
    assert dict(seen.metrics) == {"val_acc": 90.0, "test_of_speed": 3.0}
    assert seen.scores == (1.0,)
    assert seen.cost == Cost(2.5, 100.0)


def test_a_trial_without_test_metrics_is_blind_already() -> None:
    plain = trial(val_acc=90.0)
    assert plain.blind({}) is plain


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"trials": 0},
        {"trials": -1},
        {"wall_s": 0.0},
        {"wall_s": math.inf},
        {"benchmark_s": math.nan},
        {"units": 0, "unit": "epochs"},
    ],
)
def test_a_budget_needs_a_positive_finite_limit(limits: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        Budget(**limits)  # type: ignore[arg-type]


def test_a_budget_says_its_limits() -> None:
    assert str(Budget(trials=5, wall_s=60.0, benchmark_s=1e6)) == "5 trials, 60 s, 1e+06 benchmark s"


def test_screened_trials_are_free_and_failed_ones_count() -> None:
    spent = Spent()
    for status in ("ok", "failed", "screened"):
        spent.add(trial(status))
    assert spent.trials == 2
    assert spent.cost == Cost(7.5, 300.0)


def test_the_first_limit_reached_ends_the_search() -> None:
    spent = Spent(trials=3, cost=Cost(1.0, 50.0))
    assert spent.exhausts(Budget(trials=3), 0.0)
    assert not spent.exhausts(Budget(trials=4), 1e9)
    assert spent.exhausts(Budget(trials=4, wall_s=10.0), 10.0)
    assert spent.exhausts(Budget(benchmark_s=50.0), 0.0)
    assert not spent.exhausts(Budget(benchmark_s=50.1, wall_s=2.0), 1.0)


# -- units of a fidelity ----------------------------------------------------------------------------------------------


def rungs(*asked: tuple[int, int | None], continued: bool, status: str = "ok") -> list[int]:
    """Units after each of some trials, given as (architecture, fidelity)."""
    spent, found = Spent(fidelity=Fidelity("epochs", 200, continued=continued)), []
    for choice, fidelity in asked:
        scores = (1.0,) if status == "ok" else None
        proposal = Proposal(Architecture("toy", (choice,)), fidelity)
        spent.add(Trial(0, proposal, Measurement(), status, scores))  # type: ignore[arg-type]
        found.append(spent.units)
    return found


def test_rungs_that_go_on_count_what_is_new_and_others_in_full() -> None:
    asked = ((0, 12), (1, 12), (0, 36), (0, None), (1, 36))
    assert rungs(*asked, continued=True) == [12, 24, 48, 212, 236]
    assert rungs(*asked, continued=False) == [12, 24, 60, 260, 296]


def test_what_is_measured_anew_counts_again_so_that_every_budget_ends() -> None:
    assert rungs((0, 36), (0, 36), (0, 12), continued=True) == [36, 72, 84]


def test_units_of_failed_trials_count_and_nothing_goes_on_from_them() -> None:
    assert rungs((0, 12), (0, 36), continued=True, status="failed") == [12, 48]
    assert rungs((0, 12), (0, 36), continued=True, status="screened") == [0, 0]


def test_what_is_being_measured_counts_before_something_new_is_started() -> None:
    spent = Spent(fidelity=Fidelity("epochs", 200))
    running = [Proposal(ARCH), Proposal(ARCH, 12)]
    assert spent.exhausts(Budget(units=212, unit="epochs"), 0.0, running)
    assert not spent.exhausts(Budget(units=213, unit="epochs"), 0.0, running)


def test_a_budget_of_units_names_them() -> None:
    assert str(Budget(units=600, unit="epochs")) == "600 epochs"
    assert Budget(**Budget(trials=3, units=600, unit="epochs").to_json()) == Budget(3, units=600, unit="epochs")  # type: ignore[arg-type]
    assert "units" not in Budget(trials=3).to_json()
    with pytest.raises(SpecError, match="names them"):
        Budget(units=600)
