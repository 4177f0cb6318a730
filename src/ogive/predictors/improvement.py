"""Expected improvement: by how much an architecture is thought to be better than the best so far."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed, Predictor, Uncertain
from ogive.predictors.labels import fitted
from ogive.predictors.targets import InTargets

__all__ = ["ExpectedImprovement", "log_improvement"]

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

# So many deviations below the best the improvement is too small for a plain product, and its limit is taken.
FAR = -6.0


class ExpectedImprovement:
    """Predicts the logarithm of the expected improvement over the best so far (Jones et al., 1998, equation 15).

    The best so far is the largest mean of an observed architecture, since labels are noisy. Architectures that are
    being measured are believed to reach their mean (Ginsbourger et al., 2010), so that the next one lies elsewhere.
    SpecError for a predictor without a deviation.
    """

    def __init__(self, predictor: Predictor) -> None:
        if not isinstance(predictor, Uncertain):
            raise SpecError(
                f"expected_improvement(...) needs a predictor with a deviation, such as gp, but "
                f"{type(predictor).__name__} has none."
            )
        self.predictor = predictor
        self.parts = (predictor,)
        self._observed: Observed | None = None
        self._best = 0.0
        self._told_constant = False

    def fit(self, observed: Observed) -> None:
        labels = observed.comparable()
        self.predictor.fit(labels)
        self._observed, self._best = labels, float(self._latent(labels.archs)[0].max())
        if len(set(labels.scores)) == 1 and not self._told_constant:
            self._told_constant = True
            logger.warning(
                "All %d trials so far have the same score, %g: nothing can be learnt of them, and what is least like "
                "them comes next.",
                len(labels),
                labels.scores[0],
            )

    def believe(self, pending: Sequence[Architecture]) -> None:
        """Take what is being measured for measured, each with its mean; the best so far stays what it is."""
        observed = fitted(self._observed)
        if len(pending):
            means = tuple(self.predictor.predict(pending).tolist())
            self.predictor.fit(Observed((*observed.archs, *pending), (*observed.scores, *means)))

    def predict(self, archs: Sequence[Architecture]) -> Floats:
        fitted(self._observed)
        mean, deviation = self._latent(archs)
        return log_improvement(mean - self._best, deviation)

    def _latent(self, archs: Sequence[Architecture]) -> tuple[Floats, Floats]:
        """Without the noise of a label where the predictor tells it apart."""
        inner = self.predictor
        return inner.latent(archs) if isinstance(inner, InTargets) else inner.predicted(archs)


def log_improvement(above: Floats, deviation: Floats) -> Floats:
    """The logarithm of the mean of what a normal variable exceeds 0 by, shapes (n,); finite wherever it lies."""
    from scipy.special import ndtr

    spread = np.maximum(deviation, 1e-9)
    z = above / spread
    near = np.maximum(z, FAR)
    density = np.exp(-near * near / 2) / np.sqrt(2 * np.pi)
    plain = np.log(density + near * ndtr(near))
    far = -z * z / 2 - np.log(np.sqrt(2 * np.pi)) - 2 * np.log(np.maximum(-z, 1.0))
    found: Floats = np.where(z > FAR, plain, far) + np.log(spread)
    return found
