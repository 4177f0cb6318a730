"""What a predictor is fitted on instead of raw scores, and the way back to these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.predictors.labels import fitted

__all__ = ["InTargets", "Targets"]

Floats = npt.NDArray[np.float64]

# Beyond the best and the worst label a score goes on with the slope of this share of the labels at that end.
END = 0.2
# In a plateau of equal labels what is predicted still rises, by this share of their range for each deviation.
RISE = 1e-6


class Targets:
    """Scores as numbers of mean 0 and deviation 1, larger is better. Equal scores stay equal; all equal are all 0.

    "standardised" is linear. "normal_scores" keeps the order only: the k-th of n scores becomes the value below which a
    normal distribution has (k - 1/2) / n (Blom, 1958); on the way back, scores between two labels are interpolated.
    """

    def __init__(self, scores: Sequence[float], kind: Literal["standardised", "normal_scores"]) -> None:
        values = np.array(scores, np.float64)
        self._mean, self._deviation = float(values.mean()), float(values.std())
        if self._deviation < 1e-12 * max(1.0, abs(self._mean)):
            self._deviation = 0.0
        self._linear = kind == "standardised" or self._deviation == 0
        if self._linear:
            self.values: Floats = (values - self._mean) / (self._deviation or 1)
            return
        from scipy.special import ndtri
        from scipy.stats import rankdata

        self.values = ndtri((rankdata(values) - 0.5) / len(values))
        self._knots, places = np.unique(self.values, return_index=True)
        self._known = values[places]
        self._range = float(np.ptp(values))
        self._slopes = (self._slope(slice(None, self._share())), self._slope(slice(-self._share(), None)))

    def scores(self, targets: Floats) -> Floats:
        """Back in the unit of the scores; larger targets always give larger scores, but where all labels are equal."""
        if self._linear:
            return self._mean + self._deviation * targets
        low, high = self._knots[0], self._knots[-1]
        found = np.interp(targets, self._knots, self._known)
        found += self._slopes[0] * np.minimum(targets - low, 0) + self._slopes[1] * np.maximum(targets - high, 0)
        return found + RISE * self._range * targets

    def deviations(self, targets: Floats, deviations: Floats) -> Floats:
        """Half the distance between one deviation up and one down, in the unit of the scores."""
        found: Floats = (self.scores(targets + deviations) - self.scores(targets - deviations)) / 2
        return found

    def _share(self) -> int:
        return max(2, round(END * len(self._knots)))

    def _slope(self, part: slice) -> float:
        return float(np.ptp(self._known[part]) / np.ptp(self._knots[part]))


class InTargets(ABC):
    """A predictor that is fitted on targets and answers in the unit of the scores.

    `fit` sets `targets_fitted`; what `latent` and `spread` say is in targets.
    """

    targets_fitted: Targets | None = None

    @abstractmethod
    def latent(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Mean and deviation of what repeated labels would have as their mean, shapes (n,)."""

    def spread(self, deviation: Floats) -> Floats:
        """The deviation that is told, made of that of the mean."""
        return deviation

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        return self.predicted(archs)[0]

    def predicted(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        targets = fitted(self.targets_fitted)
        mean, deviation = self.latent(archs)
        return targets.scores(mean), targets.deviations(mean, self.spread(deviation))

    def bound(self, archs: Sequence[Architecture], deviations: float) -> Floats:
        """The score so many deviations of the mean above it; with normal scores, that of the rank so much higher."""
        targets = fitted(self.targets_fitted)
        mean, deviation = self.latent(archs)
        return targets.scores(mean + deviations * deviation)
