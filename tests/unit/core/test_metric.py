from __future__ import annotations

import pytest

from ogive.core.metric import LATENCY, MACS, PARAMS, VAL_ACC, Metric, of_part, of_version_1, score_named

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
