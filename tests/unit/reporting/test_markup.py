from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from ogive.core.metric import Better, Metric, of_version_1
from ogive.reporting.markup import Html, Sought, alike, duration, joined, number, script_json, tag, told, told_alike


def test_plain_text_is_escaped_and_html_is_not() -> None:
    assert tag("p", "a < b & c", tag("b", "d")) == "<p>a &lt; b &amp; c<b>d</b></p>"


def test_attributes_are_escaped_renamed_and_left_out() -> None:
    element = tag("div", class_='a"b', data_point=3, hidden=True, id=None, role=False)
    assert element == '<div class="a&quot;b" data-point="3" hidden></div>'


def test_void_elements_have_no_end() -> None:
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_lists_are_flattened_and_none_is_nothing() -> None:
    assert joined(["a", None, ["<"]], Html("<hr>")) == "a&lt;<hr>"


def test_json_in_a_script_cannot_end_the_script() -> None:
    hostile = {"</script><script>alert(1)</script>": ["<!--", "\u2028", "&amp;"]}
    text = script_json(hostile)
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == hostile


def test_json_in_a_script_holds_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        script_json([float("nan")])


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("val_acc", 94.308, "94.31\u00a0%"),
        ("latency_ms", 1.8374, "1.837\u00a0ms"),
        ("params", 1073466.0, "1,073,466"),
        ("robust_acc", 51.0, "51.00\u00a0%"),
        ("energy", 0.00012345, "0.0001234"),
        ("own_size", 3.0, "3"),
        ("val_acc", None, "–"),
    ],
)
def test_values_carry_their_units(metric: str, value: float | None, expected: str) -> None:
    assert told(of_version_1(metric), value) == expected


def test_numbers_keep_what_tells_two_scores_apart() -> None:
    assert [number(value) for value in (100.02, 0.5, 12.0, 123456.7, -3.25, math.inf)] == [
        "100.02",
        "0.5",
        "12",
        "123,457",
        "-3.25",
        "inf",
    ]


def test_durations_use_the_unit_that_people_would() -> None:
    assert [duration(seconds) for seconds in (0.42, 92, 852, 11160)] == ["0.42 s", "92 s", "14.2 min", "3.1 h"]


def sought(written: str, name: str, better: Better) -> Sought:
    return Sought(written, replace(of_version_1(name), better=better), (name,))


@pytest.mark.parametrize(
    ("name", "better", "score", "told", "noun", "heading"),
    [
        (
            "latency_ms",
            "smaller",
            -15.1477,
            "15.15\u00a0ms",
            "latency (lower is better)",
            "latency (ms, lower is better)",
        ),
        ("params", "smaller", -1200.0, "1,200", "parameters (lower is better)", "parameters (lower is better)"),
        ("val_ppl", "smaller", -60.5, "60.50", "validation perplexity (lower is better)", None),
        ("val_acc", "larger", 93.1, "93.10\u00a0%", "validation accuracy", "validation accuracy (%)"),
        ("naswot", "larger", 1500.0, "1,500", "NASWOT score (higher is better)", "NASWOT score (higher is better)"),
        (
            "robust_acc",
            "smaller",
            -51.0,
            "51.00\u00a0%",
            "robust acc (lower is better)",
            "robust acc (%, lower is better)",
        ),
    ],
)
def test_an_objective_of_one_metric_is_told_as_that_metric(
    name: str, better: Better, score: float, told: str, noun: str, heading: str | None
) -> None:
    found = sought(name, name, better)
    assert found.told(score) == told
    assert found.noun == noun
    assert found.heading == (heading or noun)


def test_an_objective_of_several_metrics_keeps_its_score() -> None:
    found = Sought("latency_tradeoff(target_ms=5)")
    assert (found.told(-3.5), found.value(-3.5)) == ("-3.5", -3.5)
    assert found.noun == found.heading == "latency_tradeoff(target_ms=5)"


def test_a_span_of_a_metric_that_is_minimised_goes_from_low_to_high() -> None:
    assert sought("", "latency_ms", "smaller").span(-3.0, -1.5, ".1f") == "1.5 to 3.0"
    assert sought("", "val_acc", "larger").span(90.25, 91.0, ".2f") == "90.25 to 91.00"


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1.5, 12.0, None], ["1.50", "12.00", "–"]),
        ([3.0, 1200.0], ["3", "1,200"]),
        ([0.94231, 0.02467], ["0.9423", "0.0247"]),
        ([12345.6, 2.0], ["12,346", "2"]),
        ([1e-9, 5.0], ["1.000e-09", "5.000e+00"]),
        ([2.0, float("nan")], ["2", "nan"]),
        ([], []),
    ],
)
def test_numbers_of_one_column_have_as_many_decimals(values: list[float | None], written: list[str]) -> None:
    assert alike(values) == written


def test_values_of_a_metric_have_its_unit_and_as_many_decimals() -> None:
    assert told_alike(Metric("latency_ms", "ms", "smaller"), [1.375, 10.0, None]) == [
        "1.38\u00a0ms",
        "10.00\u00a0ms",
        "–",
    ]
    assert told_alike(Metric("val_acc", "%"), [7.0, 93.456]) == ["7.00\u00a0%", "93.46\u00a0%"]
