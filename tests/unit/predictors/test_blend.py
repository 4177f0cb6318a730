from __future__ import annotations

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.predictor import Observed
from ogive.core.rng import Seed
from ogive.core.space import Choice, Real, SearchSpace
from ogive.metrics import kendall_tau
from ogive.predictors.blend import Blend
from ogive.predictors.bounds import UpperConfidenceBound
from ogive.spaces.nasbench201 import nasbench201

CELLS = nasbench201()
NONE, SKIP, CONV1, CONV3, POOL = range(5)
MIXED = SearchSpace("mixed", (Choice("op", ("a", "b")), Real("x", 0.0, 1.0)), lambda _: Graph((), frozenset()))


def drawn(count: int, seed: int = 0) -> tuple[Architecture, ...]:
    rng = np.random.default_rng(seed)
    return tuple(CELLS.sample(rng) for _ in range(count))


def deep(archs: tuple[Architecture, ...]) -> np.ndarray:
    """A score that no count of operations tells: what is on the way from edge to edge, with noise of its own."""
    rng = np.random.default_rng(7)
    return np.array(
        [(a.choices[0] == CONV3) * (a.choices[4] != NONE) + 0.5 * (a.choices[3] == SKIP) for a in archs]
    ) + rng.normal(0, 0.05, len(archs))


def fitted(labels: int, **options: int) -> Blend:
    predictor = Blend(space=CELLS, seed=Seed(0), **options)
    archs = drawn(labels)
    predictor.fit(Observed(archs, tuple(deep(archs).tolist())))
    return predictor


def test_two_labels_leave_the_order_to_the_weights_of_what_is_alive() -> None:
    predictor = Blend(space=CELLS, seed=Seed(0), trees=20, boosts=20)
    predictor.fit(Observed(drawn(2), (1.0, 1.0 + 1e-6)))
    small, middle, large = (CELLS.check(choices) for choices in ((POOL,) * 6, (CONV1,) * 6, (CONV3,) * 6))
    dead_weights = CELLS.check((CONV3, NONE, NONE, POOL, NONE, CONV3))
    scores = predictor.predict([small, dead_weights, middle, large])
    assert scores[0] < scores[2] < scores[3]
    assert scores[1] < scores[2]


def test_trees_and_process_together_rank_better_than_the_process_alone() -> None:
    others = drawn(400, seed=1)
    alone, both = (
        kendall_tau(fitted(120, **options).predict(others), deep(others))
        for options in ({"trees": 0, "boosts": 0}, {"trees": 60, "boosts": 60})
    )
    assert both > alone > 0.3


def test_labels_of_less_training_and_of_other_data_lead_to_a_better_order() -> None:
    """Ten labels say little, and 150 of a rough copy of the scores, on another scale, much."""
    archs, cheap, others = drawn(10), drawn(150, seed=2), drawn(300, seed=1)
    rough = 100 + 40 * deep(cheap) + np.random.default_rng(3).normal(0, 8, 150)
    told = Observed(archs, tuple(deep(archs).tolist()))
    taus = {}
    for name, more in {"nothing": None, "epochs": (12, None), "data": (None, "cifar100")}.items():
        predictor = Blend(space=CELLS, seed=Seed(0), trees=30, boosts=30)
        observed = told
        if more is not None:
            observed = Observed(
                archs + cheap,
                told.scores + tuple(rough.tolist()),
                (None,) * 10 + (more[0],) * 150,
                (None,) * 10 + (more[1],) * 150,
            )
        predictor.fit(observed)
        taus[name] = kendall_tau(predictor.predict(others), deep(others))
    assert min(taus["epochs"], taus["data"]) > taus["nothing"] + 0.05


def test_nothing_is_left_of_labels_of_another_kind() -> None:
    archs, others = drawn(12), drawn(50, seed=1)
    alone = Observed(archs, tuple(deep(archs).tolist()))
    more = Observed(archs + others, (*alone.scores, *deep(others).tolist()), (None,) * 12 + (4,) * 50)
    used, fresh = (Blend(space=CELLS, seed=Seed(0), trees=10, boosts=10) for _ in range(2))
    fresh.fit(alone)
    used.fit(alone)
    before = used.predict(others)
    used.fit(more)
    assert not np.array_equal(used.predict(others), before)
    used.fit(alone)
    assert np.array_equal(used.predict(others), fresh.predict(others))


def test_eight_of_ten_labels_lie_within_the_interval_that_says_so() -> None:
    predictor = fitted(100, trees=40, boosts=40)
    others = drawn(600, seed=1)
    mean, deviation = predictor.predicted(others)
    covered = np.mean(np.abs(deep(others) - mean) <= 1.2816 * deviation)
    assert 0.65 < covered < 0.95


def test_cells_that_compute_the_same_have_one_prediction() -> None:
    one, same = CELLS.check((SKIP, NONE, NONE, NONE, CONV3, NONE)), CELLS.check((NONE, POOL, NONE, CONV3, NONE, NONE))
    first, second = fitted(20, trees=5, boosts=5).predict([one, same])
    assert first == second


def test_its_bound_is_what_the_rank_so_much_higher_scores() -> None:
    predictor = fitted(30, trees=5, boosts=0)
    others = drawn(20, seed=1)
    bound = UpperConfidenceBound(predictor, deviations=1.5)
    mean, deviation = predictor.latent(others)
    assert predictor.targets_fitted is not None
    np.testing.assert_allclose(bound.predict(others), predictor.targets_fitted.scores(mean + 1.5 * deviation))
    np.testing.assert_array_equal(predictor.bound(others, 0), predictor.predict(others))


def test_a_space_without_graphs_is_told_by_its_choices() -> None:
    rng = np.random.default_rng(0)
    archs = tuple(MIXED.sample(rng) for _ in range(30))
    predictor = Blend(space=MIXED, seed=Seed(0), trees=10, boosts=10)
    predictor.fit(Observed(archs, tuple(float(arch.choices[1]) for arch in archs)))
    low, high = MIXED.check((0, 0.1)), MIXED.check((0, 0.9))
    assert np.diff(predictor.predict([low, high])) > 0.3


def test_what_cannot_be_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="boosts=-1"):
        Blend(space=CELLS, seed=Seed(0), boosts=-1)
    predictor = Blend(space=CELLS, seed=Seed(0), trees=5, boosts=0)
    with pytest.raises(SpecError, match="before it was fitted"):
        predictor.predict(drawn(1))
    with pytest.raises(SpecError, match="two comparable labels"):
        predictor.fit(Observed(drawn(1), (1.0,)))
    with pytest.raises(SpecError, match="finite number"):
        Observed(drawn(2), (1.0, float("nan")))
    predictor.fit(Observed(drawn(3), (2.0, 2.0, 2.0)))
    np.testing.assert_array_equal(predictor.predict(drawn(4, seed=1)), 2.0)
    with pytest.raises(InvalidArchitecture, match="mixed:0"):
        predictor.predict([MIXED.check((0, 0.5))])


def test_one_cell_with_two_labels_is_noise() -> None:
    (cell,) = drawn(1)
    others = drawn(9, seed=2)
    predictor = Blend(space=CELLS, seed=Seed(0), trees=5, boosts=5)
    predictor.fit(Observed((cell, cell, *others), (0.0, 1.0, *np.linspace(0, 1, 9).tolist())))
    assert 0 < predictor.predict([cell])[0] < 1
