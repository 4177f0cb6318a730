"""Predictor: a model that learns to rank architectures from measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ogive.core.architecture import Architecture

__all__ = ["Predictor"]


@runtime_checkable
class Predictor(Protocol):
    """A regressor or ranker of architectures. Only the order of its predictions is promised to mean anything."""

    def fit(self, archs: Sequence[Architecture], scores: Sequence[float]) -> None:
        """Learn from architectures and their scores; larger is better. A second call starts afresh."""
        ...

    def predict(self, archs: Sequence[Architecture]) -> npt.NDArray[np.floating[Any]]:
        """One number an architecture, shape (n,); larger is better."""
        ...
