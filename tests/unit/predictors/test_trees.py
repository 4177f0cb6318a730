from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ogive.core.errors import SpecError
from ogive.core.predictor import Observed, Uncertain
from ogive.core.rng import Seed
from ogive.features import Paths
from ogive.metrics import kendall_tau
from ogive.predictors.bounds import UpperConfidenceBound
from ogive.predictors.trees import BoostedTrees, ExtraTrees, RandomForest
from ogive.spaces.nasbench201 import OPS, nasbench201

SPACE = nasbench201()
CONV3 = OPS.index("nor_conv_3x3")


def labels(count: int) -> Observed:
    rng = np.random.default_rng(0)
    archs = tuple(SPACE.sample(rng) for _ in range(count))
    return Observed(archs, tuple(float(arch.choices.count(CONV3)) for arch in archs))


@pytest.mark.parametrize("kind", [ExtraTrees, RandomForest, BoostedTrees])
def test_unseen_cells_are_ranked_by_what_the_labels_say(
    kind: type[ExtraTrees] | type[RandomForest] | type[BoostedTrees],
) -> None:
    predictor = kind(space=SPACE, seed=Seed(0))
    predictor.fit(labels(100))
    everything = list(SPACE)
    tau = kendall_tau(predictor.predict(everything), [arch.choices.count(CONV3) for arch in everything])
    assert tau > 0.7


def test_the_deviation_is_that_of_the_trees_and_is_gone_where_the_labels_are() -> None:
    predictor = ExtraTrees(space=SPACE, seed=Seed(0), trees=10)
    known = labels(60)
    predictor.fit(known)
    mean, deviation = predictor.predicted(known.archs)
    np.testing.assert_allclose(mean, known.scores, atol=1e-9)
    np.testing.assert_allclose(deviation, 0, atol=1e-9)
    others = list(SPACE)[::50]
    rows = predictor.encoder(others)
    votes = np.stack([tree.predict(rows) for tree in predictor._forest.estimators_])
    mean, deviation = predictor.predicted(others)
    np.testing.assert_allclose(mean, predictor._forest.predict(rows))
    np.testing.assert_allclose(deviation, votes.std(axis=0))
    assert deviation.max() > 0.5  # a third of the columns for each split; with all of them, the trees would be equal


def test_trees_of_a_forest_are_grown_on_labels_drawn_with_replacement() -> None:
    known = labels(60)
    predictor = RandomForest(space=SPACE, seed=Seed(0), trees=20, share=1.0)
    predictor.fit(known)
    rows = predictor.encoder(known.archs)
    mean, deviation = predictor.predicted(known.archs)
    np.testing.assert_allclose(mean, predictor._forest.predict(rows))
    # With all columns for each split, trees on the same labels would be equal, and say what the labels are.
    assert deviation.max() > 0.1
    assert not np.allclose(mean, known.scores, atol=1e-3)


def test_larger_leaves_blur_the_labels() -> None:
    known = labels(60)
    predictor = ExtraTrees(space=SPACE, seed=Seed(0), leaf=20)
    predictor.fit(known)
    assert np.ptp(predictor.predict(known.archs)) < 0.7 * np.ptp(known.scores)


def test_any_encoder_may_be_given() -> None:
    predictor = ExtraTrees(space=SPACE, seed=Seed(0), encoder=Paths(space=SPACE))
    predictor.fit(labels(40))
    assert predictor.predict(list(SPACE)[:7]).shape == (7,)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(SpecError, match="trees must be at least 1"):
        ExtraTrees(space=SPACE, seed=Seed(0), trees=0)
    with pytest.raises(SpecError, match="share=0"):
        ExtraTrees(space=SPACE, seed=Seed(0), share=0)
    with pytest.raises(SpecError, match="leaf must be at least 1"):
        RandomForest(space=SPACE, seed=Seed(0), leaf=0)
    with pytest.raises(SpecError, match="learning_rate > 0"):
        BoostedTrees(space=SPACE, seed=Seed(0), learning_rate=0)


def test_the_bound_lies_so_many_deviations_above_the_mean() -> None:
    trees = ExtraTrees(space=SPACE, seed=Seed(0), trees=10)
    bound = UpperConfidenceBound(trees, deviations=2.0)
    bound.fit(labels(40))
    others = list(SPACE)[::50]
    mean, deviation = trees.predicted(others)
    np.testing.assert_allclose(bound.predict(others), mean + 2 * deviation)
    assert isinstance(trees, Uncertain)
    assert not isinstance(bound, Uncertain)


def test_a_bound_of_a_predictor_without_deviation_is_refused_in_one_line() -> None:
    with pytest.raises(SpecError, match="needs a predictor with a deviation, such as trees, but BoostedTrees has none"):
        UpperConfidenceBound(BoostedTrees(space=SPACE, seed=Seed(0)))
    with pytest.raises(SpecError, match="deviations=-1"):
        UpperConfidenceBound(ExtraTrees(space=SPACE, seed=Seed(0)), deviations=-1)


def test_scikit_learn_is_imported_when_a_predictor_is_fitted() -> None:
    code = "import sys, ogive.predictors.trees, ogive.strategies.guided; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
