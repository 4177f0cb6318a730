"""The strategy bayes: seconds of a proposal with up to 200 trials, on graphs and on real variables.

``make bench ARGS="-k bayes"`` prints processor seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.graph import Graph
from ogive.core.rng import Seed
from ogive.core.space import Real, SearchSpace
from ogive.core.trial import Measurement, Proposal, Trial
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.bayes import bayes

Show = Callable[[str], None]

TRIALS, IN_FLIGHT = 200, 8


def draw(arch: Architecture) -> Graph:
    return Graph(("input", "output"), frozenset({(0, 1)}))


SPACES = {"cells": nasbench201(), "8 real": SearchSpace("real", tuple(Real(x, 0.0, 1.0) for x in "abcdefgh"), draw)}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", SPACES)
def test_bayes_proposes_in_three_tenths_of_a_second(name: str, show: Show) -> None:
    """After 200 trials, the first alone, then with eight in flight, of which the model is fitted twice."""
    space, rng = SPACES[name], np.random.default_rng(0)
    strategy = bayes(space=space, seed=Seed(0))
    for number in range(TRIALS):
        arch = space.sample(rng)
        score = float(np.sum(arch.choices)) + float(rng.normal())
        strategy.tell([Trial(number, Proposal(arch), Measurement({"val": score}), "ok", (score,))])
    seconds = []
    for _ in range(IN_FLIGHT):
        started = time.process_time()
        strategy.ask()
        seconds.append(time.process_time() - started)
    show(f"bayes, {name}, {TRIALS} trials: {seconds[0]:.3f} s, with others in flight {np.median(seconds):.3f} s")
    assert np.median(seconds) <= 0.3
