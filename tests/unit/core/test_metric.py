from __future__ import annotations

import pytest

from ogive.core.metric import (
    LATENCY,
    MACS,
    PARAMS,
    TEST_ACC,
    VAL_ACC,
    Metric,
    better_of,
    metrics_from,
    of_part,
    of_version_1,
    score_named,
)

ERROR = Metric("val_rmse", "EUR", "smaller", "validation error")


def test_a_test_metric_is_what_its_twin_of_the_validation_set_is() -> None:
    assert of_part("test_rmse", [VAL_ACC, ERROR]) == Metric("test_rmse", "EUR", "smaller", "test error")
    own = Metric("test_rmse", "USD", "smaller", "money")
    assert of_part("test_rmse", [ERROR, own]) == own
    assert of_part("test_ppl", [ERROR]) == of_version_1("test_ppl")
    assert of_part("depth", []) == Metric("depth")


@pytest.mark.parametrize("metric", [PARAMS, MACS, LATENCY, Metric("energy", "mJ", "smaller")])
def test_what_a_network_costs_is_told_from_how_good_it_is(metric: Metric) -> None:
    assert metric.spent
    assert metric.takes_time == (metric.unit != "")
    assert not metric.validated
    assert not ERROR.spent
    assert ERROR.validated


def test_a_training_free_score_is_larger_for_better_networks_and_has_its_words() -> None:
    assert score_named("naswot") == Metric("naswot", "", "larger", "NASWOT score")
    assert score_named("params") == Metric("params", "", "larger", "parameters")


def test_whether_a_metric_is_for_the_record_only_is_a_fact_that_its_name_decides_where_nobody_said() -> None:
    assert [Metric(name).reported for name in ("test_acc", "latest", "val_acc")] == [True, False, False]
    final, speed = Metric("final", reported=True), Metric("test_of_speed", reported=False)
    assert (final.reported, speed.reported) == (True, False)
    assert metrics_from([metric.to_json() for metric in (final, speed, TEST_ACC)]) == (final, speed, TEST_ACC)
    # Records say it where their names do not: others are read by earlier versions as before.
    assert "reported" not in TEST_ACC.to_json()
    assert final.to_json()["reported"] is True
    assert of_part("test_rmse", [ERROR]).reported


@pytest.mark.parametrize("unit", ["s", "mJ", "kWh", "parameters", "MACs", "operations"])
def test_of_what_is_spent_and_counted_less_is_better_whatever_it_is_called(unit: str) -> None:
    assert better_of("c100_total", unit) == "smaller"
    assert better_of("c100_total", "images/s") == "larger"
