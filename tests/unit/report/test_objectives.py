from __future__ import annotations

import pytest

from ogive.report.objectives import Goal, goal


@pytest.mark.parametrize(
    ("written", "score", "told", "noun", "heading"),
    [
        (
            "minimize(latency_ms)",
            -15.1477,
            "15.15\u00a0ms",
            "latency (lower is better)",
            "latency (ms, lower is better)",
        ),
        ("minimize('params')", -1200.0, "1,200", "parameters (lower is better)", "parameters (lower is better)"),
        ("minimize(metric=val_ppl)", -60.5, "60.50", "validation perplexity (lower is better)", None),
        ("maximize(val_acc)", 93.1, "93.10\u00a0%", "validation accuracy", "validation accuracy (%)"),
        ("maximize(naswot)", 1500.0, "1,500", "NASWOT score (higher is better)", "NASWOT score (higher is better)"),
        (
            "minimize(robust_acc)",
            -51.0,
            "51.00\u00a0%",
            "robust acc (lower is better)",
            "robust acc (%, lower is better)",
        ),
    ],
)
def test_an_objective_of_one_metric_is_told_as_that_metric(
    written: str, score: float, told: str, noun: str, heading: str | None
) -> None:
    found = goal(written)
    assert found.told(score) == told
    assert found.noun == noun
    assert found.heading == (heading or noun)


@pytest.mark.parametrize("written", ["latency_tradeoff(target_ms=5)", "maximize", "minimize(a, b)", "mine & yours <"])
def test_any_other_objective_keeps_its_score(written: str) -> None:
    assert goal(written) == Goal(written)
    assert goal(written).told(-3.5) == "-3.5"
    assert goal(written).noun == written


def test_a_span_of_a_metric_that_is_minimised_goes_from_low_to_high() -> None:
    assert goal("minimize(latency_ms)").span(-3.0, -1.5) == "1.5 to 3"
    assert goal("maximize(val_acc)").span(90.25, 91.0) == "90.25 to 91"
