from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.core.predictor import Observed
from ogive.predictors.ranks import Ranks

ARCHS = tuple(Architecture("natssize", (value,) * 5) for value in range(4))


class Heard:
    def fit(self, observed: Observed) -> None:
        self.observed = observed

    def predict(self, archs: Sequence[Architecture]) -> np.ndarray:
        return np.arange(float(len(archs)))


def test_the_order_of_the_labels_is_what_is_learnt() -> None:
    inner = Heard()
    ranks = Ranks(inner)
    ranks.fit(Observed(ARCHS, (90.0, 10.0, 94.0, 90.0)))
    np.testing.assert_allclose(inner.observed.scores, (0.5, 0, 1, 0.5))
    np.testing.assert_array_equal(ranks.predict(ARCHS), range(4))


def test_labels_that_cannot_be_compared_have_no_order() -> None:
    with pytest.raises(SpecError, match="got 1"):
        Ranks(Heard()).fit(Observed(ARCHS[:2], (1.0, 2.0), fidelities=(12, None)))
