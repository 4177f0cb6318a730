"""Several networks of one generator are told as a mean and a spread."""

import statistics

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.evaluator import Screened
from ogive.core.graph import Graph
from ogive.core.metric import Metric, names_of
from ogive.core.space import Choice, Draw, SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal
from ogive.evaluators.draws import Draws

SPACE = SearchSpace("drawn", (Choice("x", ("a", "b")), Draw("draw", 10)), lambda _: Graph((), frozenset()))


class Ten:
    """Ten times the choice and the draw; the draw that is `broken` fails."""

    metrics = (Metric("val_acc", "%"), Metric("test_acc", "%"))

    def __init__(self, broken=None):
        self.broken, self.seen = broken, []

    def evaluate(self, proposals):
        self.seen += proposals
        return [self.measured(*proposal.arch.choices) for proposal in proposals]

    def measured(self, x, draw):
        if draw == self.broken:
            return Measurement(cost=Cost(1.0), error="it broke")
        return Measurement({"val_acc": 10.0 * x + draw**2, "test_acc": 1.0 * draw}, Cost(1.0))


class Other(Ten):
    """Measures something else."""

    metrics = (Metric("other"),)


def test_draws_are_measured_from_the_proposed_one_on():
    inner = Ten()
    (found,) = Draws(inner, space=SPACE, draws=4).evaluate([Proposal(Architecture("drawn", (1, 8)), fidelity=3)])
    seen = [(proposal.arch.choices, proposal.fidelity) for proposal in inner.seen]
    assert seen == [((1, draw), 3) for draw in (8, 9, 0, 1)]
    values = [74.0, 91.0, 10.0, 11.0]
    assert found.metrics["val_acc"] == statistics.fmean(values)
    assert found.metrics["val_acc_std"] == pytest.approx(statistics.stdev(values))
    assert found.cost.wall_s == 4.0


def test_a_spread_is_reported_where_its_metric_is():
    metrics = Draws(Ten(), space=SPACE, draws=2).metrics
    assert list(names_of(metrics)) == ["val_acc", "val_acc_std", "test_acc", "test_acc_std"]
    assert [metric.reported for metric in metrics] == [False, False, True, True]
    assert [metric.better for metric in metrics] == ["larger", "smaller"] * 2


def test_one_failure_is_that_of_all():
    (found,) = Draws(Ten(broken=3), space=SPACE, draws=4).evaluate([Proposal(Architecture("drawn", (0, 2)))])
    assert (found.error, found.cost.wall_s, dict(found.metrics)) == ("draw 2 of 4: it broke", 2.0, {})


def test_what_cannot_be_drawn_several_times_is_refused():
    with pytest.raises(SpecError, match="takes at least 2 of them, but got draws=1"):
        Draws(Ten(), space=SPACE, draws=1)
    with pytest.raises(SpecError, match="has 10 draws, but 11 were asked"):
        Draws(Ten(), space=SPACE, draws=11)
    plain = SearchSpace("plain", (Choice("x", ("a", "b")),), lambda _: Graph((), frozenset()))
    with pytest.raises(SpecError, match="has 1 draws, but 8 were asked"):
        Draws(Ten(), space=plain)
    with pytest.raises(SpecError, match="wants 20 proposals at once"):
        Draws(Screened(Ten(), Other()), space=SPACE)
