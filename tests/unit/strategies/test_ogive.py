from __future__ import annotations

import numpy as np
import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.ogive import Heaviest, ogive
from ogive.strategies.proposers import Evolved, Exhaustive
from ogive.strategies.unseen import Unseen
from ogive.structure import live_weight

SPACE = nasbench201()
NONE, SKIP, CONV1, CONV3, POOL = range(5)
BEST = SPACE.check((CONV3, CONV1, NONE, SKIP, CONV3, CONV3))


def score(proposal: Proposal) -> float:
    """How near a cell is to the best one, and the more 3x3 the better."""
    choices = proposal.arch.choices
    near = sum(one == other for one, other in zip(choices, BEST.choices, strict=True))
    return near + 0.1 * choices.count(CONV3)


def told(number: int, proposal: Proposal) -> Trial:
    value = score(proposal)
    return Trial(number, proposal, Measurement({"val_acc": value}), "ok", (value,))


def test_the_first_proposals_are_of_the_heaviest_quarter() -> None:
    proposals = ogive(space=SPACE, seed=Seed(0), start=8).ask(8)
    weights = live_weight(space=SPACE)([one.arch for one in proposals])[:, 0]
    everything = live_weight(space=SPACE)(list(SPACE))[:, 0]
    assert (weights >= np.quantile(everything, 0.7)).all()
    assert len({one.arch for one in proposals}) == 8


def test_it_comes_near_the_best_of_all_cells_in_a_few_dozen_queries() -> None:
    strategy = ogive(space=SPACE, seed=Seed(0))
    best = 0.0
    for number in range(30):
        (proposal,) = strategy.ask()
        strategy.tell([told(number, proposal)])
        best = max(best, score(proposal))
    assert best >= 5.2  # five edges of six; one random cell of 650 has as much


def test_large_spaces_are_searched_by_mutations() -> None:
    assert isinstance(ogive(space=SPACE, seed=Seed(0)).proposer, Exhaustive)
    assert isinstance(ogive(space=catalog.build("space", "darts"), seed=Seed(0)).proposer, Evolved)
    assert isinstance(ogive(space=SPACE, seed=Seed(0), rated=100).proposer, Evolved)


def test_options_are_written_as_those_of_any_strategy() -> None:
    context = Context({"space": lambda: SPACE}, Seed(0))
    strategy = catalog.build("strategy", "ogive(start=5, deviations=1, refit=2)", context)
    assert (strategy.start, strategy.refit, strategy.predictor.deviations) == (5, 2, 1)
    assert strategy.settings()["opening"] == "Heaviest"
    with pytest.raises(SpecError, match="heaviest=0"):
        catalog.build("strategy", "ogive(heaviest=0)", context)


def test_an_opening_that_finds_nothing_new_takes_what_is_left() -> None:
    opening, unseen, rng = Heaviest(0.001, space=SPACE), Unseen(SPACE), np.random.default_rng(0)
    for arch in SPACE:
        if arch.choices.count(CONV3) > 1:
            unseen.remove(arch)
    found = opening.draw(unseen, rng)
    assert found is not None
    assert found.choices.count(CONV3) <= 1
