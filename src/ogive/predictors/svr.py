"""Support vector regression on any encoding of architectures, with settings that cross-validation chooses.

Knyazev et al., "Parameter Prediction for Unseen Deep Architectures", NeurIPS 2021, section 5.3, on embeddings of a
hypernetwork; the settings are those of facebookresearch/ppuda, experiments/property_prediction.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Encoder, Observed
from ogive.core.space import SearchSpace
from ogive.features import OneHot
from ogive.predictors.labels import fitted

__all__ = ["SupportVectors"]

Floats = npt.NDArray[np.float64]

# Among which the settings are chosen; property_prediction.py. "auto" is one over the number of columns.
SETTINGS = {"C": (1, 10, 50, 100, 200, 500, 1000), "gamma": ("auto", 0.05, 0.1, 0.2, 0.5), "epsilon": (0.05, 0.1, 0.2)}
# The smallest part of the labels of which it can be said how much of their spread is explained.
LEAST = 2


class SupportVectors:
    """A support vector machine with a radial kernel, fitted on scores as they are.

    `encoder` defaults to ``one_hot``; ``svr(encoder=embeddings)`` reads what a hypernetwork makes of the networks. C,
    gamma and epsilon are those of 105 settings that explain most of the variance in `folds` parts of the labels, each
    left out once, in their order; of fewer labels than twice the folds there are fewer parts, and below four labels the
    first settings are taken. Since epsilon is in the unit of the scores, these should have deviations of some units, as
    per cent have. A fit on a hundred labels takes about a second.
    """

    def __init__(self, *, space: SearchSpace, encoder: Encoder | None = None, folds: int = 5) -> None:
        if folds < 2:
            raise SpecError(f"Cross-validation leaves out one of at least 2 parts, but got folds={folds}.")
        self.encoder = OneHot(space=space) if encoder is None else encoder
        self.folds = folds
        self._model: Any = None

    @property
    def chosen(self) -> dict[str, Any]:
        """C, gamma and epsilon of the last fit."""
        told = fitted(self._model).get_params()
        return {name: told[name] for name in SETTINGS}

    def fit(self, observed: Observed) -> None:
        from sklearn.model_selection import KFold, ParameterGrid

        labels = observed.comparable()
        rows, scores = self.encoder(labels.archs).astype(np.float64), np.array(labels.scores)
        folds = min(self.folds, len(scores) // LEAST)
        settings = list(ParameterGrid(SETTINGS))
        parts = list(KFold(folds).split(rows)) if folds > 1 else []
        explained = [
            sum(_machine(one).fit(rows[kept], scores[kept]).score(rows[left], scores[left]) for kept, left in parts)
            for one in settings
        ]
        self._model = _machine(settings[int(np.argmax(explained))]).fit(rows, scores)

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        model = fitted(self._model)
        rows = self.encoder(archs).astype(np.float64)
        return np.asarray(model.predict(rows), np.float64) if len(rows) else np.zeros(0)


def _machine(settings: dict[str, Any]) -> Any:
    from sklearn.svm import SVR

    made = SVR(**settings)
    made.random_state = 0  # it draws what it does not use, and would do so from numpy's global generator
    return made
