"""Evaluators of other people that end the process, or give what is no measurement: a failed trial, or one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import ProtocolError
from ogive.core.evaluator import Cached, Measured, attempt
from ogive.core.metric import Metric
from ogive.core.study import Evaluation
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.executors.processes import Processes
from ogive.trial_lines import line_of, record_of

PROPOSAL = Proposal(Architecture("toy", (1,)))
SURROGATE = "no such file: \udcff.png"


class Evil:
    """An evaluator that does with a proposal what it is told to."""

    metrics = (Metric("value"),)

    def __init__(self, deed: Callable[[], Any]) -> None:
        self.deed = deed

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self.deed() for _ in proposals]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Nothing:
    metrics = (Metric("value"),)

    def __init__(self, returned: Any) -> None:
        self.returned = returned

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        found: list[Measurement] = self.returned
        return found


def raising(error: BaseException) -> Callable[[], Any]:
    def deed() -> Any:
        raise error

    return deed


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (sys.exit, "SystemExit: "),
        (lambda: sys.exit("out of licences"), "SystemExit: out of licences"),
        (raising(OSError(SURROGATE)), r"OSError: no such file: \udcff.png"),
        (lambda: Measurement(error=SURROGATE), r"no such file: \udcff.png"),
        (raising(Unspeakable()), "Unspeakable: its message cannot be read"),
    ],
)
def test_a_deed_that_costs_one_candidate_is_a_failed_trial_that_can_be_stored(
    deed: Callable[[], Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    (found,) = attempt(Evil(deed), [PROPOSAL])

    assert found.error == reason
    caplog.text.encode()  # a log file takes it, too
    assert record_of(line_of(Trial(0, PROPOSAL, found, "failed"), 1.0).rstrip(b"\n")).trial.measurement.error == reason


def test_a_function_that_exits_fails_its_candidate_alone() -> None:
    found = attempt(Measured(lambda arch: sys.exit(3) if arch.choices == (1,) else 2.0), [PROPOSAL, _other()])

    assert [measurement.error for measurement in found] == ["SystemExit: 3", None]


def test_ctrl_c_is_none_of_these() -> None:
    with pytest.raises(KeyboardInterrupt):
        attempt(Evil(raising(KeyboardInterrupt())), [PROPOSAL])


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (None, "None"),
        ({"value": 1.0}, "{'value': 1.0}"),
        (Measurement({"value": "91.2"}), "value='91.2'"),  # type: ignore[dict-item]
        (Measurement({"value": None}), "value=None"),  # type: ignore[dict-item]
        (Measurement({"value": [1.0]}), r"value=\[1.0\]"),  # type: ignore[dict-item]
        (Measurement({"value": 10**400}), "value=1000"),
        (Measurement({"value": 1.0, "\udcff": 1.0}), r"'\\udcff'"),
        (Measurement({"value": 1.0, 3: 1.0}), "3"),  # type: ignore[dict-item]
        (Measurement(None), "metrics=None"),  # type: ignore[arg-type]
        (Measurement({"value": 1.0}, cost=3.0), "cost=3.0"),  # type: ignore[arg-type]
        (Measurement(error=ValueError("x")), r"error=ValueError\('x'\)"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_measurement_is_one_line_with_evaluator_and_value(given: Any, named: str) -> None:
    with pytest.raises(ProtocolError, match=rf"Evil.*{named}") as refused:
        attempt(Evil(lambda: given), [PROPOSAL])

    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300
    str(refused.value).encode()


@pytest.mark.parametrize("returned", [None, 3, iter([1])])
def test_what_is_no_list_is_one_line_with_evaluator_and_value(returned: Any) -> None:
    with pytest.raises(ProtocolError, match=r"Nothing.*returned (None|3|<list_iterator)"):
        attempt(Nothing(returned), [PROPOSAL])


@pytest.mark.parametrize("given", ["91.2", None, [1.0], 10**400])
def test_a_function_that_returns_no_number_is_named(given: Any) -> None:
    with pytest.raises(ProtocolError, match=r"Measured.*value="):
        attempt(Measured(lambda _: given), [PROPOSAL])


def test_an_evaluator_inside_another_is_named() -> None:
    with pytest.raises(ProtocolError, match=r"Cached\(Evil\).*value='91.2'"):
        attempt(Cached(Evil(lambda: Measurement({"value": "91.2"}))), [PROPOSAL])  # type: ignore[dict-item]


def _text() -> Measurement:
    return Measurement({"value": "91.2"})  # type: ignore[dict-item]


def test_in_a_worker_the_evaluator_itself_is_named() -> None:
    with Processes(1) as pool:
        shared = pool.share(Evil(_text))
        task = pool.submit(Evaluation(range(1)), shared, [PROPOSAL])
        with pytest.raises(ProtocolError, match=r"^Evil .*value='91.2'"):
            task.result()


def _other() -> Proposal:
    return Proposal(Architecture("toy", (2,)))
