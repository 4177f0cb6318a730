"""Replicated: processes that search together all go by what the first of them measured, such as its latencies."""

from __future__ import annotations

from collections.abc import Sequence

from ogive.core.evaluator import Batched, Evaluator
from ogive.core.trial import Measurement, Proposal
from ogive.training.distributed import Ranks

__all__ = ["Replicated", "replicated"]


class Replicated:
    """Every process measures, since a training is shared by all, and every process is told what the first one found."""

    def __init__(self, inner: Evaluator, ranks: Ranks) -> None:
        self.parts, self.metrics, self._ranks = (inner,), inner.metrics, ranks

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """The measurements of the first process."""
        return self._ranks.told(self.parts[0].evaluate(proposals))


class _ReplicatedBatched(Replicated):
    """The same for an evaluator that wants several proposals at once."""

    def __init__(self, inner: Batched, ranks: Ranks) -> None:
        super().__init__(inner, ranks)
        self.batch, self.proposals_for = inner.batch, inner.proposals_for


def replicated(inner: Evaluator, ranks: Ranks) -> Replicated:
    """The evaluator for processes that search together."""
    return _ReplicatedBatched(inner, ranks) if isinstance(inner, Batched) else Replicated(inner, ranks)
