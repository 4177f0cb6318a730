"""Support vector regression: the settings are those that scikit-learn's own grid search finds."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVR

from ogive.core.errors import SpecError
from ogive.core.predictor import Observed
from ogive.features import OneHot
from ogive.metrics import kendall_tau
from ogive.predictors.svr import SETTINGS, SupportVectors
from ogive.spaces.nasbench201 import nasbench201

SPACE = nasbench201()


def labelled(count, seed=0):
    rng = np.random.default_rng(seed)
    archs = tuple(dict.fromkeys(SPACE.sample(rng) for _ in range(count)))
    # Convolutions are worth more than one by one, and noise is on top.
    return Observed(archs, tuple(float(sum(c in (2, 3) for c in a.choices) ** 2 + rng.normal() / 4) for a in archs))


def test_the_settings_and_predictions_are_those_of_a_grid_search_of_scikit_learn():
    told, other = labelled(31), labelled(40, seed=1).archs
    made = SupportVectors(space=SPACE, folds=3)
    made.fit(told)
    rows = OneHot(space=SPACE)
    searched = GridSearchCV(SVR(), SETTINGS, cv=3).fit(rows(told.archs).astype(np.float64), told.scores)
    assert made.chosen == searched.best_params_
    np.testing.assert_allclose(made.predict(other), searched.predict(rows(other).astype(np.float64)), atol=1e-9)


def test_it_ranks_what_it_was_not_told_and_draws_nothing_from_the_global_generator():
    made, other = SupportVectors(space=SPACE, folds=2), labelled(60, seed=2)
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - this is what must not change
    made.fit(labelled(60))
    assert kendall_tau(made.predict(other.archs), np.array(other.scores)) > 0.7
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert made.predict([]).shape == (0,)


def test_few_labels_are_divided_into_fewer_parts_and_two_into_none():
    made = SupportVectors(space=SPACE)
    for count in (2, 3, 5):
        told = labelled(20)
        made.fit(Observed(told.archs[:count], told.scores[:count]))
        assert np.isfinite(made.predict(told.archs)).all()
    made.fit(Observed(told.archs[:2], told.scores[:2]))
    assert made.chosen["C"] == 1


def test_what_cannot_be_is_said():
    with pytest.raises(SpecError, match="at least 2 parts, but got folds=1"):
        SupportVectors(space=SPACE, folds=1)
    with pytest.raises(SpecError, match="before it was fitted"):
        SupportVectors(space=SPACE).predict([])
