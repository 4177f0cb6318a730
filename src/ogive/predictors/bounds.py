"""A predictor of what an architecture may reach, made of one that knows how unsure it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed, Predictor, Uncertain

__all__ = ["UpperConfidenceBound"]


class UpperConfidenceBound:
    """Predicts the mean plus so many standard deviations, so that a search also tries what is little known.

    Srinivas et al., ICML 2010. SpecError for a predictor without a deviation.
    """

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
        mean, deviation = self.predictor.predicted(archs)
        return mean + self.deviations * deviation
