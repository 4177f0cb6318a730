"""The comparator of CTNAS: its training against a plain one, and how long a fit and a ranking take.

``make bench ARGS="-k comparator"`` prints processor seconds on one thread.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np
import plain_comparator
import pytest
from partners import labels, seconds

from ogive.core.architecture import Architecture
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.predictors.comparator import Comparator, ComparatorRecipe
from ogive.predictors.graphs import GraphEncoder
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.threads import threads

SPACE = nasbench201()
LABELS = 156  # 1 % of the space
EPOCHS = 40
ROUNDS = 3
FIT_AND_RANK_S, RANK_101_S, RATIO = 25, 60, 3


class Plain:
    """The plain comparator, from the same weights and with the same pairs."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.encoder = epochs, GraphEncoder(space=SPACE)
        fresh = Comparator(space=SPACE, seed=Seed(0))._fresh()
        self.network = plain_comparator.PlainNetwork(len(self.encoder.vocabulary)).take(fresh)

    def fit(self, observed: Observed) -> None:
        with threads(1):
            plain_comparator.train(
                self.network, self.encoder(observed.archs), observed.scores, self.epochs, 256, Seed(0).numpy("pairs")
            )

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        with threads(1):
            found: np.ndarray = plain_comparator.ranked(self.network, self.encoder(archs))
        return found


def ours(epochs: int) -> Comparator:
    return Comparator(space=SPACE, seed=Seed(0), recipe=ComparatorRecipe(epochs=epochs))


def test_comparator_agrees_with_the_plain_one_and_trains_faster(show: Callable[[str], None]) -> None:
    known, archs = labels(SPACE, LABELS), list(SPACE)[::10]
    times: dict[str, list[float]] = {"plain": [], "ogive": []}
    for _ in range(ROUNDS):
        both = {"plain": Plain(EPOCHS), "ogive": ours(EPOCHS)}
        for name, predictor in both.items():
            times[name].append(seconds(lambda predictor=predictor: predictor.fit(known)))  # type: ignore[misc]
    plain, own = both["plain"].predict(archs), both["ogive"].predict(archs)
    np.testing.assert_allclose(own, plain, rtol=1e-3, atol=1e-4)
    medians = {name: statistics.median(found) / EPOCHS * 1000 for name, found in times.items()}
    ratio = medians["plain"] / medians["ogive"]
    show(
        f"comparator, an epoch of {LABELS} labels: {medians['ogive']:.1f} ms, plain {medians['plain']:.1f} ms, "
        f"{ratio:.1f} x faster; predictions after {EPOCHS} epochs differ by {np.abs(own - plain).max():.1e} at most"
    )
    assert ratio >= RATIO


def test_comparator_fits_156_labels_and_ranks_all_of_nasbench201(show: Callable[[str], None]) -> None:
    predictor, known, archs = ours(1000), labels(SPACE, LABELS), list(SPACE)
    fit, rank = seconds(lambda: predictor.fit(known)), seconds(lambda: predictor.predict(archs))
    show(f"comparator: fit on {LABELS} labels {fit:.1f} s, rank {len(archs):,} cells {rank:.1f} s")
    assert fit + rank < FIT_AND_RANK_S


@pytest.mark.slow
def test_comparator_ranks_all_of_nasbench101(show: Callable[[str], None]) -> None:
    space = nasbench101()
    archs = list(space)
    few = tuple(archs[::20_000])
    predictor = Comparator(space=space, seed=Seed(0), recipe=ComparatorRecipe(epochs=2))
    predictor.fit(Observed(few, tuple(map(float, range(len(few))))))
    rank = seconds(lambda: predictor.predict(archs))
    show(f"comparator: rank {len(archs):,} cells of nasbench101 {rank:.1f} s")
    assert rank < RANK_101_S
