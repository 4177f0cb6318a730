from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ogive.core.architecture import Architecture
from ogive.core.capabilities import Answer, Composite, Listening, answer_of, objectives_of, walk
from ogive.core.evaluator import Cached, Screened, Together
from ogive.core.metric import Metric
from ogive.core.trial import Measurement, Proposal, Trial


class Measuring:
    def __init__(self, metric: str) -> None:
        self.metrics = (Metric(metric),)

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [Measurement({self.metrics[0].name: 1.0}) for _ in proposals]


class Asking:
    def ask(self, n: int = 1) -> list[Proposal]:
        return [Proposal(Architecture("toy", (0,))) for _ in range(n)]

    def tell(self, trials: Sequence[Trial]) -> None:
        pass


class LastAnswering(Asking):
    answer: Answer = "last"
    objectives = 2


class Telling(Asking):
    progress: Callable[[str], None] | None = None


class Holding(Asking):
    def __init__(self, *parts: object) -> None:
        self.parts = parts


class HoldingAndAnswering(Holding):
    answer: Answer = "best"


def test_a_walk_visits_a_part_and_all_that_is_nested_in_it_outermost_first() -> None:
    a, b, c = Measuring("a"), Measuring("b"), Measuring("c")
    remembered, together = Cached(a), Together(b, c)
    whole = Screened(remembered, together)
    assert list(walk(whole)) == [whole, remembered, a, together, b, c]
    assert list(walk(a)) == [a]


def test_a_part_has_a_capability_by_having_its_member() -> None:
    assert isinstance(Holding(), Composite)
    assert not isinstance(Asking(), Composite)
    assert isinstance(Telling(), Listening)
    assert not isinstance(Asking(), Listening)


@pytest.mark.parametrize(
    ("strategy", "answer", "objectives"),
    [
        (Asking(), "best", None),
        (LastAnswering(), "last", 2),
        (Holding(Measuring("a"), LastAnswering()), "last", 2),
        (HoldingAndAnswering(LastAnswering()), "best", 2),
    ],
)
def test_the_outermost_part_that_says_so_decides(strategy: object, answer: Answer, objectives: int | None) -> None:
    assert answer_of(strategy) == answer
    assert objectives_of(strategy) == objectives
