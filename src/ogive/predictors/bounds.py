"""A predictor of what an architecture may reach, made of one that knows how unsure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed, Predictor, Uncertain
from ogive.predictors.rounds import RoundsInside

__all__ = ["Bounded", "UpperConfidenceBound"]


@runtime_checkable
class Bounded(Protocol):
    """A predictor that knows more of its distribution than mean and deviation, as one of ranks does."""

    def bound(self, archs: Sequence[Architecture], deviations: float) -> npt.NDArray[np.float64]:
        """The score so many deviations above the mean, shape (n,)."""
        ...


class UpperConfidenceBound(RoundsInside):
    """Predicts the mean plus so many standard deviations, so that a search also tries what is little known.

    Srinivas et al., ICML 2010. SpecError for a predictor without a deviation.
    """

    predictor: Uncertain

    def __init__(self, predictor: Predictor, *, deviations: float = 1.0) -> None:
        if not isinstance(predictor, Uncertain):
            raise SpecError(
                f"upper_confidence_bound(...) needs a predictor with a deviation, such as trees, but "
                f"{type(predictor).__name__} has none."
            )
        if not (deviations >= 0 and np.isfinite(deviations)):
            raise SpecError(f"A confidence bound lies 0 or more deviations up, but got deviations={deviations}.")
        self.predictor, self.deviations = predictor, deviations
        self.parts = (predictor,)

    def fit(self, observed: Observed) -> None:
        self.predictor.fit(observed)

    def predict(self, archs: Sequence[Architecture]) -> npt.NDArray[np.float64]:
        if isinstance(self.predictor, Bounded):
            return self.predictor.bound(archs, self.deviations)
        mean, deviation = self.predictor.predicted(archs)
        return mean + self.deviations * deviation
