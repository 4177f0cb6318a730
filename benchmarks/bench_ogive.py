"""The predictor ogive: from labels to a ranking of all cells of NAS-Bench-201, and a refit of the strategy.

``make bench ARGS="-k ogive"`` prints processor seconds, cold (the cells are drawn and described) and warm.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.trial import Measurement, Trial
from ogive.predictors.blend import Blend
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.ogive import ogive
from ogive.structure import LiveWeight, Structure

pytestmark = pytest.mark.usefixtures("one_thread")

SPACE = nasbench201()
LABELS = 156


def made_up(seed: int = 0) -> Observed:
    rng = np.random.default_rng(seed)
    archs = tuple(SPACE.sample(rng) for _ in range(LABELS))
    return Observed(archs, tuple(sum(arch.choices) + float(rng.normal()) for arch in archs))


def test_ogive_fits_156_labels_and_ranks_all_cells_in_three_seconds() -> None:
    cells, labels, predictor = list(SPACE), made_up(), Blend(space=SPACE, seed=Seed(0))
    predictor.fit(labels)  # scikit-learn is imported once
    started = time.process_time()
    Structure(space=SPACE)(cells)
    LiveWeight(space=SPACE)(cells)
    described = time.process_time() - started
    predictor.predict(cells)
    started = time.process_time()
    predictor.fit(labels)
    predictor.predict(cells)
    warm = time.process_time() - started
    print(f"\nogive: {described + warm:.2f} s cold, {warm:.2f} s warm")
    assert described + warm <= 3


def test_ogive_asks_in_a_seventh_of_a_second() -> None:
    strategy = ogive(space=SPACE, seed=Seed(0))
    seconds = []
    for number in range(200):
        started = time.process_time()
        (proposal,) = strategy.ask()
        seconds.append(time.process_time() - started)
        value = float(sum(proposal.arch.choices))
        strategy.tell([Trial(number, proposal, Measurement({"val_acc": value}), "ok", (value,))])
    print(f"\nogive: {np.median(seconds):.3f} s a query, {np.mean(seconds[-20:]):.3f} s of the last twenty of 200")
    assert np.median(seconds) <= 0.15
