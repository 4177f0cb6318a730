"""What predictors say of the labels that they are fitted on, and where there were none."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TypeVar

from ogive.core.errors import SpecError
from ogive.core.predictor import Observed

__all__ = ["DuplicateNotice", "fitted"]

logger = logging.getLogger(__name__)

Model = TypeVar("Model")


def fitted(model: Model | None) -> Model:
    """What a fit left behind; SpecError before the first one."""
    if model is None:
        raise SpecError("A predictor predicts nothing before it was fitted on labels.")
    return model


class DuplicateNotice:
    """Says once that architectures have several labels that differ, which stay in, each of them, as noise."""

    def __init__(self) -> None:
        self._told = False

    def __call__(self, labels: Observed) -> None:
        several = Counter(arch for arch, _ in {*zip(labels.archs, labels.scores, strict=True)})
        count = sum(found > 1 for found in several.values())
        if count and not self._told:
            self._told = True
            have = "1 architecture has" if count == 1 else f"{count} architectures have"
            logger.info("%s labels that differ; they are kept, as noise.", have)
