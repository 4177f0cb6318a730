from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ogive.core.trial import Trial
from ogive.reporting.facts import facts_of
from ogive.reporting.latency import latency_lines
from ogive.reporting.page import page
from ogive.runs import Run

Make = Callable[..., Run]
Of = Callable[..., Trial]
AGAIN = "It was not measured again side by side with its rivals: ogive resume "


def latencies(middle: float, *, cpu: float | None = None, width: float = 0.02) -> dict[str, float]:
    return {
        "val_acc": 90.0,
        "latency_ms": middle,
        "latency_p10_ms": 0.9 * middle,
        "latency_p90_ms": 1.1 * middle,
        "latency_cpu_ms": middle if cpu is None else cpu,
        "latency_low_ms": middle * (1 - width / 2),
        "latency_high_ms": middle * (1 + width / 2),
    }


def remeasured(run: Run, *found: tuple[int, float]) -> None:
    """Write that these trials have these latencies when they are measured side by side."""
    trials = {trial.number: trial for trial in run.trials}
    entries = [
        {
            "trial": number,
            "arch": str(trials[number].arch),
            "status": "ok",
            "scores": [*(trials[number].scores or ())[:-1], -middle],
            "metrics": latencies(middle),
            "error": None,
        }
        for number, middle in found
    ]
    (run.artifacts / "finalists.json").write_text(json.dumps({"trials": len(trials), "finalists": entries}))


def trained(run: Run, number: int, latency: dict[str, Any]) -> None:
    arch = str(run.trials[number].arch)
    facts = {"arch": arch, "trial": number, "latency_ms": latency["median_ms"], "latency": latency}
    (run.artifacts / "winner.json").write_text(json.dumps(facts))


def lines(*runs: Run) -> Sequence[str]:
    best = facts_of(runs).winner
    assert best is not None
    return latency_lines(best)


@pytest.fixture
def two(make: Make, trial: Of) -> Run:
    """Two equal networks, of which the machine took longer for one, in search of the tradeoff with 5 ms."""
    return make("two", [trial(0, latencies(7.9, cpu=4.0), (87.0,)), trial(1, latencies(25.1, cpu=4.0), (80.0,))])


def test_the_latencies_of_the_winner_are_set_side_by_side(two: Run) -> None:
    remeasured(two, (0, 4.1), (1, 4.0))
    trained(two, 1, {"median_ms": 29.8, "low_ms": 29.0, "high_ms": 30.1, "cpu_ms": 4.0, "device": "cpu"})
    first, target, busy = lines(two)
    assert first == (
        "Its latency was measured 3 times: 25.1 ms in the search (95 % interval of the median 24.8 to 25.4; the "
        "processor worked 4 ms of them), 4 ms in alternation with 1 other finalist (95 % interval of the median 3.96 "
        "to 4.04), 29.8 ms after its full training (95 % interval of the median 29 to 30.1; the processor worked 4 ms "
        "of them). The longest is 645 % above the shortest: the machine was not equally busy, or the networks were not "
        "of one size. What counts is the last one for which the machine was free."
    )
    assert target == "The target of 5 ms is met."
    assert busy == (
        "In 2 of 2 measurements of the search the processor worked less than nine tenths of the time: something else "
        "kept the machine busy."
    )
    text = html.unescape(page([two]))
    assert all(line in text for line in lines(two))


def test_the_winner_is_chosen_by_what_was_measured_last(two: Run, make: Make, trial: Of) -> None:
    remeasured(two, (0, 4.1), (1, 4.0))
    text = html.unescape(page([two]))
    assert "trial 1 of evolution" in text
    assert "latency_tradeoff(target_ms=5) = <strong>-4" in text
    # Of two runs the one leads whose best is better by what was measured last, whatever the search thought of it.
    other = make("other", [trial(0, latencies(4.0), (-3.9,))])
    lead = facts_of([two, other]).lead
    assert lead.run.folder == other.folder


def test_a_latency_that_was_never_measured_on_a_free_machine_meets_no_target(two: Run) -> None:
    assert "Whether the target of 5 ms is met cannot be told: the machine was busy each time." in lines(two)


def test_latencies_that_agree_are_said_to(make: Make, trial: Of) -> None:
    run = make("one", [trial(0, latencies(4.0), (90.0,))])
    remeasured(run, (0, 4.1))
    assert "4.1 ms once more after the search" in lines(run)[0]  # not in alternation with 0 others
    assert lines(run)[0].endswith("They agree within 2.5 %.")
    assert lines(run)[1:] == ["The target of 5 ms is met."]


@pytest.mark.parametrize(
    ("middle", "said"),
    [
        (4.9, "The target of 5 ms is met."),
        (5.01, "Whether the target of 5 ms is met cannot be told: it lies within the interval."),
        (6.0, "The target of 5 ms is missed by 20 %."),
    ],
)
def test_a_target_is_met_missed_or_within_the_noise(make: Make, trial: Of, middle: float, said: str) -> None:
    run = make("one", [trial(0, latencies(4.0), (90.0,))])
    remeasured(run, (0, middle))
    assert said in lines(run)


def test_limits_of_the_choice_are_targets_too(make: Make, trial: Of) -> None:
    both = ["maximize(val_acc)", "minimize(latency_ms)"]
    run = make("one", [trial(0, latencies(4.0), (90.0, -4.0))], objectives=both, prefer=["latency_ms<=6"])
    remeasured(run, (0, 4.0))
    assert "The target of 6 ms is met." in lines(run)


def test_a_winner_that_was_measured_once_only_says_what_measures_it_again(make: Make, trial: Of) -> None:
    run = make("one", [trial(0, latencies(4.0), (90.0,))])
    assert lines(run)[0].startswith("Its latency was measured once: 4 ms in the search")
    assert lines(run)[-1] == f"{AGAIN}{run.folder} does that."
    only = make("other", [trial(0, latencies(4.0), (90.0,))], objectives=["maximize(val_acc)"])
    assert not [line for line in lines(only) if "again" in line or "target" in line]


def test_wide_intervals_are_counted(make: Make, trial: Of) -> None:
    run = make("one", [trial(0, latencies(4.0), (90.0,)), trial(1, latencies(5.0, width=0.31), (80.0,))])
    assert lines(run)[-1] == ("In 1 of 2 the 95 % interval of the median stayed wider than 5 % of it, up to 31 %.")


def test_a_processor_that_waits_for_a_gpu_is_no_busy_machine(make: Make, trial: Of) -> None:
    run = make("one", [trial(0, latencies(4.0, cpu=1.0), (90.0,))], device="cuda")
    assert "The target of 5 ms is met." in lines(run)
    assert not [line for line in lines(run) if "the processor" in line]


def test_of_version_0_1_there_are_no_intervals(make: Make, trial: Of) -> None:
    metrics = {name: value for name, value in latencies(4.0).items() if "low" not in name and "high" not in name}
    run = make("one", [trial(0, metrics, (90.0,))])
    trained(run, 0, {"median_ms": 4.1, "p10_ms": 4.0, "p90_ms": 4.4})
    assert lines(run)[0] == (
        "Its latency was measured twice: 4 ms in the search, 4.1 ms after its full training. They agree within 2.5 %."
    )


def test_a_latency_of_a_table_was_measured_by_others(make: Make, trial: Of) -> None:
    assert lines(make("one", [trial(0, {"val_acc": 90.0, "latency_ms": 4.0}, (90.0,))])) == []
