"""An evaluator that sleeps, each architecture for a time of its own, in a module that worker processes can import."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from ogive.core.metric import Metric
from ogive.core.trial import Fidelity, Measurement, Proposal

__all__ = ["Sleeping", "SleepingInRungs"]


class Sleeping:
    """Sleeps lognormal seconds, `mean_s` on average, whose logarithm deviates by `sigma`; tells when it began."""

    metrics = (Metric("began_s", "s"), Metric("ended_s", "s"))

    def __init__(self, mean_s: float, sigma: float) -> None:
        self.mean_s, self.sigma = mean_s, sigma

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self._measured(proposal) for proposal in proposals]

    def seconds(self, proposal: Proposal) -> float:
        """How long the architecture takes, whoever measures it and whenever."""
        normal = np.random.default_rng(proposal.arch.choices).normal()
        return self.mean_s * math.exp(self.sigma * normal - self.sigma**2 / 2)

    def _measured(self, proposal: Proposal) -> Measurement:
        began = time.monotonic()
        time.sleep(self.seconds(proposal))
        return Measurement({"began_s": began, "ended_s": time.monotonic()})


class SleepingInRungs:
    """Sleeps a lognormal time at every rung, and scores an architecture by its choices.

    With `by_epochs` the time is in proportion to the epochs beyond the rung below, with that mean at the lowest.
    """

    metrics = (Metric("sum"), Metric("began_s", "s"), Metric("ended_s", "s"))
    fidelity = Fidelity("epochs", 81, continued=True)

    def __init__(self, mean_s: float, sigma: float, *, by_epochs: bool) -> None:
        self.mean_s, self.sigma, self.by_epochs = mean_s, sigma, by_epochs

    def evaluate(self, proposals: Sequence[Proposal]) -> list[Measurement]:
        return [self._measured(proposal) for proposal in proposals]

    def _measured(self, proposal: Proposal) -> Measurement:
        rung = proposal.fidelity or self.fidelity.full
        normal = np.random.default_rng([rung, *proposal.arch.choices]).normal()
        seconds = self.mean_s * math.exp(self.sigma * normal - self.sigma**2 / 2)
        began = time.monotonic()
        time.sleep(seconds * (max(1, rung * 2 // 9) if self.by_epochs else 1))
        score = float(sum(proposal.arch.choices))
        return Measurement({"sum": score, "began_s": began, "ended_s": time.monotonic()})
