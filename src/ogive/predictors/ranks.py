"""A predictor fitted on the order of the labels instead of their values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.predictor import Observed, Predictor
from ogive.predictors.rounds import RoundsInside

__all__ = ["Ranks"]


class Ranks(RoundsInside):
    """Fits another predictor on ranks from 0 to 1, so that a few failures do not hide what tells the good ones apart.

    A tree that minimises squared errors spends its first splits on cells that learn nothing at all. What is predicted
    are ranks too. Equal scores share their mean rank.
    """

    predictor: Predictor

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.parts = (predictor,)

    def fit(self, observed: Observed) -> None:
        from scipy.stats import rankdata

        labels = observed.comparable()
        ranks = (rankdata(labels.scores) - 1) / (len(labels) - 1)
        self.predictor.fit(Observed(labels.archs, tuple(ranks.tolist())))

    def predict(self, archs: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        return self.predictor.predict(archs)
