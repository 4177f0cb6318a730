from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from ogive.core.errors import StoreError
from ogive.core.metric import Metric
from ogive.core.trial import Trial
from ogive.reporting.member import member_of, winner_of
from ogive.runs import Run

Make = Callable[..., Run]
Of = Callable[..., Trial]
LOSS = Metric("loss", "nats", "smaller", "validation loss")


def test_objectives_are_read_with_the_records_of_the_run_and_others_keep_their_text(make: Make) -> None:
    written = ["minimize(loss)", "latency_tradeoff(target_ms=5)", "maximize", "minimize(a, b)", "mine & yours <"]
    one = member_of(make("own", [], objectives=written, metrics=[LOSS.to_json()]))
    assert [sought.written for sought in one.sought] == written
    assert [sought.metric for sought in one.sought] == [LOSS, None, None, None, None]
    assert one.sought[1].needs == ("val_acc", "latency_ms")


@pytest.mark.parametrize("text", ["{", "[]", '{"arch": "?"}'])
def test_a_damaged_winner_is_named(make: Make, trial: Of, text: str) -> None:
    run = make("run", [trial(0, {"val_acc": 1.0}, (1.0,))])
    (run.artifacts / "winner.json").write_text(text)
    with pytest.raises(StoreError, match=r"winner\.json"):
        winner_of(member_of(run))


def test_no_interval_is_made_up_where_the_images_were_not_counted(make: Make, trial: Of) -> None:
    run = make("run", [trial(0, {"val_acc": 1.0, "test_acc": 90.0}, (1.0,))])
    best = winner_of(member_of(run))
    assert best is not None
    assert best.values["test_acc"] == 90
    assert best.test_interval is None


def test_an_objective_against_the_direction_of_its_metric_is_read_as_it_was_sought(make: Make, trial: Of) -> None:
    trials = [trial(k, {"loss": v}, (v,)) for k, v in enumerate([1.0, 3.0])]
    changes = {"metrics": [LOSS.to_json()], "objectives": ["maximize(loss)"]}
    (found,) = member_of(make("own", trials, **changes)).sought
    assert found.metric == replace(LOSS, better="larger")
    assert (found.noun, found.value(3.0)) == ("validation loss (higher is better)", 3.0)


def test_a_winner_that_was_trained_has_the_metrics_of_its_training(make: Make, trial: Of) -> None:
    run = make("own", [trial(0, {"val_rmse": 3.0}, (-3.0,))], objectives=["minimize(val_rmse)"])
    error = Metric("test_rmse", "EUR", "smaller", "test error")
    facts = {
        "arch": str(run.trials[0].arch),
        "trial": 0,
        "test_rmse": 2.5,
        "test_rows": 70,
        "metrics": [error.to_json()],
    }
    (run.artifacts / "winner.json").write_text(json.dumps(facts))
    best = winner_of(member_of(run))
    assert best is not None
    assert best.tests == [error]
    assert best.values == {"val_rmse": 3.0, "test_rmse": 2.5}


def test_clocks_go_by_the_numbers_of_trials_that_finished_in_another_order(make: Make, trial: Of) -> None:
    serial = make("run", [trial(number, {"val_acc": 90.0 - number}) for number in range(3)])
    first, second, third = serial.records
    run = replace(serial, records=(replace(second, at_s=1.0), replace(first, at_s=2.0), replace(third, at_s=3.0)))
    one = member_of(run)
    assert [trial.number for trial in one.evaluated] == [0, 1, 2]
    assert one.clocks["wall_s"].tolist() == [2.0, 2.0, 3.0]  # the first trial is known after 2 seconds
