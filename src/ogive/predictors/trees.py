"""Predictors made of decision trees, from scikit-learn, on any encoding of architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Encoder, Observed
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.features import OneHot
from ogive.predictors.labels import fitted

__all__ = ["BoostedTrees", "ExtraTrees", "RandomForest"]

Floats = npt.NDArray[np.float64]


class _Forest:
    """Trees that are grown apart from each other: their mean is the prediction, their spread the deviation.

    `encoder` defaults to ``one_hot``.
    """

    # The class of sklearn.ensemble that grows them.
    grower: ClassVar[str]

    def __init__(
        self,
        *,
        space: SearchSpace,
        seed: Seed,
        encoder: Encoder | None = None,
        trees: int = 100,  # scikit-learn's
        leaf: int = 1,  # labels in the smallest leaf; scikit-learn's
        # The share of columns among which a split is chosen: Breiman's for regression. With all of them, extremely
        # randomised trees on columns of ones and zeros would not differ: only the threshold is random otherwise.
        share: float = 1 / 3,
    ) -> None:
        _check_positive(trees=trees, leaf=leaf)
        _check_share(share)
        self.encoder = OneHot(space=space) if encoder is None else encoder
        self.trees, self.leaf, self.share = trees, leaf, share
        self._seed = _number(seed)
        self._forest: Any = None

    def fit(self, observed: Observed) -> None:
        from sklearn import ensemble

        labels = observed.comparable()
        forest = getattr(ensemble, self.grower)(
            self.trees, min_samples_leaf=self.leaf, max_features=self.share, random_state=self._seed, n_jobs=1
        )
        self._forest = forest.fit(self.encoder(labels.archs), np.array(labels.scores))

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        return self.predicted(archs)[0]

    def predicted(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        return _voted(fitted(self._forest), self.encoder(archs))


class ExtraTrees(_Forest):
    """Extremely randomised trees, whose mean is the prediction and whose spread is the deviation.

    Geurts et al., Machine Learning 63, 2006. `encoder` defaults to ``one_hot``. A fit on a hundred labels and a
    prediction of all 15,625 cells of NAS-Bench-201 take about 0.3 s.
    """

    grower = "ExtraTreesRegressor"


class RandomForest(_Forest):
    """A random forest: each tree is grown on labels drawn with replacement, and takes the best split of some columns.

    Breiman, Machine Learning 45, 2001. Mean and spread of the trees are prediction and deviation. `encoder` defaults to
    ``one_hot``.
    """

    grower = "RandomForestRegressor"


class BoostedTrees:
    """Gradient-boosted trees: each of them corrects those before. It has no deviation.

    Friedman, Annals of Statistics 29, 2001. `encoder` defaults to ``one_hot``.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        seed: Seed,
        encoder: Encoder | None = None,
        trees: int = 200,
        depth: int = 3,  # scikit-learn's
        learning_rate: float = 0.1,  # scikit-learn's
        subsample: float = 0.8,  # of the labels for each tree; Friedman, 2002, has 0.5 to 0.8 for small samples
        share: float = 1.0,  # of the columns for each split; scikit-learn's
    ) -> None:
        _check_positive(trees=trees, depth=depth)
        if not (learning_rate > 0 and 0 < subsample <= 1):
            raise SpecError(
                f"Boosted trees need learning_rate > 0 and 0 < subsample <= 1, but got {learning_rate}, {subsample}."
            )
        _check_share(share)
        self.encoder = OneHot(space=space) if encoder is None else encoder
        self.trees, self.depth, self.learning_rate = trees, depth, learning_rate
        self.subsample, self.share = subsample, share
        self._seed = _number(seed)
        self._model: Any = None

    def fit(self, observed: Observed) -> None:
        from sklearn.ensemble import GradientBoostingRegressor

        labels = observed.comparable()
        model = GradientBoostingRegressor(
            n_estimators=self.trees,
            max_depth=self.depth,
            learning_rate=self.learning_rate,
            subsample=self.subsample,
            max_features=self.share,
            random_state=self._seed,
        )
        self._model = model.fit(self.encoder(labels.archs), np.array(labels.scores))

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        model = fitted(self._model)
        rows = self.encoder(archs)
        return np.asarray(model.predict(rows), np.float64) if len(rows) else np.zeros(0)


def _voted(forest: Any, rows: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Mean and deviation of what the trees of a forest say, shapes (n,)."""
    if not len(rows):
        return np.zeros(0), np.zeros(0)
    rows = np.ascontiguousarray(rows, np.float32)
    # The trees themselves: the forest's predict checks the rows again, and gives the mean only.
    votes_TN = np.stack([tree.tree_.predict(rows)[:, 0] for tree in forest.estimators_])
    return votes_TN.mean(axis=0), votes_TN.std(axis=0)


def _number(seed: Seed) -> int:
    """A seed as scikit-learn takes one, below 2**32."""
    return seed.integer("trees") % 2**32


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise SpecError(f"The share of columns for a split lies in (0, 1], but got share={share}.")


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise SpecError(f"{name} must be at least 1, but got {number}.")
