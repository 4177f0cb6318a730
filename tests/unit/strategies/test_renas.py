from __future__ import annotations

import pytest

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.predictors.renas import ReNAS, ReNASRecipe
from ogive.spaces.nasbench201 import OPS, nasbench201
from ogive.strategies.proposers import Evolved
from ogive.strategies.renas import renas

SPACE = nasbench201()
CONV3 = OPS.index("nor_conv_3x3")


def told(number: int, proposal: Proposal) -> Trial:
    score = float(proposal.arch.choices.count(CONV3))
    return Trial(number, proposal, Measurement({"val_acc": score}), "ok", (score,))


def test_random_labels_come_first_and_then_the_fittest_of_an_evolution() -> None:
    recipe = ReNASRecipe(epochs=15, learning_rate=0.003)
    strategy = renas(space=SPACE, seed=Seed(0), recipe=recipe, start=30, refit=5, offered=60, generations=3)
    predictor, proposer = strategy.parts
    assert isinstance(predictor, ReNAS)
    assert isinstance(proposer, Evolved)
    assert (proposer.generations, strategy.population) == (3, 30)
    trials: list[Trial] = []
    for number in range(35):
        (proposal,) = strategy.ask()
        trials.append(told(number, proposal))
        strategy.tell(trials[-1:])
        # Only the first of those that a fit gave costs anything.
        assert (proposal.cost.wall_s > 0) == (number == 30)
    convolutions = [trial.arch.choices.count(CONV3) for trial in trials]
    assert sum(convolutions[30:]) / 5 > sum(convolutions[:30]) / 30 + 1
    assert len({trial.arch for trial in trials}) == 35


def test_the_published_course_is_ninety_labels_and_ten_look_ups() -> None:
    strategy = renas(space=SPACE, seed=Seed(0))
    assert (strategy.start, strategy.refit) == (90, 10)
    with pytest.raises(SpecError, match="start of a guided search must be at least 2"):
        renas(space=SPACE, seed=Seed(0), start=1)
