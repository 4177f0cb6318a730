"""A predictor fitted on the order of the labels instead of their values."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.capabilities import lasting, rounds_of
from ogive.core.predictor import Observed, Predictor

__all__ = ["Ranks"]


class Ranks:
    """Fits another predictor on ranks from 0 to 1, so that a few failures do not hide what tells the good ones apart.

    A tree that minimises squared errors spends its first splits on cells that learn nothing at all. What is predicted
    are ranks too. Equal scores share their mean rank.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.parts = (predictor,)

    def fit(self, observed: Observed) -> None:
        from scipy.stats import rankdata

        labels = observed.comparable()
        ranks = (rankdata(labels.scores) - 1) / (len(labels) - 1)
        self.predictor.fit(Observed(labels.archs, tuple(ranks.tolist())))

    @property
    def rounds(self) -> int:
        """Those of the predictor inside."""
        return rounds_of(self.predictor)

    def lasting(self, rounds: int) -> Self:
        """The same with a predictor of so many rounds inside."""
        other = copy.copy(self)
        other.predictor = lasting(self.predictor, rounds)
        other.parts = (other.predictor,)
        return other

    def predict(self, archs: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        return self.predictor.predict(archs)
