from __future__ import annotations

import math
import re

import pytest

from ogive.report.wording import compare_command, duration, flat, metric_order, number, random_command, value_of


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("val_acc", 94.308, "94.31\u00a0%"),
        ("latency_ms", 1.8374, "1.837\u00a0ms"),
        ("params", 1073466.0, "1,073,466"),
        ("robust_acc", 51.0, "51.00\u00a0%"),
        ("energy", 0.00012345, "0.0001234"),
        ("val_acc", None, "–"),
    ],
)
def test_values_carry_their_units(metric: str, value: float | None, expected: str) -> None:
    assert value_of(metric, value) == expected


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


def test_accuracies_come_before_what_nobody_asked_for() -> None:
    assert sorted(["zen", "latency_p10_ms", "params", "val_acc"], key=metric_order) == [
        "val_acc",
        "params",
        "latency_p10_ms",
        "zen",
    ]


def test_nested_settings_become_lines() -> None:
    assert flat({"a": {"b": 1, "c": None}, "d": ["x", "y"]}) == [("a.b", "1"), ("d", "x, y")]


CONFIG = {
    "space": "nasbench201",
    "strategy": "evolution(population=6)",
    "evaluator": "tabular",
    "objectives": ["maximize(val_acc)"],
    "table": "nasbench201",
    "budget": {"trials": 200, "wall_s": None, "benchmark_s": None},
    "seed": 3,
    "workers": 2,
    "skeleton": {"channels": None, "cells": None},
}


def test_the_command_of_the_missing_random_search_keeps_all_but_the_strategy() -> None:
    assert random_command(CONFIG) == (
        "ogive search --space nasbench201 --strategy random --evaluator tabular --objective 'maximize(val_acc)' "
        "--table nasbench201 --workers 2 --budget 200 --seed 3"
    )


def test_the_command_that_compares_asks_for_more_seeds() -> None:
    command = compare_command(CONFIG, 5)
    assert command.startswith("ogive compare random 'evolution(population=6)' --space nasbench201 ")
    assert command.endswith(" --budget 200 --seeds 5")


def test_a_budget_in_units_is_written_as_it_is_read() -> None:
    units = {"trials": None, "wall_s": None, "benchmark_s": 10.0, "units": 600, "unit": "epochs"}
    assert compare_command({**CONFIG, "budget": units}, 5).endswith(" --budget 'benchmark=10,600 epochs' --seeds 5")


def test_a_random_search_is_never_compared_with_itself() -> None:
    for strategy in ("random", "random(without_replacement=true)"):
        command = compare_command({**CONFIG, "strategy": strategy}, 5)
        assert re.match(r"ogive compare random (\S+ )?evolution --space", command)
    both = {**CONFIG, "strategy": "random", "objectives": ["maximize(val_acc)", "minimize(params)"]}
    assert compare_command(both, 5).startswith("ogive compare random nsga2 --space")


def test_a_comparison_of_named_strategies_may_end_with_more_words() -> None:
    command = compare_command(CONFIG, 2, strategies=["random", "spos"], more=["--out", "a folder"])
    assert command.startswith("ogive compare random spos --space ")
    assert command.endswith("--seeds 2 --out 'a folder'")


def test_damaged_settings_do_not_break_a_command() -> None:
    assert "--space" in random_command({"skeleton": "?", "budget": [1], "objectives": None})
