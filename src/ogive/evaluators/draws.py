"""Draws: measure several networks of one generator, and tell their mean and how far they lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ogive.core.errors import SpecError
from ogive.core.evaluator import Batched, Evaluator
from ogive.core.metric import Metric
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.core.trial import Cost, Measurement, Proposal

__all__ = ["Draws"]


class Draws:
    """Measures `draws` networks of every generator, from the proposed one on, and tells means and deviations.

    The mean of a metric has its name, and the standard deviation stands beside it, ``val_acc_std`` for ``val_acc``. If
    one of the networks cannot be measured, that is the failure of all: the mean of those that are left would be another
    figure. SpecError for a space without draws.
    """

    def __init__(
        self,
        inner: Evaluator,
        *,
        space: SearchSpace,
        draws: int = 8,  # NAGO, section 4: a generator is told by 8 networks of it
    ) -> None:
        if draws < 2:
            raise SpecError(f"The spread of draws takes at least 2 of them, but got draws={draws}.")
        if isinstance(inner, Batched):
            raise SpecError(f"{type(inner).__name__} wants {inner.batch} proposals at once: put draws(...) inside it.")
        space.redrawn(space.sample(Seed(0).numpy("draws")), draws)  # a space without draws is refused now
        self.parts, self.space, self.draws = (inner,), space, draws
        self.metrics = tuple(one for metric in inner.metrics for one in (metric, _spread(metric)))

    @property
    def spreads(self) -> Mapping[str, tuple[str, int]]:
        """The standard deviation of every metric, over so many draws."""
        return {metric.name: (_spread(metric).name, self.draws) for metric in self.parts[0].metrics}

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        """Means and deviations for each proposal; costs add up."""
        return [self._measured(proposal) for proposal in proposals]

    def _measured(self, proposal: Proposal) -> Measurement:
        archs = self.space.redrawn(proposal.arch, self.draws)
        found: list[Measurement] = []
        for arch in archs:
            found += self.parts[0].evaluate([replace(proposal, arch=arch)])
            if found[-1].error is not None:
                error = f"draw {len(found)} of {self.draws}: {found[-1].error}"
                return Measurement(cost=_total(found), error=error)
        metrics: dict[str, float] = {}
        for metric in self.parts[0].metrics:
            values = [measurement.metrics[metric.name] for measurement in found]
            metrics[metric.name] = statistics.fmean(values)
            metrics[_spread(metric).name] = statistics.stdev(values)
        return Measurement(metrics, _total(found))


def _spread(metric: Metric) -> Metric:
    """The standard deviation of a metric over draws, which is recorded where the metric itself is."""
    return Metric(
        f"{metric.name}_std",
        metric.unit,
        "smaller",
        f"{metric.title}, standard deviation over draws",
        reported=metric.reported,
    )


def _total(found: Sequence[Measurement]) -> Cost:
    total = Cost()
    for measurement in found:
        total += measurement.cost
    return total
